//go:build stack

package stacktest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/lab/native"
	"dicelab/internal/query"
)

// TestStructure sends the same traces to Tempo and to the embedded stack, and asks both for spans
// below each other and for counts of spans. Only traces with their root are compared;
// docs/differences.md describes the others.
func TestStructure(t *testing.T) {
	t.Parallel()
	at := free(t)
	lab := start(t, at, "--data", t.TempDir())
	lab.open(t)
	embedded := embed(t)
	const internal, server, client = tracepb.Span_SPAN_KIND_INTERNAL, tracepb.Span_SPAN_KIND_SERVER, tracepb.Span_SPAN_KIND_CLIENT
	tree := func(trace uint64, last tracepb.Status_StatusCode) []madeSpan {
		return []madeSpan{
			{trace: trace, id: 1, service: "front", name: "POST /", kind: server, took: time.Second},
			{trace: trace, id: 2, parent: 1, service: "front", name: "work", kind: internal, took: time.Second},
			{trace: trace, id: 3, parent: 2, service: "front", name: "GET", kind: client, took: time.Second},
			{trace: trace, id: 4, parent: 3, service: "back", name: "GET /", kind: server, took: time.Second},
			{trace: trace, id: 5, parent: 4, service: "back", name: "roll", kind: internal, took: time.Second, status: last},
		}
	}
	spans := append(tree(1, 0), tree(2, tracepb.Status_STATUS_CODE_ERROR)...)
	spans = append(spans, tree(3, 0)[:3]...)                                                                  // no response
	spans = append(spans, madeSpan{trace: 4, id: 4, parent: 3, service: "lost", name: "GET /", kind: server}, // no root,
		madeSpan{trace: 4, id: 6, parent: 5, service: "lost", name: "roll", kind: internal}) // and a hole
	export(t, []string{at.url(native.OTLPHTTP), embedded.otlp}, spans...)
	sent := time.Now()
	for _, tt := range []struct {
		traceQL string
		traces  int
	}{
		{`{}`, 4},
		{`{resource.service.name="front"} > {resource.service.name="back"}`, 2},
		{`{resource.service.name="front"} >> {resource.service.name="back"}`, 2},
		{`{resource.service.name="front"} >> {status=error}`, 1},
		{`{resource.service.name="front"} > {status=error}`, 0},
		{`{name="POST /"} > {name="work"} > {name="GET"}`, 3},
		{`{name="POST /"} > {} >> {kind=internal}`, 2},
		{`{name="POST /"} >> {name="GET /"} > {name="roll" && status!=error}`, 1},
		{`{name="roll"} >> {name="POST /"}`, 0},
		{`{name="work"} >> {name="work"}`, 0},
		{`{} | count() > 4`, 2},
		{`{} | count() = 3`, 1},
		{`{kind=internal} | count() >= 2`, 2},
		{`{name="POST /"} >> {} | count() < 4`, 1},
		{`{name="POST /"} >> {kind=internal} | count() != 2`, 1},
		{`{} | count() > 2 | count() <= 3`, 1},
	} {
		until(t, tt.traceQL, sent, func(ctx context.Context) (string, error) {
			want, err1 := matches(ctx, at.readers(t).tempo, tt.traceQL)
			got, err2 := matches(ctx, embedded.tempo, tt.traceQL)
			if err := errors.Join(err1, err2); err != nil {
				return "", err
			}
			if len(want) != tt.traces {
				return fmt.Sprintf("Tempo finds %v, want %d traces", want, tt.traces), nil
			}
			return gocmp.Diff(want, got), nil
		})
	}
	if status := lab.stop(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// matches counts the matching spans, by trace.
func matches(ctx context.Context, from *query.Tempo, traceQL string) (map[string]int, error) {
	found, err := from.Search(ctx, query.Search{TraceQL: traceQL, Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Minute), SpansPerSet: 10})
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, f := range found.Traces {
		out[f.TraceID] = len(f.Matched)
	}
	return out, nil
}

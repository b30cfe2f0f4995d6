//go:build stack

package stacktest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/lab/native"
	"dicelab/internal/query"
)

// made selects what is made from spans.
const made = `{__name__=~"traces_.+"}`

// madeSpan is a span of TestGenerated.
type madeSpan struct {
	trace, id, parent uint64
	service, name     string
	kind              tracepb.Span_SpanKind
	took              time.Duration
	status            tracepb.Status_StatusCode
	attributes        []string // key, value, …
}

// TestGenerated sends the same spans to Tempo's metrics generator and to the
// embedded stack and compares all series that they make: names, labels, values,
// and that those which have exemplars at Tempo's have them here. Two things are
// normalised first: a label that names the generator, and which observation of a
// bucket is its exemplar.
func TestGenerated(t *testing.T) {
	t.Parallel()
	at := free(t)
	lab := start(t, at, "--data", t.TempDir())
	lab.open(t)
	embedded := embed(t)
	targets := []string{at.url(native.OTLPHTTP), embedded.otlp}

	const internal, server, client, producer, consumer = tracepb.Span_SPAN_KIND_INTERNAL, tracepb.Span_SPAN_KIND_SERVER,
		tracepb.Span_SPAN_KIND_CLIENT, tracepb.Span_SPAN_KIND_PRODUCER, tracepb.Span_SPAN_KIND_CONSUMER
	const failed, ok = tracepb.Status_STATUS_CODE_ERROR, tracepb.Status_STATUS_CODE_OK
	export(t, targets,
		// A plain call, and one that fails.
		madeSpan{trace: 1, id: 1, service: "front", name: "POST /", kind: server, took: 700 * time.Millisecond},
		madeSpan{trace: 1, id: 2, parent: 1, service: "front", name: "work", kind: internal, took: 600 * time.Millisecond, status: ok},
		madeSpan{trace: 1, id: 3, parent: 2, service: "front", name: "GET", kind: client, took: 400 * time.Millisecond, attributes: []string{"server.address", "back"}},
		madeSpan{trace: 1, id: 4, parent: 3, service: "back", name: "GET /", kind: server, took: 399 * time.Millisecond},
		madeSpan{trace: 2, id: 3, parent: 2, service: "front", name: "GET", kind: client, took: 20 * time.Second, status: failed},
		madeSpan{trace: 2, id: 4, parent: 3, service: "back", name: "GET /", kind: server, took: 100 * time.Millisecond},
		// The first half of a call whose second comes later; one that comes twice.
		madeSpan{trace: 3, id: 4, parent: 3, service: "late", name: "GET /", kind: server, took: 2 * time.Millisecond},
		madeSpan{trace: 4, id: 3, parent: 2, service: "twice", name: "GET", kind: client, took: 3 * time.Millisecond},
		madeSpan{trace: 4, id: 3, parent: 2, service: "twice", name: "GET", kind: client, took: 3 * time.Millisecond},
		// No other side: an orphan of each kind, and peers.
		madeSpan{trace: 5, id: 4, parent: 3, service: "orphan", name: "GET /", kind: server, took: time.Millisecond},
		madeSpan{trace: 5, id: 5, parent: 4, service: "orphan", name: "GET", kind: client, took: time.Millisecond},
		madeSpan{trace: 6, id: 1, service: "back", name: "GET /", kind: server, took: time.Millisecond, attributes: []string{"peer.service", "browser"}},
		madeSpan{trace: 6, id: 2, parent: 1, service: "back", name: "GET", kind: client, took: 5 * time.Millisecond, attributes: []string{"peer.service", "bank"}},
		// Messages and databases.
		madeSpan{trace: 7, id: 1, service: "front", name: "send", kind: producer, took: 10 * time.Millisecond},
		madeSpan{trace: 7, id: 2, parent: 1, service: "back", name: "process", kind: consumer, took: 50 * time.Millisecond},
		madeSpan{trace: 8, id: 1, parent: 9, service: "back", name: "SELECT", kind: client, took: 8 * time.Millisecond, attributes: []string{"db.system", "postgresql", "db.name", "dice", "server.address", "db1"}},
		madeSpan{trace: 8, id: 2, parent: 9, service: "back", name: "SELECT", kind: client, took: 8 * time.Millisecond, attributes: []string{"db.system", "postgresql", "network.peer.address", "10.0.0.1", "network.peer.port", "5432"}},
		madeSpan{trace: 8, id: 3, parent: 9, service: "back", name: "SELECT", kind: client, took: 8 * time.Millisecond, attributes: []string{"db.namespace", "dice"}},
		madeSpan{trace: 8, id: 4, parent: 9, service: "back", name: "GET key", kind: client, took: 8 * time.Millisecond, attributes: []string{"db.system", "redis"}},
		// No service's name, a long name, no time at all.
		madeSpan{trace: 9, id: 1, name: "nobody's", kind: server, took: 16384 * time.Microsecond},
		madeSpan{trace: 9, id: 2, service: "long", name: strings.Repeat("n", 3000), took: 0},
	)
	time.Sleep(3 * time.Second) // the test is about late spans
	export(t, targets,
		madeSpan{trace: 3, id: 3, parent: 2, service: "early", name: "GET", kind: client, took: 4 * time.Millisecond},
		madeSpan{trace: 4, id: 4, parent: 3, service: "back", name: "GET /", kind: server, took: 2 * time.Millisecond},
	)
	sent := time.Now()
	// Tempo counts a call with one side missing after 10 to 12 s.
	const calls = `sum(traces_service_graph_request_total)`
	const wantCalls = 12
	for name, from := range map[string]*query.Prometheus{"embedded": embedded.prometheus, "native": at.readers(t).prometheus} {
		until(t, fmt.Sprintf("%d calls, %s", wantCalls, name), sent, func(ctx context.Context) (string, error) {
			result, err := from.Query(ctx, calls, time.Time{})
			if err != nil || len(result.Series) != 1 {
				return "none", err
			}
			if got := result.Series[0].Last(); got != wantCalls {
				return fmt.Sprintf("%v calls", got), nil
			}
			return "", nil
		})
	}
	until(t, "the same series", sent, func(ctx context.Context) (string, error) {
		want, err1 := seriesOf(ctx, at.readers(t).prometheus)
		got, err2 := seriesOf(ctx, embedded.prometheus)
		return gocmp.Diff(want, got), errors.Join(err1, err2)
	})
	// Tempo sends an exemplar once, and not always those of its first collections.
	until(t, "exemplars of the same series", sent, func(ctx context.Context) (string, error) {
		want, err1 := exemplarsOf(ctx, at.readers(t).prometheus)
		got, err2 := exemplarsOf(ctx, embedded.prometheus)
		if len(want) == 0 {
			return "none", errors.Join(err1, err2)
		}
		t.Logf("exemplars of %d series, embedded %d", len(want), len(got))
		maps.DeleteFunc(got, func(series string, _ bool) bool { _, ok := want[series]; return !ok })
		return gocmp.Diff(want, got), errors.Join(err1, err2)
	})
	all, err := seriesOf(t.Context(), embedded.prometheus)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d series", len(all))
	if status := lab.stop(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// embeddedStack holds the addresses of an embedded stack.
type embeddedStack struct {
	otlp       string
	prometheus *query.Prometheus
	tempo      *query.Tempo
}

func embed(t *testing.T) embeddedStack {
	t.Helper()
	at := embeddedtest.Start(t, embedded.Options{})
	prometheus, err1 := query.NewPrometheus(query.Config{URL: at.Prometheus})
	tempo, err2 := query.NewTempo(query.Config{URL: at.Tempo})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return embeddedStack{at.OTLP, prometheus, tempo}
}

// export sends the same spans to each target.
func export(t *testing.T, targets []string, spans ...madeSpan) {
	t.Helper()
	end := time.Now()
	req := &coltracepb.ExportTraceServiceRequest{}
	for _, s := range spans {
		span := &tracepb.Span{
			TraceId: binary.BigEndian.AppendUint64(make([]byte, 8), s.trace), SpanId: binary.BigEndian.AppendUint64(nil, s.id),
			Name: s.name, Kind: s.kind, Attributes: pairs(s.attributes...),
			StartTimeUnixNano: uint64(end.Add(-s.took).UnixNano()), EndTimeUnixNano: uint64(end.UnixNano()),
		}
		if s.parent != 0 {
			span.ParentSpanId = binary.BigEndian.AppendUint64(nil, s.parent)
		}
		if s.status != 0 {
			span.Status = &tracepb.Status{Code: s.status}
		}
		resource := &resourcepb.Resource{}
		if s.service != "" {
			resource.Attributes = pairs("service.name", s.service)
		}
		req.ResourceSpans = append(req.ResourceSpans, &tracepb.ResourceSpans{Resource: resource, ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span}}}})
	}
	body, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		resp, err := http.Post(target+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s %v", target, resp.Status, answer, err)
		}
	}
}

func pairs(kvs ...string) (out []*commonpb.KeyValue) {
	for i := 0; i < len(kvs); i += 2 {
		out = append(out, &commonpb.KeyValue{Key: kvs[i], Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: kvs[i+1]}}})
	}
	return out
}

// seriesOf returns the value of every generated series.
func seriesOf(ctx context.Context, from *query.Prometheus) (map[string]string, error) {
	result, err := from.Query(ctx, made, time.Time{})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range result.Series {
		out[normalised(s.Labels)] = fmt.Sprintf("%.9g", s.Last())
	}
	return out, nil
}

// exemplarsOf returns the generated series that have exemplars of traces that were
// sent.
func exemplarsOf(ctx context.Context, from *query.Prometheus) (map[string]bool, error) {
	exemplars, err := from.Exemplars(ctx, made, time.Now().Add(-time.Hour), time.Now().Add(time.Minute))
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, e := range exemplars {
		out[normalised(e.Series)] = strings.HasPrefix(e.TraceID, strings.Repeat("0", 31))
	}
	return out, nil
}

func normalised(labels map[string]string) string {
	labels = maps.Clone(labels)
	delete(labels, "__metrics_gen_instance")
	return fmt.Sprint(labels) // in the order of keys
}

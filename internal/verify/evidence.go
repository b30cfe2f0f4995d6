package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

// evidence is what checks share: each is found out once.
type evidence struct {
	traces    memos[string, *query.Trace]       // by ID
	lines     memo[[]query.LogLine]             // of both services' rolls
	found     memos[[2]string, []query.LogLine] // by service and trace ID
	exemplars memos[string, query.Exemplar]     // by selector
	traffic   memo[Traffic]
	files     memo[grafana.Files]
	panels    memo[[]shown]
}

// How much a roll leaves behind, for which is waited.
const (
	spansOfRoll      = 5
	spansOfSimulated = spansOfRoll + 2 // the traffic generator adds its own
	linesOfRoll      = 4
	linesOfEach      = 2 // of one service
)

// skew is how far the clocks of services may be off without a row failing that
// is not about clocks.
const skew = 15 * time.Second

// since and till bound what is asked of the stores: this run's telemetry.
func (r *run) since() time.Time { return r.rolls.began.Add(-skew) }
func (r *run) till() time.Time  { return time.Now().Add(skew) }

// trace reads a trace, and waits until it has that many spans. A trace that has
// fewer when the time is over is no error.
func (p *probe) trace(ctx context.Context, id string, spans int) (*query.Trace, error) {
	return p.seen.traces.of(id).get(ctx, p, func(ctx context.Context, p *probe) (*query.Trace, error) {
		var last *query.Trace
		_, err := until(ctx, p, func(ctx context.Context) (*query.Trace, error) {
			t, err := p.tempo().Trace(ctx, id)
			if err != nil {
				return nil, err
			}
			if last = t; len(t.Spans) < spans {
				err = fmt.Errorf("%d of %d spans have arrived", len(t.Spans), spans)
			}
			return t, err
		})
		if last != nil {
			return last, nil
		}
		return nil, err
	})
}

// traceOf reads the trace of a roll. Where there is none the finding tells it.
func (p *probe) traceOf(ctx context.Context, o *roll) (*query.Trace, *finding) {
	if o.trace.TraceID == "" {
		f := p.because(rowRoll, "the answer named no trace", "the header "+contract.HeaderTraceresponse+" is missing or malformed")
		return nil, &f
	}
	t, err := p.trace(ctx, o.trace.TraceID, spansOfRoll)
	if err != nil {
		f := p.because(rowFound, "the trace "+o.trace.TraceID+" has not arrived", missing(err))
		if !errors.Is(err, query.ErrNotFound) {
			f = fail("%v", err)
		}
		return nil, &f
	}
	return t, nil
}

// spanOf is the first span of a service with the name, or nil.
func spanOf(t *query.Trace, service, name string) *query.Span {
	for i := range t.Spans {
		if t.Spans[i].Service == service && t.Spans[i].Name == name {
			return &t.Spans[i]
		}
	}
	return nil
}

// linesOfRolls reads the lines that both services wrote during the rolls, oldest
// first, by service and time alone, so that lines without IDs are among them. It
// waits until each roll has left what it should: how many lines there are says
// little, since other checks roll meanwhile.
func (p *probe) linesOfRolls(ctx context.Context) ([]query.LogLine, error) {
	return p.seen.lines.get(ctx, p, func(ctx context.Context, p *probe) ([]query.LogLine, error) {
		logQL := fmt.Sprintf(`{%s=~"%s"}`, contract.StreamService, strings.Join(contract.Services(), "|"))
		return p.lines(ctx, logQL, p.linesOfEachRoll)
	})
}

// linesOfEachRoll tells whether lines of a roll are missing.
func (p *probe) linesOfEachRoll(lines []query.LogLine) error {
	have := map[string]int{}
	for _, l := range lines {
		have[l.TraceID()]++
	}
	for _, roll := range p.rolls.all {
		if id := roll.trace.TraceID; id != "" && have[id] < linesOfRoll {
			return fmt.Errorf("%d of %d lines of the roll %s have arrived", have[id], linesOfRoll, id)
		}
	}
	return nil
}

// maxLines bounds a query for lines, above what mostRolls leave.
const maxLines = 1000

// lines reads lines of this run, oldest first, and waits until enough says so;
// that some are missing when the time is over is no error.
func (p *probe) lines(ctx context.Context, logQL string, enough func([]query.LogLine) error) ([]query.LogLine, error) {
	var lines []query.LogLine
	var failure error
	_, err := until(ctx, p, func(ctx context.Context) (struct{}, error) {
		var r *query.LogResult
		if r, failure = p.loki().QueryRange(ctx, query.LogQuery{LogQL: logQL, Start: p.since(), End: p.till(), Limit: maxLines}); failure != nil {
			return struct{}{}, failure
		}
		lines = r.Lines
		return struct{}{}, enough(lines)
	})
	if failure != nil {
		return nil, err
	}
	slices.Reverse(lines)
	return lines, nil
}

// atLeast is enough where there are n lines.
func atLeast(n int) func([]query.LogLine) error {
	return func(lines []query.LogLine) error {
		if len(lines) < n {
			return fmt.Errorf("%d of %d lines have arrived", len(lines), n)
		}
		return nil
	}
}

// logsOf reads what "Logs for this span" shows: the lines of the span's service
// with its trace ID.
func (p *probe) logsOf(ctx context.Context, service, traceID string) ([]query.LogLine, error) {
	return p.seen.found.of([2]string{service, traceID}).get(ctx, p, func(ctx context.Context, p *probe) ([]query.LogLine, error) {
		return p.lines(ctx, query.LogFilter{Service: service, TraceID: traceID}.LogQL(), atLeast(linesOfEach))
	})
}

package sqlexport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dicelab/internal/query"
)

// Bounds of what is asked of Tempo.
const (
	pageTraces = 1000        // traces of one search
	leastTime  = time.Second // Tempo searches in whole seconds
	fetches    = 8           // traces that are read at once
	batch      = 64          // traces that are read before they are written

	// before is the time before the export in which a span may begin of a trace that
	// reaches into it. Servers look as far back, or further.
	before = time.Minute
)

// reader reads traces from Tempo.
type reader struct {
	*export
	send  func([]Trace) error
	known map[string]bool // the traces of the last answer: the next one has some of them again
}

// read reads all traces, some of them twice.
func (r *reader) read(ctx context.Context, send func([]Trace) error) error {
	r.send = send
	return windows(r.first().Add(-before), r.To, func(from, to time.Time, last bool) (float64, error) {
		found, fill, err := r.search(ctx, from, to, "{}")
		switch {
		case err != nil:
			return 0, err
		case fill < full:
			return fill, r.fetch(ctx, found)
		case last:
			return full, r.byDuration(ctx, from, to, 0, math.MaxInt64)
		}
		return fill, nil
	})
}

// first returns the start of the time range of the traces, in whole seconds as Tempo's.
func (e *export) first() time.Time { return e.From.Truncate(time.Second) }

// search returns the traces that a query finds, and how full the answer is. Servers
// find the newest traces first, so those of a full answer are from a part of the time.
// A search that times out counts as full, so that a shorter time is searched next.
func (r *reader) search(ctx context.Context, from, to time.Time, traceQL string) ([]query.Found, float64, error) {
	result, err := r.Tempo.Search(ctx, query.Search{
		TraceQL: traceQL, Start: from, End: to, Limit: pageTraces, SpansPerSet: 1,
	})
	failed, ok := errors.AsType[*query.Error](err)
	if ok && failed.TimedOut() && to.Sub(from) > leastTime && ctx.Err() == nil {
		return nil, full, nil
	}
	if err != nil {
		return nil, 0, err
	}
	found := result.Traces
	if len(found) > 0 && (result.Partial || len(found) >= pageTraces) {
		covered := max(to.Sub(found[len(found)-1].Start), leastTime)
		return found, max(full, float64(to.Sub(from))/float64(covered)), nil
	}
	if result.Partial {
		return found, full, nil
	}
	return found, float64(len(found)) / pageTraces, nil
}

// byDuration reads the traces of a second that has more of them than one answer:
// those that take from least up to, but without, most nanoseconds, by halves.
func (r *reader) byDuration(ctx context.Context, from, to time.Time, least, most int64) error {
	durations := fmt.Sprintf("{traceDuration >= %dns && traceDuration < %dns}", least, most)
	found, fill, err := r.search(ctx, from, to, durations)
	if err != nil {
		return err
	}
	if fill < full {
		return r.fetch(ctx, found)
	}
	if most-least <= 1 {
		return lost("the traces", r.Tempo.URL(), from)
	}
	// Durations are spread over powers of ten rather than evenly.
	middle := min(max(int64(math.Sqrt(float64(max(least, 1))*float64(most))), least+1), most-1)
	if err := r.byDuration(ctx, from, to, least, middle); err != nil {
		return err
	}
	return r.byDuration(ctx, from, to, middle, most)
}

// fetch reads the traces that were found, the oldest first and several at once.
func (r *reader) fetch(ctx context.Context, found []query.Found) error {
	var ids []string
	known := make(map[string]bool, len(found))
	for _, f := range slices.Backward(found) {
		if !r.known[f.TraceID] && !known[f.TraceID] {
			ids = append(ids, f.TraceID)
		}
		known[f.TraceID] = true
	}
	r.known = known
	for ids := range slices.Chunk(ids, batch) {
		traces := make([]Trace, len(ids))
		group, inner := errgroup.WithContext(ctx)
		group.SetLimit(fetches)
		for i, id := range ids {
			group.Go(func() (err error) {
				traces[i].Trace, traces[i].Partial, err = r.Tempo.Export(inner, id, 0)
				if errors.Is(err, query.ErrNotFound) { // it was deleted since the search
					traces[i].ID = id
					return nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if err := r.send(traces); err != nil {
			return err
		}
	}
	return nil
}

func (e *export) writeTraces(ctx context.Context, traces []Trace) error {
	for _, trace := range traces {
		if err := e.keep(ctx, trace); err != nil {
			return err
		}
	}
	e.Progress(e.counts)
	return nil
}

// keep writes a trace, unless it was written before, or ended before the time of
// the export.
func (e *export) keep(ctx context.Context, trace Trace) error {
	switch {
	case trace.Spans == 0:
		e.Warn(fmt.Sprintf("trace %s was found, but is no longer at %s: it is left out", trace.ID, e.Tempo.URL()))
		return nil
	case end(trace) < uint64(e.first().UnixNano()):
		return nil
	}
	spans, err := e.file.AddTrace(ctx, trace)
	if err != nil || spans == 0 {
		return err
	}
	if trace.Partial {
		e.Warn(fmt.Sprintf("%s has left spans out of trace %s, as it says: the trace is larger than it answers with; "+
			"its column partial is 1", e.Tempo.URL(), trace.ID))
	}
	e.counts.Traces++
	e.counts.Spans += int64(spans)
	return nil
}

// end returns when the last span of a trace ends.
func end(trace Trace) (last uint64) {
	for _, resource := range trace.Data {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				last = max(last, span.GetEndTimeUnixNano())
			}
		}
	}
	return last
}

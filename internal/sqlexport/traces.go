package sqlexport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dicelab/internal/otlpjson"
	"dicelab/internal/query"
)

// Bounds of what is asked of Tempo.
const (
	pageTraces = 1000        // traces of one search
	leastTime  = time.Second // Tempo searches in whole seconds
	fetches    = 4           // traces that are read at once
)

// traces writes all traces, each once.
func (e *export) traces(ctx context.Context) error {
	from := e.From.Truncate(time.Second)
	return windows(from, e.To, leastTime, func(from, to time.Time, last bool) (float64, error) {
		found, fill, err := e.search(ctx, from, to, "{}")
		switch {
		case err != nil:
			return 0, err
		case fill < full:
			return fill, e.fetch(ctx, found)
		case last:
			return full, e.byDuration(ctx, from, to, 0, math.MaxInt64)
		}
		return full, nil
	})
}

// search returns the traces that a query finds, and how full the answer is.
func (e *export) search(ctx context.Context, from, to time.Time, traceQL string) (found []query.Found, fill float64, err error) {
	result, err := e.Tempo.Search(ctx, query.Search{TraceQL: traceQL, Start: from, End: to, Limit: pageTraces, SpansPerSet: 1})
	if err != nil {
		return nil, 0, err
	}
	if result.Partial {
		return result.Traces, full, nil
	}
	return result.Traces, float64(len(result.Traces)) / pageTraces, nil
}

// byDuration writes the traces of a second that has more of them than one answer:
// those that take from least up to, but without, most nanoseconds, by halves.
func (e *export) byDuration(ctx context.Context, from, to time.Time, least, most int64) error {
	found, fill, err := e.search(ctx, from, to, fmt.Sprintf("{traceDuration >= %dns && traceDuration < %dns}", least, most))
	if err != nil {
		return err
	}
	if fill < full {
		return e.fetch(ctx, found)
	}
	if most-least <= 1 {
		return lost("the traces", e.Tempo.URL(), from)
	}
	// Durations are spread over powers of ten rather than evenly.
	middle := min(max(int64(math.Sqrt(float64(max(least, 1))*float64(most))), least+1), most-1)
	if err := e.byDuration(ctx, from, to, least, middle); err != nil {
		return err
	}
	return e.byDuration(ctx, from, to, middle, most)
}

// fetched is a trace as it was read.
type fetched struct {
	otlpjson.Trace
	partial bool
}

// fetch reads the traces that are not written yet, and writes them in their order.
func (e *export) fetch(ctx context.Context, found []query.Found) (err error) {
	var ids []string
	for _, trace := range found {
		known, err := e.file.HasTrace(ctx, trace.TraceID)
		if err != nil {
			return err
		}
		if !known {
			ids = append(ids, trace.TraceID)
		}
	}
	slices.Reverse(ids) // the oldest first
	for len(ids) > 0 {
		n := min(len(ids), fetches)
		batch := make([]fetched, n)
		group, inner := errgroup.WithContext(ctx)
		for i, id := range ids[:n] {
			group.Go(func() (err error) {
				batch[i].Trace, batch[i].partial, err = e.Tempo.Export(inner, id, 0)
				if errors.Is(err, query.ErrNotFound) { // it was deleted since the search
					return nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i, trace := range batch {
			if err := e.keep(ctx, ids[i], trace); err != nil {
				return err
			}
		}
		ids = ids[n:]
		e.progress()
	}
	return nil
}

func (e *export) keep(ctx context.Context, id string, trace fetched) error {
	if trace.Spans == 0 {
		e.Warn(fmt.Sprintf("trace %s was found, but is no longer at %s: it is left out", id, e.Tempo.URL()))
		return nil
	}
	if trace.partial {
		e.Warn(fmt.Sprintf("%s has left spans out of trace %s, as it says: the trace is larger than it answers with; its column partial is 1", e.Tempo.URL(), id))
	}
	if known, err := e.file.HasTrace(ctx, id); known || err != nil {
		return err // it was found twice
	}
	if err := e.file.AddTrace(ctx, trace.Trace, trace.partial); err != nil {
		return err
	}
	e.counts.Traces++
	e.counts.Spans += int64(trace.Spans)
	return nil
}

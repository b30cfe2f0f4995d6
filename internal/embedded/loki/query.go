package loki

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
)

// instant answers /loki/api/v1/query.
func (h *handler) instant(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	if q.Aggregation == nil {
		return failure(http.StatusBadRequest, "log queries are not supported as an instant query type, please change your query to a range query type")
	}
	at, err := timestamp(r, "time", h.opts.Now())
	if err != nil {
		return err
	}
	run := h.newRun(r, q)
	series, err := run.metric(at, at, time.Second)
	if err != nil {
		return err
	}
	return run.respond(w, "vector", func(e *encoder) { e.vector(series) })
}

// queryRange answers /loki/api/v1/query_range.
func (h *handler) queryRange(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	p, err := h.rangeParams(r)
	if err != nil {
		return err
	}
	run := h.newRun(r, q)
	if q.Aggregation == nil {
		found, err := run.lines(p)
		if err != nil {
			return err
		}
		return run.respond(w, "streams", func(e *encoder) { e.streams(found) })
	}
	start, end := align(p.start, p.end, p.step)
	series, err := run.metric(start, end, p.step)
	if err != nil {
		return err
	}
	return run.respond(w, "matrix", func(e *encoder) { e.matrix(series) })
}

// align moves the start back and the end forward to multiples of the step, as Loki's
// query frontend does, so that the points of a query do not shift with its start.
func align(start, end time.Time, step time.Duration) (time.Time, time.Time) {
	from, to := start.UnixNano(), end.UnixNano()
	from -= from % int64(step)
	if over := to % int64(step); over != 0 {
		to += int64(step) - over
	}
	return time.Unix(0, from), time.Unix(0, to)
}

// run is one query under way, with its statistics.
type run struct {
	ctx        context.Context
	store      Store
	query      *logql.Query
	categorize bool // respond with the three kinds of labels apart
	began      time.Time
	now        func() time.Time
	stats      stats
}

func (h *handler) newRun(r *http.Request, q *logql.Query) *run {
	return &run{ctx: r.Context(), store: h.store, query: q, categorize: categorizes(r), began: h.opts.Now(), now: h.opts.Now}
}

// selected returns the store's query for the lines in [from, to) that may pass the
// query. While that runs, *ended gets the error of the context if it ends.
func (run *run) selected(from, to time.Time) (q store.LineQuery, ended *error) {
	ended = new(error)
	q = store.LineQuery{From: from, To: to, Streams: func(labels map[string]string) bool {
		matches, err := run.query.Selector.Matches(run.ctx, labels)
		*ended = cmp.Or(*ended, err)
		return matches && err == nil
	}}
	required, _ := run.query.Pipeline.Required()
	for _, f := range required {
		q.Where = append(q.Where, store.LineFilter(f))
	}
	return q, ended
}

// each calls yield for every line in [from, to) that passes the query, until yield
// returns false.
func (run *run) each(from, to time.Time, forward bool, expected int, yield func(store.Line, logql.Labels) bool) error {
	q, ended := run.selected(from, to)
	q.Forward, q.Expected = forward, expected
	var returned duplicates
	err := run.store.Lines(run.ctx, q, func(l store.Line) bool {
		run.stats.TotalLinesProcessed++
		run.stats.TotalBytesProcessed += len(l.Text)
		labels, ok, err := run.query.Pipeline.Process(run.ctx, l.Stream, l.Metadata, l.Text)
		if err != nil {
			*ended = err
			return false
		}
		if !ok || returned.again(l) {
			return true
		}
		run.stats.TotalPostFilterLines++
		return yield(l, labels)
	})
	return cmp.Or(err, *ended)
}

// lines answers a query for log lines.
func (run *run) lines(p rangeParams) ([]stream, error) {
	found := make(map[string]*stream)
	size := 0
	err := run.each(p.start, p.end, p.forward, p.limit, func(l store.Line, labels logql.Labels) bool {
		key, e := run.entry(l, labels)
		name := logql.FormatLabels(key)
		if found[name] == nil {
			found[name] = &stream{labels: key}
		}
		found[name].values = append(found[name].values, e)
		run.stats.TotalEntriesReturned++
		size += len(l.Text) + len(name) + labelBytes*(len(labels.Stream)+len(labels.Metadata)+len(labels.Parsed))
		if e.categories != nil {
			size += sizeOf(e.categories.StructuredMetadata) + sizeOf(e.categories.Parsed)
		}
		return run.stats.TotalEntriesReturned < p.limit && size <= maxAnswer
	})
	if err != nil {
		return nil, err
	}
	if size > maxAnswer {
		return nil, failure(http.StatusBadRequest, "the lines of the answer have more than %d bytes; ask for fewer with limit", maxAnswer)
	}
	streams := make([]stream, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		streams = append(streams, *found[name])
	}
	return streams, nil
}

// entry returns a line as a response has it, and the labels of the response's stream for
// it: all labels of the line, so that lines of one stream of the store are in different
// streams of the response if their metadata differ, or only the stream's own labels.
func (run *run) entry(l store.Line, labels logql.Labels) (map[string]string, entry) {
	e := entry{at: l.Time, text: l.Text}
	if !run.categorize {
		return labels.All(), e
	}
	e.categories = &categories{StructuredMetadata: labels.Metadata, Parsed: labels.Parsed}
	return labels.Stream, e
}

// metric answers a metric query.
func (run *run) metric(start, end time.Time, step time.Duration) ([]logql.Series, error) {
	counter, err := run.query.Aggregation.NewCounter(start, end, step)
	if err != nil {
		return nil, badRequest(err)
	}
	// A point at t counts (t-range, t]; the store reads [from, to).
	from, to := start.Add(time.Nanosecond-run.query.Aggregation.Range), end.Add(time.Nanosecond)
	periods, err := run.count(from, to, counter)
	if err != nil {
		return nil, err
	}
	for _, p := range periods {
		var refused error
		err = run.each(p.From, p.To, true, 0, func(l store.Line, labels logql.Labels) bool {
			refused = counter.Add(l.Time, len(l.Text), labels)
			return refused == nil
		})
		switch {
		case err != nil:
			return nil, err
		case refused != nil:
			return nil, badRequest(refused)
		}
	}
	series := counter.Series()
	run.stats.TotalEntriesReturned = len(series)
	return series, nil
}

// count counts lines in [from, to) without reading them, as far as the store can, and
// returns the periods whose lines have to be read.
func (run *run) count(from, to time.Time, counter *logql.Counter) ([]store.Period, error) {
	all := []store.Period{{From: from, To: to}}
	by, ok := run.query.Counted()
	if !ok {
		return all, nil
	}
	q, ended := run.selected(from, to)
	var refused error
	rest, ok, err := run.store.CountLines(run.ctx, store.LineCount{LineQuery: q, By: by, Sizes: run.query.Aggregation.Bytes},
		func(stream, metadata map[string]string, times []int64, sizes []int) error {
			run.stats.TotalLinesProcessed += len(times)
			run.stats.TotalPostFilterLines += len(times)
			refused = counter.AddLines(stream, metadata, times, sizes)
			return refused
		})
	switch {
	case refused != nil:
		return nil, badRequest(refused)
	case cmp.Or(err, *ended) != nil:
		return nil, cmp.Or(err, *ended)
	case !ok:
		return all, nil
	}
	return rest, nil
}

// headerEncodingFlags is the header that asks for variants of the response's encoding.
const (
	headerEncodingFlags = "X-Loki-Response-Encoding-Flags"
	flagCategorize      = "categorize-labels"
)

// categorizes reports whether a request asks for labels by kind.
func categorizes(r *http.Request) bool {
	for flag := range strings.SplitSeq(r.Header.Get(headerEncodingFlags), ",") {
		if strings.TrimSpace(flag) == flagCategorize {
			return true
		}
	}
	return false
}

package loki

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
)

// instant answers /loki/api/v1/query.
func (h *handler) instant(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	if q.Metric == nil {
		return answer.Errorf(http.StatusBadRequest, "log queries are not supported as an instant query type, please change your query to a range query type")
	}
	at, err := timestamp(r, "time", h.opts.Now())
	if err != nil {
		return err
	}
	run := h.newRun(r)
	result, err := run.metric(q.Metric, logql.Steps{Start: at, End: at, Step: time.Second, Instant: true})
	if err != nil {
		return err
	}
	if result.Scalar {
		return run.respond(w, "scalar", func(e *encoder) { e.text(point(result.Series[0].Points[0])) })
	}
	return run.respond(w, "vector", func(e *encoder) { e.vector(result.Series) })
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
	run := h.newRun(r)
	if q.Metric == nil {
		found, err := run.lines(q, p)
		if err != nil {
			return err
		}
		return run.respond(w, "streams", func(e *encoder) { e.streams(found) })
	}
	result, err := run.metric(q.Metric, align(p.start, p.end, p.step))
	if err != nil {
		return err
	}
	return run.respond(w, "matrix", func(e *encoder) { e.matrix(result.Series) })
}

// align moves the start back and the end forward to multiples of the step, as Loki's
// query frontend does, so that the points of a query do not shift with its start.
func align(start, end time.Time, step time.Duration) logql.Steps {
	from, to := start.UnixNano(), end.UnixNano()
	from -= from % int64(step)
	if over := to % int64(step); over != 0 {
		to += int64(step) - over
	}
	return logql.Steps{Start: time.Unix(0, from), End: time.Unix(0, to), Step: step}
}

// run is one query under way, with its statistics.
type run struct {
	ctx        context.Context
	store      Store
	engine     promql.QueryEngine
	categorize bool // respond with the three kinds of labels apart
	began      time.Time
	now        func() time.Time
	stats      stats
}

func (h *handler) newRun(r *http.Request) *run {
	return &run{ctx: r.Context(), store: h.store, engine: h.engine, categorize: categorizes(r), began: h.opts.Now(), now: h.opts.Now}
}

// selected returns the store's query for the lines in [from, to) that may pass the
// selector and the pipeline. While that runs, *ended gets the error of the context if it ends.
func (run *run) selected(s logql.Selector, p logql.Pipeline, from, to time.Time) (q store.LineQuery, ended *error) {
	ended = new(error)
	q = store.LineQuery{From: from, To: to, Streams: func(labels map[string]string) bool {
		matches, err := s.Matches(run.ctx, labels)
		*ended = cmp.Or(*ended, err)
		return matches && err == nil
	}}
	required, _ := p.Required()
	for _, f := range required {
		q.Where = append(q.Where, store.LineFilter(f))
	}
	return q, ended
}

// each calls yield for every line that q selects and that passes the pipeline, until yield
// returns false.
func (run *run) each(q store.LineQuery, ended *error, p logql.Pipeline, yield func(store.Line, logql.Output) bool) error {
	var returned duplicates
	err := run.store.Lines(run.ctx, q, func(l store.Line) bool {
		run.stats.TotalLinesProcessed++
		run.stats.TotalBytesProcessed += len(l.Text)
		out, ok, err := p.Process(run.ctx, logql.Input{Stream: l.Stream, Metadata: l.Metadata, Time: l.Time.UnixNano(), Text: l.Text})
		if err != nil {
			*ended = err
			return false
		}
		if !ok || returned.again(l) {
			return true
		}
		run.stats.TotalPostFilterLines++
		return yield(l, out)
	})
	return cmp.Or(err, *ended)
}

// lines answers a query for log lines.
func (run *run) lines(query *logql.Query, p rangeParams) ([]stream, error) {
	found := make(map[string]*stream)
	size := 0
	var last time.Time // of the lines that are returned
	q, ended := run.selected(query.Selector, query.Pipeline, p.start, p.end)
	q.Forward, q.Expected = p.forward, p.limit
	err := run.each(q, ended, query.Pipeline, func(l store.Line, out logql.Output) bool {
		if run.stats.TotalEntriesReturned > 0 && l.Time.Sub(last).Abs() < p.interval {
			return true
		}
		last = l.Time
		key, e := run.entry(l, out)
		name := logql.FormatLabels(key)
		if found[name] == nil {
			found[name] = &stream{labels: key}
		}
		found[name].values = append(found[name].values, e)
		run.stats.TotalEntriesReturned++
		size += len(out.Text) + len(name) + labelBytes*(len(out.Stream)+len(out.Metadata)+len(out.Parsed))
		if e.categories != nil {
			size += sizeOf(e.categories.StructuredMetadata) + sizeOf(e.categories.Parsed)
		}
		return run.stats.TotalEntriesReturned < p.limit && size <= maxAnswer
	})
	if err != nil {
		return nil, err
	}
	if size > maxAnswer {
		return nil, answer.Errorf(http.StatusBadRequest, "the lines of the answer have more than %d bytes; ask for fewer with limit", maxAnswer)
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
func (run *run) entry(l store.Line, out logql.Output) (map[string]string, entry) {
	e := entry{at: l.Time, text: out.Text}
	if !run.categorize {
		return out.All(), e
	}
	e.categories = &categories{StructuredMetadata: out.Metadata, Parsed: out.Parsed}
	return out.Stream, e
}

// metric answers a metric query.
func (run *run) metric(m *logql.Metric, steps logql.Steps) (logql.Result, error) {
	var ranges [][]logql.Series
	for _, r := range m.Ranges {
		series, err := run.aggregate(r, steps)
		if err != nil {
			return logql.Result{}, err
		}
		ranges = append(ranges, series)
	}
	result, err := m.Eval(run.ctx, run.engine, ranges, steps)
	if err != nil {
		return logql.Result{}, badRequest(err)
	}
	run.stats.TotalEntriesReturned = len(result.Series)
	return result, nil
}

// aggregate computes the series of a range aggregation.
func (run *run) aggregate(r *logql.Range, steps logql.Steps) ([]logql.Series, error) {
	a, err := r.Aggregate(steps)
	if err != nil {
		return nil, badRequest(err)
	}
	from, to := r.Lines(steps)
	periods := []store.Period{{From: from, To: to}}
	if by, ok := r.Counted(); ok {
		if periods, err = run.count(r.Selector, r.Pipeline, store.LineCount{By: by, Sizes: r.Bytes}, from, to, a.AddLines); err != nil {
			return nil, err
		}
	}
	for _, p := range periods {
		var refused error
		q, ended := run.selected(r.Selector, r.Pipeline, p.From, p.To)
		q.Forward = true
		err = run.each(q, ended, r.Pipeline, func(l store.Line, out logql.Output) bool {
			refused = a.Add(l.Time.UnixNano(), out)
			return refused == nil
		})
		switch {
		case err != nil:
			return nil, err
		case refused != nil:
			return nil, badRequest(refused)
		}
	}
	series, err := a.Series(run.ctx)
	if err != nil {
		return nil, badRequest(err)
	}
	return series, nil
}

// count counts lines in [from, to) without reading them, as far as the store can, and
// returns the periods whose lines have to be read.
func (run *run) count(s logql.Selector, p logql.Pipeline, c store.LineCount, from, to time.Time,
	add func(stream, metadata map[string]string, times []int64, sizes []int) error,
) ([]store.Period, error) {
	var ended *error
	c.LineQuery, ended = run.selected(s, p, from, to)
	var refused error
	rest, ok, err := run.store.CountLines(run.ctx, c, func(stream, metadata map[string]string, times []int64, sizes []int) error {
		run.stats.TotalLinesProcessed += len(times)
		run.stats.TotalPostFilterLines += len(times)
		refused = add(stream, metadata, times, sizes)
		return refused
	})
	switch {
	case refused != nil:
		return nil, badRequest(refused)
	case cmp.Or(err, *ended) != nil:
		return nil, cmp.Or(err, *ended)
	case !ok:
		return []store.Period{{From: from, To: to}}, nil
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

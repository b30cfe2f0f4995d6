// Package grafanatest does with a running stack what Grafana would do: it asks
// what a panel asks, and follows links between signals.
//
// It is for tests of the embedded stack and of the real servers. Its functions say
// what is missing at this moment and do not wait for it.
package grafanatest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

// Servers are clients of the servers that the data sources name.
type Servers struct {
	Prometheus *query.Prometheus
	Loki       *query.Loki
	Tempo      *query.Tempo
}

// Range is the time range of panels, up to now.
const Range = 15 * time.Minute

// Settings returns those of a dashboard as it is first shown.
func Settings() grafana.Settings { return grafana.Settings{Range: Range, Step: 15 * time.Second} }

// errNone is returned for an empty response.
var errNone = errors.New("no data")

func some(n int) error {
	if n == 0 {
		return errNone
	}
	return nil
}

// Ask returns an error unless a query of a panel returns data, and exemplars if it asks for them.
func (s Servers) Ask(ctx context.Context, q grafana.Query) error {
	end := time.Now()
	start := end.Add(-Range)
	switch q.Server {
	case grafana.TypeLoki:
		res, err := s.Loki.QueryRange(ctx, query.LogQuery{LogQL: q.Expr, Start: start, End: end, Limit: q.Limit})
		if err != nil {
			return err
		}
		return some(len(res.Lines))
	case grafana.TypeTempo:
		res, err := s.Tempo.Search(ctx, query.Search{TraceQL: q.Expr, Start: start, End: end, Limit: q.Limit})
		if err != nil {
			return err
		}
		return some(len(res.Traces))
	}
	res, err := s.metrics(ctx, q, start, end)
	if err != nil {
		return err
	}
	if err := some(numbers(res)); err != nil || !q.Exemplar {
		return err
	}
	found, err := s.Prometheus.Exemplars(ctx, q.Expr, start, end)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%w: no exemplars", errNone)
	}
	return nil
}

func (s Servers) metrics(ctx context.Context, q grafana.Query, start, end time.Time) (*query.Result, error) {
	if q.Instant {
		return s.Prometheus.Query(ctx, q.Expr, end)
	}
	return s.Prometheus.QueryRange(ctx, q.Expr, start, end, q.Step)
}

// numbers counts the points that can be drawn.
func numbers(res *query.Result) int {
	n := 0
	for _, series := range res.Series {
		for _, p := range series.Points {
			if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
				n++
			}
		}
	}
	return n
}

// Follow follows every link from the spans of a trace, and back from the log lines that they lead
// to. The trace must have spans of at least the given number of services.
func (s Servers) Follow(ctx context.Context, sources grafana.DataSources, id string, services int) error {
	trace, err := s.Tempo.Trace(ctx, id)
	if err != nil {
		return err
	}
	if got := trace.Services(); len(got) < services {
		return fmt.Errorf("the trace has spans of %v alone", got)
	}
	for _, span := range trace.Spans {
		if err := s.logs(ctx, sources, span); err != nil {
			return fmt.Errorf("from the span %s of %s to its log lines: %w", span.Name, span.Service, err)
		}
		links, err := sources.TraceToMetrics(span)
		if err != nil {
			return err
		}
		for _, link := range links {
			res, err := s.Prometheus.QueryRange(ctx, link.Expr, link.Start, link.End, 5*time.Second)
			if err == nil {
				err = some(numbers(res))
			}
			if err != nil {
				return fmt.Errorf("from the span %s of %s to %q: %s: %w", span.Name, span.Service, link.Name, link.Expr, err)
			}
		}
	}
	return nil
}

func (s Servers) logs(ctx context.Context, sources grafana.DataSources, span query.Span) error {
	link, err := sources.TraceToLogs(span)
	if err != nil {
		return err
	}
	res, err := s.Loki.QueryRange(ctx, query.LogQuery{LogQL: link.Expr, Start: link.Start, End: link.End})
	if err != nil {
		return err
	}
	if len(res.Lines) == 0 {
		return fmt.Errorf("%s: %w", link.Expr, errNone)
	}
	for _, line := range res.Lines {
		if line.Service() != span.Service {
			return fmt.Errorf("%s finds a line of %s", link.Expr, line.Service())
		}
		back, err := sources.LogToTrace(line)
		if err != nil {
			return fmt.Errorf("back from the line %q: %w", line.Message(), err)
		}
		if back != span.TraceID {
			return fmt.Errorf("back from the line %q: it leads to the trace %q, not %s", line.Message(), back, span.TraceID)
		}
	}
	return nil
}

// Exemplars follows all exemplars of a query that selects series. There must be
// one, and each must lead to a trace.
func (s Servers) Exemplars(ctx context.Context, sources grafana.DataSources, promQL string) error {
	end := time.Now()
	found, err := s.Prometheus.Exemplars(ctx, promQL, end.Add(-Range), end)
	if err != nil {
		return err
	}
	for _, x := range found {
		to, err := sources.ExemplarToTrace(x)
		if err != nil {
			return err
		}
		if _, err := s.Tempo.Trace(ctx, to); err != nil {
			return fmt.Errorf("from an exemplar of %v: %w", x.Series, err)
		}
	}
	return some(len(found))
}

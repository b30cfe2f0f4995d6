package query

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"
)

// Prometheus is a client of Prometheus' HTTP API v1.
type Prometheus struct{ api }

// NewPrometheus makes a client.
func NewPrometheus(cfg Config) (*Prometheus, error) {
	a, err := newAPI("Prometheus", cfg)
	if err != nil {
		return nil, err
	}
	return &Prometheus{a}, nil
}

// Point is a value at a time. The value may be NaN or infinite.
type Point struct {
	Time  time.Time
	Value float64
}

// UnmarshalJSON reads [seconds, "value"].
func (p *Point) UnmarshalJSON(b []byte) error {
	var w [2]json.RawMessage
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("decoding point %.60s: %w", b, err)
	}
	ts, err := strconv.ParseFloat(string(w[0]), 64)
	if err != nil {
		return fmt.Errorf("decoding the time of point %.60s: %w", b, err)
	}
	var v string
	if err := json.Unmarshal(w[1], &v); err != nil {
		return fmt.Errorf("decoding the value of point %.60s: %w", b, err)
	}
	if p.Value, err = strconv.ParseFloat(v, 64); err != nil {
		return fmt.Errorf("decoding the value of point %.60s: %w", b, err)
	}
	p.Time = seconds(ts)
	return nil
}

// seconds converts Unix seconds, to the millisecond, which is Prometheus' own
// resolution. A time before the year 1 or after 9999, which no clock shows, is
// moved there.
func seconds(s float64) time.Time {
	const first, last = -62135596800, 253402300799
	return time.UnixMilli(int64(math.Round(max(first, min(s, last)) * 1000))).UTC()
}

// duration converts seconds. Beyond the range of a duration, 292 years, it is the
// longest or the shortest one.
func duration(s float64) time.Duration {
	switch ns := s * float64(time.Second); {
	case ns >= math.MaxInt64:
		return math.MaxInt64
	case ns <= math.MinInt64:
		return math.MinInt64
	default:
		return time.Duration(ns)
	}
}

// Series is a labelled row of points. An instant result has one point each.
type Series struct {
	Labels map[string]string
	Points []Point
}

// Last returns the newest value, or NaN.
func (s Series) Last() float64 {
	if len(s.Points) == 0 {
		return math.NaN()
	}
	return s.Points[len(s.Points)-1].Value
}

// Result is the result of a PromQL query.
type Result struct {
	Type     string // "vector", "matrix", "scalar" or "string"
	Series   []Series
	Text     string   // of a string
	Warnings []string // the server's, with its notes
}

// Query evaluates at one moment; the zero time means the server's now.
func (p *Prometheus) Query(ctx context.Context, promql string, at time.Time) (*Result, error) {
	v := url.Values{"query": {promql}}
	if !at.IsZero() {
		v.Set("time", unixSeconds(at))
	}
	return p.query(ctx, "/api/v1/query", v)
}

// QueryRange evaluates at every step from start to end.
func (p *Prometheus) QueryRange(ctx context.Context, promql string, start, end time.Time, step time.Duration) (*Result, error) {
	if step <= 0 || end.Before(start) {
		return nil, fmt.Errorf("querying a range of %s from %s to %s: the step must be above 0 and the end after the start", step, start, end)
	}
	return p.query(ctx, "/api/v1/query_range", url.Values{"query": {promql}, "start": {unixSeconds(start)},
		"end": {unixSeconds(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}})
}

func (p *Prometheus) query(ctx context.Context, path string, v url.Values) (*Result, error) {
	var w struct {
		Data struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		} `json:"data"`
		Warnings, Infos []string
	}
	if err := p.getJSON(ctx, path, v, nil, &w); err != nil {
		return nil, err
	}
	r := &Result{Type: w.Data.ResultType, Warnings: append(w.Warnings, w.Infos...)}
	if err := r.decode(w.Data.Result); err != nil {
		return nil, fmt.Errorf("decoding the %s that Prometheus at %s answered: %w", r.Type, p.URL(), err)
	}
	return r, nil
}

func (r *Result) decode(raw json.RawMessage) error {
	switch r.Type {
	case "vector", "matrix":
		var rows []struct {
			Metric map[string]string `json:"metric"`
			Value  *Point            `json:"value"`
			Values []Point           `json:"values"`
			// Native histograms have no single value; the lab's are classic.
			Histogram, Histograms json.RawMessage
		}
		if err := json.Unmarshal(raw, &rows); err != nil {
			return err
		}
		for _, row := range rows {
			if row.Value != nil {
				row.Values = []Point{*row.Value}
			}
			if len(row.Values) == 0 && (row.Histogram != nil || row.Histograms != nil) {
				r.Warnings = append(r.Warnings, "a native histogram is not shown: ask for a quantile or a count of it")
				continue
			}
			r.Series = append(r.Series, Series{Labels: row.Metric, Points: row.Values})
		}
		return nil
	case "scalar":
		var pt Point
		if err := json.Unmarshal(raw, &pt); err != nil {
			return err
		}
		r.Series = []Series{{Points: []Point{pt}}}
		return nil
	case "string":
		var w [2]any
		if err := json.Unmarshal(raw, &w); err != nil {
			return err
		}
		r.Text = fmt.Sprint(w[1])
		return nil
	}
	return fmt.Errorf("want a vector, matrix, scalar or string")
}

// Exemplar is a sample that names the trace it came from.
type Exemplar struct {
	TraceID string            // 32 hex digits, "" if it has none that is valid
	Labels  map[string]string // the exemplar's own
	Series  map[string]string // the labels of the series it belongs to
	Time    time.Time
	Value   float64
}

// Exemplars returns the exemplars of the series that the query selects.
func (p *Prometheus) Exemplars(ctx context.Context, promql string, start, end time.Time) ([]Exemplar, error) {
	var w struct {
		Data []struct {
			SeriesLabels map[string]string `json:"seriesLabels"`
			Exemplars    []struct {
				Labels    map[string]string `json:"labels"`
				Value     wireFloat         `json:"value"`
				Timestamp float64           `json:"timestamp"`
			} `json:"exemplars"`
		} `json:"data"`
	}
	v := url.Values{"query": {promql}, "start": {unixSeconds(start)}, "end": {unixSeconds(end)}}
	if err := p.getJSON(ctx, "/api/v1/query_exemplars", v, nil, &w); err != nil {
		return nil, err
	}
	var out []Exemplar
	for _, s := range w.Data {
		for _, e := range s.Exemplars {
			out = append(out, Exemplar{TraceID: exemplarTraceID(e.Labels), Labels: e.Labels, Series: s.SeriesLabels,
				Time: seconds(e.Timestamp), Value: float64(e.Value)})
		}
	}
	return out, nil
}

// exemplarTraceID returns the label trace_id, or traceID, which is the default of Tempo's
// generator.
func exemplarTraceID(labels map[string]string) string {
	for _, key := range []string{exemplarTraceIDLabel, "traceID"} {
		if id, err := ParseTraceID(labels[key]); err == nil {
			return id
		}
	}
	return ""
}

// Target is something that Prometheus scrapes.
type Target struct {
	Job, Instance string
	Pool, URL     string
	Labels        map[string]string
	Health        string // "up", "down" or "unknown"
	LastError     string
	LastScrape    time.Time     // zero: never
	LastDuration  time.Duration // of the last scrape
	Interval      string        // as configured, such as "2s"
}

// Targets lists the active scrape targets.
func (p *Prometheus) Targets(ctx context.Context) ([]Target, error) {
	var w struct {
		Data struct {
			ActiveTargets []struct {
				Labels             map[string]string `json:"labels"`
				ScrapePool         string            `json:"scrapePool"`
				ScrapeURL          string            `json:"scrapeUrl"`
				LastError          string            `json:"lastError"`
				LastScrape         time.Time         `json:"lastScrape"`
				LastScrapeDuration float64           `json:"lastScrapeDuration"`
				Health             string            `json:"health"`
				ScrapeInterval     string            `json:"scrapeInterval"`
			} `json:"activeTargets"`
		} `json:"data"`
	}
	if err := p.getJSON(ctx, "/api/v1/targets", url.Values{"state": {"active"}}, nil, &w); err != nil {
		return nil, err
	}
	var out []Target
	for _, t := range w.Data.ActiveTargets {
		out = append(out, Target{Job: t.Labels["job"], Instance: t.Labels["instance"], Pool: t.ScrapePool, URL: t.ScrapeURL,
			Labels: t.Labels, Health: t.Health, LastError: t.LastError, LastScrape: t.LastScrape.UTC(),
			LastDuration: duration(t.LastScrapeDuration), Interval: t.ScrapeInterval})
	}
	return out, nil
}

// LabelValues lists the values of a label.
func (p *Prometheus) LabelValues(ctx context.Context, label string) ([]string, error) {
	var w struct{ Data []string }
	err := p.getJSON(ctx, "/api/v1/label/"+url.PathEscape(label)+"/values", nil, nil, &w)
	return w.Data, err
}

// BuildInfo is the version that a server reports.
type BuildInfo struct{ Version, Revision, GoVersion string }

// BuildInfo returns the server's version.
func (p *Prometheus) BuildInfo(ctx context.Context) (BuildInfo, error) {
	var w struct{ Data BuildInfo }
	err := p.getJSON(ctx, "/api/v1/status/buildinfo", nil, nil, &w)
	return w.Data, err
}

// wireFloat is a number, as text or bare.
type wireFloat float64

func (f *wireFloat) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(s) >= 2 && s[0] == '"' {
		s = s[1 : len(s)-1]
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("decoding number %.40s: %w", b, err)
	}
	*f = wireFloat(v)
	return nil
}

func unixSeconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

package grafana

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"dicelab/internal/query"
)

// The functions below repeat what Grafana does after a click on a link, as far as it decides which
// query goes to which server ("Configure trace to logs correlation", "Configure trace to metrics
// correlation", "Custom query variables", and the source of the trace view, createSpanLink.tsx).

// LinkedQuery is a query that a link leads to.
type LinkedQuery struct {
	Name          string // of the link, if it has one
	DatasourceUID string
	Expr          string
	Start, End    time.Time
}

// ErrNoLink is returned if Grafana shows no link, because what was clicked has nothing that the
// link is for.
var ErrNoLink = errors.New("no link is shown here")

// TraceToLogs returns the query of "Logs for this span".
func (s DataSources) TraceToLogs(span query.Span) (LinkedQuery, error) {
	l := s.Tempo.Data.TracesToLogs
	if l.DatasourceUID == "" {
		return LinkedQuery{}, fmt.Errorf("%w: tracesToLogsV2 names no data source", ErrNoLink)
	}
	if !l.CustomQuery || l.Query == "" {
		return LinkedQuery{}, errors.New("following tracesToLogsV2: only a query of its own (customQuery: true) is supported")
	}
	expr, err := fill(l.Query, spanValues(span, l.Tags))
	if err != nil {
		return LinkedQuery{}, fmt.Errorf("%w: %w", ErrNoLink, err)
	}
	return shifted(LinkedQuery{DatasourceUID: l.DatasourceUID, Expr: expr}, span, l.SpanStartTimeShift, l.SpanEndTimeShift, 0)
}

// TraceToMetrics returns the query of each link from a span to metrics.
func (s DataSources) TraceToMetrics(span query.Span) ([]LinkedQuery, error) {
	l := s.Tempo.Data.TracesToMetrics
	if l.DatasourceUID == "" || len(l.Queries) == 0 {
		return nil, fmt.Errorf("%w: tracesToMetrics names no data source or no query", ErrNoLink)
	}
	var out []LinkedQuery
	for _, q := range l.Queries {
		expr, err := fill(q.Query, spanValues(span, l.Tags))
		if err != nil {
			return nil, fmt.Errorf("following %q: %w", q.Name, err)
		}
		link, err := shifted(LinkedQuery{Name: q.Name, DatasourceUID: l.DatasourceUID, Expr: expr}, span, l.SpanStartTimeShift, l.SpanEndTimeShift, 2*time.Minute)
		if err != nil {
			return nil, fmt.Errorf("following %q: %w", q.Name, err)
		}
		out = append(out, link)
	}
	return out, nil
}

// shifted sets the time range of q: the span's, moved by start and end. A side without a shift is
// widened by without.
func shifted(q LinkedQuery, span query.Span, start, end string, without time.Duration) (LinkedQuery, error) {
	before, after := -without, without
	for _, shift := range []struct {
		text string
		into *time.Duration
	}{{start, &before}, {end, &after}} {
		if shift.text == "" {
			continue
		}
		d, err := time.ParseDuration(shift.text)
		if err != nil {
			return q, fmt.Errorf("reading a time shift: %w", err)
		}
		*shift.into = d
	}
	q.Start, q.End = span.Start.Add(before), span.End().Add(after)
	return q, nil
}

// spanValues returns the variables of a link from a span. A trace ID that is 64 bits
// long, with zeros before it, is shown without them by Grafana; any other keeps
// its zeros.
func spanValues(span query.Span, tags []Tag) map[string]string {
	id := strings.TrimPrefix(span.TraceID, strings.Repeat("0", 16))
	values := map[string]string{
		"__span.traceId": id, "__trace.traceId": id, "__span.spanId": span.SpanID, "__span.name": span.Name,
	}
	var labels []string
	all := slices.Concat(span.Resource, span.Attributes, query.Attributes{
		{Key: "spanId", Value: span.SpanID}, {Key: "traceId", Value: id}, {Key: "name", Value: span.Name},
	})
	for _, a := range all {
		text := query.FormatValue(a.Value)
		values["__span.tags."+a.Key] = text
		if i := slices.IndexFunc(tags, func(t Tag) bool { return t.Key == a.Key }); i >= 0 {
			label := tags[i].Value
			if label == "" {
				label = tags[i].Key
			}
			// Grafana does not escape the value: neither does this.
			labels = append(labels, label+`="`+text+`"`)
		}
	}
	values["__tags"] = strings.Join(labels, ", ")
	return values
}

// LogToTrace returns the trace that the derived field of a log line leads to: its ID as
// Grafana asks Tempo for it. Labels are those of the stream and the line's
// structured metadata.
func (s DataSources) LogToTrace(line query.LogLine) (string, error) {
	labels := map[string]string{}
	for _, from := range []map[string]string{line.Labels, line.Metadata} {
		for k, v := range from {
			labels[k] = v
		}
	}
	for _, f := range s.Loki.Data.DerivedFields {
		if f.DatasourceUID != s.Tempo.UID {
			continue
		}
		value, err := f.value(labels, line.Text)
		if err != nil {
			return "", fmt.Errorf("following derived field %q: %w", f.Name, err)
		}
		if value == "" {
			continue
		}
		id, err := fill(f.URL, map[string]string{"__value.raw": value})
		if err != nil {
			return "", fmt.Errorf("following derived field %q: %w", f.Name, err)
		}
		return id, nil
	}
	return "", fmt.Errorf("%w: no derived field for traces matches the line", ErrNoLink)
}

// value returns the text that a derived field finds, or "".
func (f DerivedField) value(labels map[string]string, line string) (string, error) {
	re, err := regexp.Compile(f.MatcherRegex)
	if err != nil {
		return "", err
	}
	if f.MatcherType == "label" {
		for _, name := range sortedKeys(labels) {
			if re.MatchString(name) {
				return labels[name], nil
			}
		}
		return "", nil
	}
	if m := re.FindStringSubmatch(line); len(m) > 1 {
		return m[1], nil
	}
	return "", nil
}

// ExemplarToTrace returns the trace that an exemplar leads to: its ID as the label has
// it, which may lack leading zeros.
func (s DataSources) ExemplarToTrace(x query.Exemplar) (string, error) {
	for _, d := range s.Prometheus.Data.ExemplarDestinations {
		if id := x.Labels[d.Name]; id != "" && d.DatasourceUID == s.Tempo.UID {
			return id, nil
		}
	}
	return "", fmt.Errorf("%w: the exemplar has no label that exemplarTraceIdDestinations names: it has %s",
		ErrNoLink, strings.Join(sortedKeys(x.Labels), ", "))
}

// ServiceGraph returns the queries that the service graph of the Tempo data source sends to its
// Prometheus for a time range, unfiltered.
func (s DataSources) ServiceGraph(over time.Duration) ([]LinkedQuery, error) {
	if s.Tempo.Data.ServiceMap.DatasourceUID == "" {
		return nil, fmt.Errorf("%w: serviceMap names no data source", ErrNoLink)
	}
	var out []LinkedQuery
	for _, q := range serviceGraph(Query{}, "", over) {
		out = append(out, LinkedQuery{Name: string(q.Graph), DatasourceUID: s.Tempo.Data.ServiceMap.DatasourceUID, Expr: q.Expr})
	}
	return out, nil
}

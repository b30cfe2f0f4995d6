package query

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// MetricInfo is the metadata of a metric from its exposition.
type MetricInfo struct{ Type, Help, Unit string }

// Metadata returns the type and help of metrics, by name. A metric that was not scraped
// may have none.
func (p *Prometheus) Metadata(ctx context.Context) (map[string]MetricInfo, error) {
	var w struct {
		Data map[string][]struct{ Type, Help, Unit string }
	}
	if err := p.getJSON(ctx, "/api/v1/metadata", url.Values{"limit_per_metric": {"1"}}, nil, &w); err != nil {
		return nil, err
	}
	out := make(map[string]MetricInfo, len(w.Data))
	for name, infos := range w.Data {
		if len(infos) > 0 {
			out[name] = MetricInfo(infos[0])
		}
	}
	return out, nil
}

// MetricNames lists the names of the metrics that have samples between start and end, of
// the series that a selector matches; "" means all.
func (p *Prometheus) MetricNames(ctx context.Context, selector string, start, end time.Time) ([]string, error) {
	v := url.Values{"start": {unixSeconds(start)}, "end": {unixSeconds(end)}}
	if selector != "" {
		v.Set("match[]", selector)
	}
	var w struct{ Data []string }
	err := p.getJSON(ctx, "/api/v1/label/__name__/values", v, nil, &w)
	return w.Data, err
}

// SeriesOf lists the labels of at most limit series that a selector matches between start
// and end.
func (p *Prometheus) SeriesOf(
	ctx context.Context,
	selector string,
	start, end time.Time,
	limit int,
) ([]map[string]string, error) {
	var w struct{ Data []map[string]string }
	err := p.getJSON(ctx, "/api/v1/series", url.Values{"match[]": {selector}, "limit": {strconv.Itoa(limit)},
		"start": {unixSeconds(start)}, "end": {unixSeconds(end)}}, nil, &w)
	return w.Data[:min(len(w.Data), limit)], err
}

// Tags lists the attributes that spans have, with their scopes, such as span.http.route,
// and the intrinsics that need none, sorted by scope and name.
func (t *Tempo) Tags(ctx context.Context) ([]string, error) {
	var w struct {
		Scopes []struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		} `json:"scopes"`
	}
	if err := t.getJSON(ctx, "/api/v2/search/tags", nil, nil, &w); err != nil {
		return nil, err
	}
	var out []string
	for _, s := range w.Scopes {
		if s.Name == "intrinsic" {
			out = append(out, traceQLNames()...)
			continue
		}
		for _, tag := range s.Tags {
			out = append(out, s.Name+"."+tag)
		}
	}
	slices.Sort(out)
	return out, nil
}

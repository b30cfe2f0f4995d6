package metrics

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"google.golang.org/protobuf/proto"
)

// federate answers /federate: the last sample of every series that one of match[] selects,
// as text, for another Prometheus to scrape. Native histograms, which the text format
// does not have, are left out.
func (s *Server) federate(p parser.Parser) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		selectors, err := p.ParseMetricSelectors(r.Form["match[]"])
		if err != nil {
			fail(w, r, http.StatusBadRequest, "bad_data", err.Error())
			return
		}
		families, err := s.latest(r.Context(), selectors)
		if err != nil {
			fail(w, r, http.StatusInternalServerError, "internal", err.Error())
			return
		}
		w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
		for _, family := range families {
			if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
				return // the client is gone
			}
		}
	})
}

// latest returns the last sample of each series, by the name of its metric.
func (s *Server) latest(ctx context.Context, selectors [][]*labels.Matcher) ([]*dto.MetricFamily, error) {
	now := time.Now()
	from, to := now.Add(-lookback).UnixMilli(), now.UnixMilli()
	q, err := s.db.Querier(from, to)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	var sets []storage.SeriesSet
	for _, matchers := range selectors {
		sets = append(sets, q.Select(ctx, true, &storage.SelectHints{Start: from, End: to}, matchers...))
	}
	byName := map[string]*dto.MetricFamily{}
	set := storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
	for set.Next() {
		series := set.At()
		at, v, ok := last(series.Iterator(nil))
		if !ok || value.IsStaleNaN(v) {
			continue
		}
		metric := &dto.Metric{Untyped: &dto.Untyped{Value: &v}, TimestampMs: &at}
		name := ""
		series.Labels().Range(func(l labels.Label) {
			if l.Name == model.MetricNameLabel {
				name = l.Value
				return
			}
			metric.Label = append(metric.Label, &dto.LabelPair{Name: proto.String(l.Name), Value: proto.String(l.Value)})
		})
		if !series.Labels().Has("instance") { // or the scraping server would add its own
			metric.Label = append(metric.Label, &dto.LabelPair{Name: proto.String("instance"), Value: proto.String("")})
		}
		if byName[name] == nil {
			byName[name] = &dto.MetricFamily{Name: &name, Type: dto.MetricType_UNTYPED.Enum()}
		}
		byName[name].Metric = append(byName[name].Metric, metric)
	}
	if err := set.Err(); err != nil {
		return nil, err
	}
	families := make([]*dto.MetricFamily, 0, len(byName))
	for _, family := range byName {
		families = append(families, family)
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return families, ctx.Err()
}

// last returns the last sample, and false if it is a histogram, or there is none.
func last(it chunkenc.Iterator) (at int64, v float64, ok bool) {
	for {
		switch it.Next() {
		case chunkenc.ValNone:
			return at, v, ok
		case chunkenc.ValFloat:
			at, v = it.At()
			ok = true
		default:
			ok = false
		}
	}
}

package otlp

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"

	"dicelab/internal/embedded/senders"
)

func (r *Receiver) metrics() *signal {
	return &signal{
		name: senders.Metrics, items: "data points", path: "/v1/metrics", method: colmetricspb.MetricsService_Export_FullMethodName,
		batch: "send_batch_max_size of the Collector splits them", shape: newShape((&colmetricspb.ExportMetricsServiceRequest{}).ProtoReflect().Descriptor()),
		depth: maxNested, store: r.storeMetrics,
		respond: func(rejected int64, message string) response {
			resp := &colmetricspb.ExportMetricsServiceResponse{}
			if message != "" {
				resp.PartialSuccess = &colmetricspb.ExportMetricsPartialSuccess{RejectedDataPoints: rejected, ErrorMessage: message}
			}
			return resp
		},
	}
}

// storeMetrics stores the valid points of an export.
func (r *Receiver) storeMetrics(ctx context.Context, e export) (o outcome, err error) {
	if r.opts.Points == nil {
		return o, unsupported(errors.New("metrics are not stored here"))
	}
	req := pmetricotlp.NewExportRequest()
	if err := e.decode(req); err != nil {
		return o, err
	}
	md := req.Metrics()
	for _, resource := range md.ResourceMetrics().All() {
		service, ok := resource.Resource().Attributes().Get(serviceKey)
		name := ""
		if ok {
			name = service.AsString()
		}
		o.add(name, points(resource))
	}
	rejected, note, err := r.opts.Points.AppendMetrics(ctx, md)
	if err != nil {
		return o, fmt.Errorf("storing metrics, send them again later: %w", err)
	}
	o.note = note
	o.reject(rejected)
	return o, nil
}

// points returns the number of data points of a resource.
func points(resource pmetric.ResourceMetrics) (n int) {
	for _, scope := range resource.ScopeMetrics().All() {
		for _, m := range scope.Metrics().All() {
			switch m.Type() {
			case pmetric.MetricTypeGauge:
				n += m.Gauge().DataPoints().Len()
			case pmetric.MetricTypeSum:
				n += m.Sum().DataPoints().Len()
			case pmetric.MetricTypeHistogram:
				n += m.Histogram().DataPoints().Len()
			case pmetric.MetricTypeExponentialHistogram:
				n += m.ExponentialHistogram().DataPoints().Len()
			case pmetric.MetricTypeSummary:
				n += m.Summary().DataPoints().Len()
			}
		}
	}
	return n
}

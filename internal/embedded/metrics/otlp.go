package metrics

import (
	"context"
	"errors"
	"fmt"
	"strings"

	deltatocumulative "github.com/open-telemetry/opentelemetry-collector-contrib/processor/deltatocumulativeprocessor"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage"
	translator "github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/metric/noop"

	"dicelab/internal/embedded/intake"
)

// maxDeltas bounds the series whose cumulative values are kept because their senders send
// deltas.
const maxDeltas = 10_000

// maxNotes bounds the warnings of the translation that a sender is told.
const maxNotes = 3

// errClosed means that the TSDB is closed.
var errClosed = errors.New("the metrics are closed: the lab is stopping")

// otlpWriter writes metrics of OTLP as Prometheus's own OTLP endpoint does: through its
// translator, and with the Collector's processor that makes cumulative values of deltas
// (github.com/prometheus/prometheus, storage/remote/write_otlp_handler.go). Unlike that,
// one bad point does not refuse the others.
type otlpWriter struct {
	to     storage.AppendableV2
	config config.OTLPConfig
	deltas processor.Metrics
}

func newOTLPWriter(to storage.AppendableV2, cfg config.OTLPConfig) (*otlpWriter, error) {
	w := &otlpWriter{to: to, config: cfg}
	factory := deltatocumulative.NewFactory()
	settings := processor.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: component.TelemetrySettings{MeterProvider: noop.NewMeterProvider()}}
	limits := factory.CreateDefaultConfig()
	if c, ok := limits.(*deltatocumulative.Config); ok {
		c.MaxStreams = maxDeltas
	}
	var err error
	if w.deltas, err = factory.CreateMetrics(context.Background(), settings, limits, w); err != nil {
		return nil, fmt.Errorf("making the processor of deltas: %w", err)
	}
	if err := w.deltas.Start(context.Background(), nil); err != nil {
		return nil, fmt.Errorf("starting the processor of deltas: %w", err)
	}
	return w, nil
}

// Capabilities implements consumer.Metrics.
func (*otlpWriter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// translated is what ConsumeMetrics returns besides its error, by the context.
type translated struct {
	points   int // that arrived at the translator
	notes    []string
	unusable error // metrics that cannot be translated
}

type translatedKey struct{}

// ConsumeMetrics implements consumer.Metrics: it translates cumulative metrics and appends
// them. Metrics that cannot be translated are left out.
func (w *otlpWriter) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	to := w.to.AppenderV2(ctx)
	annotations, err := translator.NewPrometheusConverter(to).FromMetrics(ctx, md, translator.Settings{
		AddMetricSuffixes:                    w.config.TranslationStrategy.ShouldAddSuffixes(),
		AllowUTF8:                            !w.config.TranslationStrategy.ShouldEscape(),
		PromoteResourceAttributes:            translator.NewPromoteResourceAttributes(w.config),
		KeepIdentifyingResourceAttributes:    w.config.KeepIdentifyingResourceAttributes,
		ConvertHistogramsToNHCB:              w.config.ConvertHistogramsToNHCB,
		PromoteScopeMetadata:                 w.config.PromoteScopeMetadata,
		LookbackDelta:                        lookback,
		LabelNameUnderscoreSanitization:      w.config.LabelNameUnderscoreSanitization,
		LabelNamePreserveMultipleUnderscores: w.config.LabelNamePreserveMultipleUnderscores,
	})
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), to.Rollback())
	}
	if t, ok := ctx.Value(translatedKey{}).(*translated); ok {
		t.points, t.unusable = md.DataPointCount(), err
		t.notes, _ = annotations.AsStrings("", maxNotes, 0)
	}
	return to.Commit()
}

// AppendMetrics stores the points of OTLP metrics and returns when they are in the
// write-ahead log. It returns the points that cannot be stored, which must not be sent
// again, and a warning for the sender, or "". Its error means that nothing is stored. It
// may change md.
func (s *Server) AppendMetrics(ctx context.Context, md pmetric.Metrics) (rejected []intake.Rejection, note string, err error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return nil, "", errClosed
	}
	rejected = prune(md)
	before, service := md.DataPointCount(), firstService(md)
	if before == 0 {
		return rejected, "", nil
	}
	ctx, w := newWritten(ctx, true)
	t := &translated{}
	ctx = context.WithValue(ctx, translatedKey{}, t)
	if hasDelta(md) {
		err = s.otlp.deltas.ConsumeMetrics(ctx, md)
	} else {
		err = s.otlp.ConsumeMetrics(ctx, md)
	}
	if err != nil {
		return nil, "", err
	}
	if lost := before - t.points; lost > 0 {
		rejected = intake.AddRejection(rejected, service, lost, fmt.Errorf(
			"deltas were older than those before them, or of more than %d series: send them in order, or cumulative ones (OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative)", maxDeltas))
	}
	if t.unusable != nil {
		rejected = intake.AddRejection(rejected, service, strings.Count(t.unusable.Error(), "\n")+1, t.unusable)
	}
	for _, r := range w.rejected {
		rejected = intake.AddRejection(rejected, r.Service[strings.LastIndex(r.Service, "/")+1:], r.Items, r.Reason)
	}
	return rejected, strings.Join(t.notes, "; "), nil
}

// close ends the goroutine of the processor of deltas.
func (w *otlpWriter) close() error { return w.deltas.Shutdown(context.Background()) }

// prune removes metrics that the translator has no form for.
func prune(md pmetric.Metrics) (rejected []intake.Rejection) {
	for _, resource := range md.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			scope.Metrics().RemoveIf(func(m pmetric.Metric) bool {
				points, reason := 1, ""
				switch {
				case m.Type() == pmetric.MetricTypeEmpty:
					reason = "it has no data, or data of an unknown kind"
				case m.Name() == "":
					points, reason = max(dataPoints(m), 1), "it has no name"
				case temporality(m) == pmetric.AggregationTemporalityUnspecified:
					points, reason = max(dataPoints(m), 1), "its aggregation temporality is neither delta nor cumulative"
				default:
					return false
				}
				rejected = intake.AddRejection(rejected, serviceOf(resource), points, fmt.Errorf("metric %.100q: %s", m.Name(), reason))
				return true
			})
		}
	}
	return rejected
}

func dataPoints(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}

// temporality returns how points follow each other. Gauges and summaries count as
// cumulative.
func temporality(m pmetric.Metric) pmetric.AggregationTemporality {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().AggregationTemporality()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().AggregationTemporality()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().AggregationTemporality()
	}
	return pmetric.AggregationTemporalityCumulative
}

func hasDelta(md pmetric.Metrics) bool {
	for _, resource := range md.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				if temporality(m) == pmetric.AggregationTemporalityDelta {
					return true
				}
			}
		}
	}
	return false
}

func firstService(md pmetric.Metrics) string {
	for _, resource := range md.ResourceMetrics().All() {
		return serviceOf(resource)
	}
	return ""
}

func serviceOf(resource pmetric.ResourceMetrics) string {
	if v, ok := resource.Resource().Attributes().Get("service.name"); ok {
		return v.AsString()
	}
	return ""
}

var _ consumer.Metrics = (*otlpWriter)(nil)

package telemetry_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"dicelab/internal/telemetry"
)

// rawSink keeps what is exported to it as it came over the wire.
type rawSink struct {
	url string

	mu    sync.Mutex
	spans map[string]*tracepb.ResourceSpans // by span ID, each with its own resource and scope
}

func newRawSink(t *testing.T) *rawSink {
	t.Helper()
	s := &rawSink{spans: map[string]*tracepb.ResourceSpans{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading an export: %v", err)
		}
		req := new(coltracepb.ExportTraceServiceRequest)
		if err := proto.Unmarshal(body, req); err != nil {
			t.Errorf("decoding an export: %v", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, resource := range req.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					one := proto.CloneOf(resource)
					one.ScopeSpans = []*tracepb.ScopeSpans{{Scope: scope.GetScope(), SchemaUrl: scope.GetSchemaUrl(), Spans: []*tracepb.Span{span}}}
					s.spans[string(span.GetSpanId())] = one
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// TestExportsEqualTheSDKs sends the same spans through the service's exporter and
// through the SDK's, and compares what arrives, field for field.
func TestExportsEqualTheSDKs(t *testing.T) {
	remote := func(ctx context.Context) context.Context {
		state, err := trace.ParseTraceState("a=1,b=2")
		if err != nil {
			t.Fatal(err)
		}
		return trace.ContextWithRemoteSpanContext(ctx, trace.SpanContextFromContext(someSpan(t)).WithTraceState(state))
	}
	tests := []struct {
		name string
		env  map[string]string
		make func(ctx context.Context, tracer trace.Tracer)
	}{
		{name: "nothing but a name", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll")
			span.End()
		}},
		{name: "attributes", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll", trace.WithAttributes(
				attribute.String("text", "a"), attribute.String("empty", ""), attribute.String("long", strings.Repeat("ü", 20_000)),
				attribute.Bool("yes", true), attribute.Bool("no", false), attribute.Int64("zero", 0), attribute.Int64("least", math.MinInt64),
				attribute.Float64("third", 1./3), attribute.Float64("minus zero", math.Copysign(0, -1)), attribute.Float64("inf", math.Inf(1)),
				attribute.StringSlice("list", []string{"a", "", strings.Repeat("b", 200)}), attribute.StringSlice("empty list", nil)))
			span.End()
		}},
		{name: "kinds, parents and status", make: func(ctx context.Context, tracer trace.Tracer) {
			ctx, server := tracer.Start(ctx, "server", trace.WithSpanKind(trace.SpanKindServer))
			for _, kind := range []trace.SpanKind{trace.SpanKindClient, trace.SpanKindProducer, trace.SpanKindConsumer, trace.SpanKindInternal} {
				_, span := tracer.Start(ctx, kind.String(), trace.WithSpanKind(kind))
				span.SetStatus(codes.Ok, "")
				span.End()
			}
			server.SetStatus(codes.Error, "broken")
			server.End()
		}},
		{name: "remote parent with a state", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(remote(ctx), "roll")
			span.End()
		}},
		{name: "events", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll")
			span.RecordError(errors.New("broken"), trace.WithStackTrace(true))
			span.AddEvent("settled", trace.WithAttributes(attribute.Int("value", 4)))
			span.AddEvent("silence")
			span.End()
		}},
		{name: "limits", env: map[string]string{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1", "OTEL_SPAN_EVENT_COUNT_LIMIT": "1", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "1"},
			make: func(ctx context.Context, tracer trace.Tracer) {
				_, span := tracer.Start(ctx, "roll", trace.WithAttributes(attribute.Int("a", 1), attribute.Int("b", 2)))
				span.AddEvent("one")
				span.AddEvent("two", trace.WithAttributes(attribute.Int("a", 1), attribute.Int("b", 2)))
				span.End()
			}},
		{name: "links", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll", trace.WithLinks(trace.Link{SpanContext: trace.SpanContextFromContext(remote(ctx)),
				Attributes: []attribute.KeyValue{attribute.Int("a", 1)}}))
			span.End()
			_, plain := tracer.Start(ctx, "beside it")
			plain.End()
		}},
		{name: "rare attributes", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll", trace.WithAttributes(attribute.Int64Slice("ints", []int64{1, 2}), attribute.BoolSlice("bools", []bool{true})))
			span.AddEvent("settled", trace.WithAttributes(attribute.Float64Slice("floats", []float64{0.5})))
			span.End()
		}},
		{name: "several scopes", make: func(ctx context.Context, tracer trace.Tracer) {
			ctx, outer := tracer.Start(ctx, "outer")
			provider := outer.TracerProvider()
			for _, other := range []trace.Tracer{
				provider.Tracer(""), provider.Tracer("lib", trace.WithInstrumentationVersion("2"), trace.WithSchemaURL("https://example.com/schema"),
					trace.WithInstrumentationAttributes(attribute.String("a", "b"))),
				tracer,
			} {
				_, span := other.Start(ctx, "inner")
				span.End()
			}
			outer.End()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := newRawSink(t), newRawSink(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ours.url)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team=dice")
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			tel, err := telemetry.New(t.Context(), config(io.Discard, nil))
			if err != nil {
				t.Fatal(err)
			}
			exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(theirs.url+"/v1/traces"))
			if err != nil {
				t.Fatal(err)
			}
			_, probe := tel.Tracer.Start(t.Context(), "probe")
			probe.TracerProvider().(*sdktrace.TracerProvider).RegisterSpanProcessor(sdktrace.NewSimpleSpanProcessor(exporter))
			tt.make(t.Context(), tel.Tracer)
			shutdown(t, tel)
			if len(theirs.spans) == 0 {
				t.Fatal("the SDK's exporter sent nothing")
			}
			if diff := cmp.Diff(theirs.spans, ours.spans, protocmp.Transform()); diff != "" {
				t.Errorf("spans (-the SDK's +ours):\n%s", diff)
			}
		})
	}
}

// TestTextThatIsNotUTF8IsSent: a header can hold any bytes; the spans of a batch
// must not be lost over it.
func TestTextThatIsNotUTF8IsSent(t *testing.T) {
	b := start(t)
	_, span := b.Tracer.Start(t.Context(), "roll", trace.WithAttributes(attribute.String("agent", "curl\xff")))
	span.End()
	b.stop()
	if got := b.sink.Named("roll").Attributes["agent"]; got != "curl\uFFFD" {
		t.Errorf("attribute %q", got)
	}
}

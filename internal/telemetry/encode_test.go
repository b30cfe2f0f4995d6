package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
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
	spans []*tracepb.ResourceSpans // in the order of their end, each with its own resource and scope
}

func newRawSink(t *testing.T) *rawSink {
	t.Helper()
	s := new(rawSink)
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
					s.spans = append(s.spans, one)
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// byID gives the spans as they came, by their IDs.
func (s *rawSink) byID() map[string]*tracepb.ResourceSpans {
	found := map[string]*tracepb.ResourceSpans{}
	for _, resource := range s.spans {
		found[string(resource.GetScopeSpans()[0].GetSpans()[0].GetSpanId())] = proto.CloneOf(resource)
	}
	return found
}

// comparable gives the spans, sorted by name, without what differs from run to
// run: IDs become numbers in the order in which they are met, times are checked
// and taken away, and so are the texts of stacks.
func (s *rawSink) comparable(t *testing.T) []*tracepb.ResourceSpans {
	t.Helper()
	slices.SortStableFunc(s.spans, func(a, b *tracepb.ResourceSpans) int {
		return strings.Compare(a.GetScopeSpans()[0].GetSpans()[0].GetName(), b.GetScopeSpans()[0].GetSpans()[0].GetName())
	})
	known := map[string][]byte{"": nil}
	number := func(id []byte) []byte {
		if _, ok := known[string(id)]; !ok {
			known[string(id)] = []byte{byte(len(known))}
		}
		return known[string(id)]
	}
	for _, resource := range s.spans {
		span := resource.GetScopeSpans()[0].GetSpans()[0]
		if start, end := span.GetStartTimeUnixNano(), span.GetEndTimeUnixNano(); start == 0 || start > end {
			t.Errorf("%s lasts from %d to %d", span.GetName(), start, end)
		}
		span.TraceId, span.SpanId, span.ParentSpanId = number(span.GetTraceId()), number(span.GetSpanId()), number(span.GetParentSpanId())
		span.StartTimeUnixNano, span.EndTimeUnixNano = 0, 0
		for _, event := range span.GetEvents() {
			event.TimeUnixNano = 0
			for _, a := range event.GetAttributes() {
				if a.GetKey() == "exception.stacktrace" && strings.Contains(a.GetValue().GetStringValue(), "encode_test.go") {
					a.Value = nil
				}
			}
		}
	}
	return s.spans
}

// TestExportsEqualTheSDKs sends the same spans through the service's exporter and
// through the SDK's, and makes the same ones with the SDK alone, and compares what
// arrives, field for field.
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
		{name: "attributes set twice", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll")
			span.SetAttributes(attribute.Int("a", 1), attribute.String("b", "x"))
			span.SetAttributes(attribute.Int("c", 3), attribute.Int("a", 2), attribute.Bool("b", true), attribute.Int("c", 4))
			span.SetAttributes()
			span.End()
			span.SetAttributes(attribute.Int("late", 1))
			span.End()
			_, other := tracer.Start(ctx, "with some from the start", trace.WithAttributes(attribute.Int("a", 1)))
			other.SetAttributes(attribute.Int("b", 1), attribute.Int("a", 2))
			other.End()
		}},
		{name: "attributes that are none", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll")
			span.SetAttributes(attribute.Int("a", 1))
			span.SetAttributes(attribute.Int("", 1), attribute.KeyValue{Key: "b"}, attribute.Int("c", 1))
			span.SetAttributes(attribute.Int("a", 2))
			span.End()
		}},
		{name: "too many attributes", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll")
			for i := range 100 {
				span.SetAttributes(attribute.Int(fmt.Sprint("a", i), i), attribute.Int(fmt.Sprint("b", i/2), i))
			}
			span.SetAttributes(attribute.Int("a1", -1), attribute.Int("one more", 1))
			span.End()
		}},
		{name: "long attributes", env: map[string]string{"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3"}, make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll")
			span.SetAttributes(attribute.String("text", "günter"), attribute.StringSlice("list", []string{"four", "two"}))
			span.End()
		}},
		{name: "panics", make: func(ctx context.Context, tracer trace.Tracer) {
			for _, stack := range []bool{false, true} {
				_, span := tracer.Start(ctx, fmt.Sprint("with its stack: ", stack))
				panicUnder(t, span, fmt.Errorf("die lost: %w", io.EOF), trace.WithStackTrace(stack))
			}
		}},
		{name: "a new name, and an end of its own", make: func(ctx context.Context, tracer trace.Tracer) {
			_, span := tracer.Start(ctx, "roll")
			span.SetName("throw")
			span.End(trace.WithTimestamp(time.Now().Add(time.Hour)))
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
			_, later := tracer.Start(ctx, "rare ones later")
			later.SetAttributes(attribute.Int("a", 1))
			later.SetAttributes(attribute.Int64Slice("ints", []int64{1, 2}), attribute.Int("a", 2))
			later.End()
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
			kept := &keeper{next: tel.Tracer}
			for _, tracer := range []trace.Tracer{kept, sdkLike(t, tel, theirs.url)} {
				tt.make(t.Context(), tracer)
			}
			shutdown(t, tel)
			if diff := cmp.Diff(kept.exported(t), ours.byID(), protocmp.Transform()); diff != "" {
				t.Errorf("the same spans (-through the SDK's exporter +ours):\n%s", diff)
			}
			want, got := theirs.comparable(t), ours.comparable(t)
			if len(want) == 0 {
				t.Fatal("the SDK's exporter sent nothing")
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("spans (-the SDK's +ours):\n%s", diff)
			}
		})
	}
}

// keeper is a tracer that keeps the spans it makes, and so are those of their
// providers.
type keeper struct {
	embedded.Tracer

	next  trace.Tracer
	above *keeper // keeps them instead
	spans []sdktrace.ReadOnlySpan
}

func (k *keeper) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := k.next.Start(ctx, name, options...)
	top := k
	if k.above != nil {
		top = k.above
	}
	top.spans = append(top.spans, span.(sdktrace.ReadOnlySpan))
	return ctx, keptSpan{span, top}
}

type keptSpan struct {
	trace.Span
	keeper *keeper
}

func (s keptSpan) TracerProvider() trace.TracerProvider {
	return keptProvider{next: s.Span.TracerProvider(), keeper: s.keeper}
}

type keptProvider struct {
	embedded.TracerProvider

	next   trace.TracerProvider
	keeper *keeper
}

func (p keptProvider) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return &keeper{next: p.next.Tracer(name, options...), above: p.keeper}
}

// exported is what the SDK's exporter makes of the spans, by their IDs.
func (k *keeper) exported(t *testing.T) map[string]*tracepb.ResourceSpans {
	t.Helper()
	sink := newRawSink(t)
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(sink.url+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(exporter.ExportSpans(t.Context(), k.spans), exporter.Shutdown(t.Context())); err != nil {
		t.Fatal(err)
	}
	return sink.byID()
}

// panicUnder panics while span is open; the panic has to come on.
func panicUnder(t *testing.T, span trace.Span, value any, options ...trace.SpanEndOption) {
	t.Helper()
	defer func() {
		if got := recover(); got != value {
			t.Errorf("the panic came on as %v, want %v", got, value)
		}
	}()
	defer span.End(options...)
	panic(value)
}

// TestPanicThatIsNoError: the SDK would call the type of a text ".string".
func TestPanicThatIsNoError(t *testing.T) {
	b := start(t)
	_, span := b.Tracer.Start(t.Context(), "roll")
	panicUnder(t, span, "die lost")
	b.stop()
	events := b.sink.Named("roll").Events
	want := map[string]any{"exception.type": "*errors.errorString", "exception.message": "die lost"}
	if len(events) != 1 || events[0].Name != "exception" {
		t.Fatalf("events %v, want one exception", events)
	}
	if diff := cmp.Diff(want, events[0].Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

// TestSpanUsedByManyEndsOnce: a span may be used by several goroutines at once
// (specification, "Concurrency requirements"); the race detector watches.
func TestSpanUsedByManyEndsOnce(t *testing.T) {
	const users = 16
	b := start(t)
	_, span := b.Tracer.Start(t.Context(), "roll")
	var group sync.WaitGroup
	for n := range users {
		group.Go(func() {
			span.SetAttributes(attribute.Int("shared", n), attribute.Int(fmt.Sprint("of ", n), n))
			span.AddEvent("used")
			if n >= users/2 {
				span.End()
			}
		})
	}
	group.Wait()
	b.stop()
	sent := b.sink.Spans()
	if len(sent) != 1 {
		t.Fatalf("%d spans came, want 1", len(sent))
	}
	shared, ok := sent[0].Attributes["shared"].(int64)
	if own := sent[0].Attributes[fmt.Sprint("of ", shared)]; !ok || own != shared {
		t.Errorf("attributes %v: what was set last did not come whole", sent[0].Attributes)
	}
}

// sdkLike is a tracer of the SDK alone, with the resource and the scope of tel's,
// that exports each span to url as it ends.
func sdkLike(t *testing.T, tel *telemetry.Telemetry, url string) trace.Tracer {
	t.Helper()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(url+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	_, probe := tel.Tracer.Start(t.Context(), "probe") // it never ends
	like := probe.(sdktrace.ReadOnlySpan)
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(like.Resource()), sdktrace.WithSyncer(exporter))
	t.Cleanup(func() {
		if err := provider.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	scope := like.InstrumentationScope()
	return provider.Tracer(scope.Name, trace.WithInstrumentationVersion(scope.Version), trace.WithSchemaURL(scope.SchemaURL))
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

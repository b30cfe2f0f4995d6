package telemetry

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// provider makes tracers of the SDK whose spans go to a queue.
//
// The SDK would copy each span that ends into a snapshot for its processors, and
// look for attributes that were set twice with a map: a fifth of what tracing
// adds to a request. So it has no processor here; a span is handed to the queue
// as it is, and keeps its attributes in a slice.
type provider struct {
	embedded.TracerProvider

	sdk    *sdktrace.TracerProvider
	queue  *spanQueue
	limits sdktrace.SpanLimits
}

func newProvider(sdk *sdktrace.TracerProvider, queue *spanQueue) *provider {
	return &provider{sdk: sdk, queue: queue, limits: sdktrace.NewSpanLimits()}
}

// Tracer implements trace.TracerProvider.
func (p *provider) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return &tracer{sdk: p.sdk.Tracer(name, options...), provider: p}
}

type tracer struct {
	embedded.Tracer

	sdk      trace.Tracer
	provider *provider
}

// Start implements trace.Tracer.
func (t *tracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, started := t.sdk.Start(ctx, name, options...)
	recording, ok := started.(sdktrace.ReadWriteSpan)
	if !ok {
		return ctx, started // it is not sampled
	}
	s := &span{ReadWriteSpan: recording, provider: t.provider, handed: len(recording.Attributes()) > 0}
	return trace.ContextWithSpan(ctx, s), s
}

// span is the SDK's span but for its attributes and its end.
type span struct {
	sdktrace.ReadWriteSpan

	provider *provider

	mu     sync.Mutex
	attrs  []attribute.KeyValue // unless they were handed to the SDK
	handed bool
	ended  bool
}

// TracerProvider implements trace.Span.
func (s *span) TracerProvider() trace.TracerProvider { return s.provider }

// SetAttributes implements trace.Span.
func (s *span) SetAttributes(list ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if !s.handed && !s.provider.leaves(len(s.attrs), list) {
		s.ReadWriteSpan.SetAttributes(s.attrs...)
		s.attrs, s.handed = nil, true
	}
	if s.handed {
		s.ReadWriteSpan.SetAttributes(list...)
		return
	}
	s.attrs = slices.Grow(s.attrs, len(list))
	for _, a := range list {
		s.set(a)
	}
}

// set keeps one attribute. A span has a dozen: looking through them is faster
// than a map.
func (s *span) set(a attribute.KeyValue) {
	for i := range s.attrs {
		if s.attrs[i].Key == a.Key {
			s.attrs[i].Value = a.Value
			return
		}
	}
	s.attrs = append(s.attrs, a)
}

// leaves tells whether the SDK would leave these attributes as they are. If not,
// because of a limit, or because they are of rare types or invalid, they are its
// business.
func (p *provider) leaves(have int, list []attribute.KeyValue) bool {
	if p.limits.AttributeValueLengthLimit >= 0 || p.limits.AttributeCountLimit >= 0 && have+len(list) > p.limits.AttributeCountLimit {
		return false
	}
	for i := range list {
		switch list[i].Value.Type() {
		case attribute.STRING, attribute.BOOL, attribute.INT64, attribute.FLOAT64, attribute.STRINGSLICE:
			if list[i].Key == "" {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// Attributes implements sdktrace.ReadOnlySpan.
func (s *span) Attributes() []attribute.KeyValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.handed:
		return s.ReadWriteSpan.Attributes()
	case s.ended:
		return s.attrs // nobody changes them any more
	default:
		return append([]attribute.KeyValue(nil), s.attrs...)
	}
}

// End implements trace.Span.
func (s *span) End(options ...trace.SpanEndOption) {
	if !s.end() {
		return
	}
	if p := recover(); p != nil { // the SDK's End sees a panic only where it is deferred itself
		defer panic(p)
		config := trace.NewSpanEndConfig(options...)
		err, ok := p.(error)
		if !ok {
			err = fmt.Errorf("%v", p)
		}
		s.RecordError(err, trace.WithStackTrace(config.StackTrace()))
	}
	s.ReadWriteSpan.End(options...)
	s.provider.queue.Add(s)
}

// end tells whether this is the first end.
func (s *span) end() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.ended
	s.ended = true
	return first
}

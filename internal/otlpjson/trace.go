package otlpjson

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Trace is the spans of one trace, in an order that depends on nothing but them:
// each resource and scope is there once, and they and the spans in them go by
// start.
type Trace struct {
	ID       string // 32 hex digits
	Spans    int
	Services []string // in the order of their first span; "" if one has no name
	// Oldest and Newest are the first and the last start of a span, UTC, clamped to
	// what nanoseconds in 63 bits can express (the year 2262).
	Oldest, Newest time.Time
	Data           []*tracepb.ResourceSpans
}

// String returns the number of spans and their services.
func (t Trace) String() string {
	names := make([]string, len(t.Services))
	for i, name := range t.Services {
		names[i] = cmp.Or(name, "a service without a name")
	}
	spans := "spans"
	if t.Spans == 1 {
		spans = "span"
	}
	return fmt.Sprintf("%d %s of %s", t.Spans, spans, strings.Join(names, ", "))
}

// Group returns the traces of spans that come in any order, by the start of their first
// span. It sorts found.
func Group(found []Span) []Trace {
	slices.SortStableFunc(found, func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.Span.GetStartTimeUnixNano(), b.Span.GetStartTimeUnixNano()), bytes.Compare(a.Span.GetSpanId(), b.Span.GetSpanId()))
	})
	keys := &keys{made: make(map[proto.Message]string)}
	byID := make(map[string]*grouping)
	var order []*grouping
	for _, at := range found {
		g, ok := byID[string(at.Span.GetTraceId())]
		if !ok {
			g = &grouping{keys: keys, resources: make(map[string]*tracepb.ResourceSpans), scopes: make(map[string]*tracepb.ScopeSpans)}
			g.ID = hex.EncodeToString(at.Span.GetTraceId())
			byID[string(at.Span.GetTraceId())] = g
			order = append(order, g)
		}
		g.add(at)
	}
	traces := make([]Trace, len(order))
	for i, g := range order {
		traces[i] = g.Trace
	}
	return traces
}

// grouping puts the spans of a trace together by resource and scope.
type grouping struct {
	Trace
	keys      *keys
	resources map[string]*tracepb.ResourceSpans
	scopes    map[string]*tracepb.ScopeSpans
}

// add takes the next span, by start.
func (g *grouping) add(at Span) {
	resourceKey := g.keys.of(at.Resource)
	resource, ok := g.resources[resourceKey]
	if !ok {
		resource = proto.CloneOf(at.Resource)
		g.resources[resourceKey] = resource
		g.Data = append(g.Data, resource)
		if name := service(resource); !slices.Contains(g.Services, name) {
			g.Services = append(g.Services, name)
		}
	}
	scopeKey := resourceKey + "\x00" + g.keys.of(at.Scope)
	scope, ok := g.scopes[scopeKey]
	if !ok {
		scope = proto.CloneOf(at.Scope)
		g.scopes[scopeKey] = scope
		resource.ScopeSpans = append(resource.ScopeSpans, scope)
	}
	scope.Spans = append(scope.Spans, at.Span)
	start := time.Unix(0, int64(min(at.Span.GetStartTimeUnixNano(), math.MaxInt64))).UTC()
	if g.Spans == 0 {
		g.Oldest = start
	}
	g.Newest = start
	g.Spans++
}

func service(resource *tracepb.ResourceSpans) string {
	for _, kv := range resource.GetResource().GetAttributes() {
		if kv.GetKey() == contract.AttrServiceName {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}

// keys compares resources and scopes by their encoding.
type keys struct{ made map[proto.Message]string }

func (k *keys) of(m proto.Message) string {
	key, ok := k.made[m]
	if !ok {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil { // it was decoded, so this cannot be; at worst it comes twice
			b = fmt.Appendf(nil, "%p", m)
		}
		key = string(b)
		k.made[m] = key
	}
	return key
}

package otlpjson

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// attrServiceName is the resource attribute that names a service (OpenTelemetry
// semantic conventions, resource "service").
const attrServiceName = "service.name"

// Trace is the spans of one trace, in an order that depends on nothing but them:
// each resource and scope is there once, and they and the spans in them go by
// start.
type Trace struct {
	ID       string // 32 hex digits
	Spans    int
	Services []string // in the order of their first span; "" if one has no name
	// Oldest and Newest are the first and the last start of a span, UTC, clamped to
	// what nanoseconds in 63 bits can say (the year 2262).
	Oldest, Newest time.Time
	Data           []*tracepb.ResourceSpans
}

// split sorts spans by trace.
func split(found []located) []Trace {
	slices.SortStableFunc(found, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.span.GetStartTimeUnixNano(), b.span.GetStartTimeUnixNano()), bytes.Compare(a.span.GetSpanId(), b.span.GetSpanId()))
	})
	keys := &keys{made: make(map[proto.Message]string)}
	byID := make(map[string]*grouping)
	var order []*grouping
	for _, at := range found {
		g, ok := byID[string(at.span.GetTraceId())]
		if !ok {
			g = &grouping{keys: keys, resources: make(map[string]*tracepb.ResourceSpans), scopes: make(map[string]*tracepb.ScopeSpans)}
			g.ID = hex.EncodeToString(at.span.GetTraceId())
			byID[string(at.span.GetTraceId())] = g
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
func (g *grouping) add(at located) {
	resourceKey := g.keys.of(at.resource)
	resource, ok := g.resources[resourceKey]
	if !ok {
		resource = proto.CloneOf(at.resource)
		g.resources[resourceKey] = resource
		g.Data = append(g.Data, resource)
		if name := service(resource); !slices.Contains(g.Services, name) {
			g.Services = append(g.Services, name)
		}
	}
	scopeKey := resourceKey + "\x00" + g.keys.of(at.scope)
	scope, ok := g.scopes[scopeKey]
	if !ok {
		scope = proto.CloneOf(at.scope)
		g.scopes[scopeKey] = scope
		resource.ScopeSpans = append(resource.ScopeSpans, scope)
	}
	scope.Spans = append(scope.Spans, at.span)
	start := time.Unix(0, int64(min(at.span.GetStartTimeUnixNano(), math.MaxInt64))).UTC()
	if g.Spans == 0 {
		g.Oldest = start
	}
	g.Newest = start
	g.Spans++
}

func service(resource *tracepb.ResourceSpans) string {
	for _, kv := range resource.GetResource().GetAttributes() {
		if kv.GetKey() == attrServiceName {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}

// keys tells equal resources and scopes by what they are encoded as.
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

// Marshal writes the trace as one document, indented, with a line break at its
// end.
func (t Trace) Marshal() ([]byte, error) {
	data := proto.CloneOf(&tracepb.TracesData{ResourceSpans: t.Data})
	for _, resource := range data.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				ids := []*[]byte{&span.TraceId, &span.SpanId, &span.ParentSpanId}
				for _, link := range span.GetLinks() {
					ids = append(ids, &link.TraceId, &link.SpanId)
				}
				for _, id := range ids {
					var err error
					if *id, err = encodeID(*id); err != nil {
						return nil, fmt.Errorf("writing span %.80q: %w", span.GetName(), err)
					}
				}
			}
		}
	}
	text, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("writing trace %s: %w", t.ID, err)
	}
	// The mapping's white space changes from build to build, on purpose.
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, fmt.Errorf("writing trace %s: %w", t.ID, err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// encodeID gives the bytes that an encoder of base64 writes as the ID's hex
// digits: decodeID the other way round.
func encodeID(id []byte) ([]byte, error) {
	decoded, err := base64.StdEncoding.DecodeString(hex.EncodeToString(id))
	if err != nil {
		return nil, fmt.Errorf("ID %x has %d bytes, which no ID of OTLP has", id, len(id))
	}
	return decoded, nil
}

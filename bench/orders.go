package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Orders are telemetry of a shop: unlike rolls, they have many distinct values, and times
// in random order. They show whether a store depends on repetition.
const (
	orderTraces = 100 // of one export
	orderSpans  = 8   // of a trace
	orderUsers  = 100_000
	orderAge    = 50 * time.Minute // spans begin within the last orderAge
)

// orders makes exports and pushes of orders.
type orders struct{ random *rand.Rand }

func newOrders(seed uint64) *orders { return &orders{rand.New(rand.NewPCG(seed, 2))} }

func (o *orders) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(o.random.Uint32())
	}
	b[0] |= 1 // no ID is zero
	return b
}

func (o *orders) user() string { return fmt.Sprintf("u%d", o.random.IntN(orderUsers)) }

func services() []string { return []string{"shop", "cart", "pay"} }

// spans returns an export of orderTraces traces.
func (o *orders) spans(now time.Time) ([]byte, error) {
	request := &coltracepb.ExportTraceServiceRequest{}
	for _, service := range services() {
		request.ResourceSpans = append(request.ResourceSpans, &tracepb.ResourceSpans{
			Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", service), text("k8s.pod.name", service+"-0")}},
			ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "bench"}}},
		})
	}
	for range orderTraces {
		trace, ids := o.bytes(16), make([][]byte, 0, orderSpans)
		start := now.Add(-time.Duration(o.random.Int64N(int64(orderAge))))
		took := time.Duration(10+o.random.IntN(900)) * time.Millisecond
		for i := range orderSpans {
			begin := start.Add(time.Duration(i) * took / (orderSpans + 1))
			span := &tracepb.Span{TraceId: trace, SpanId: o.bytes(8), Name: fmt.Sprintf("GET /items/{id} %d", i), Kind: tracepb.Span_SPAN_KIND_SERVER,
				StartTimeUnixNano: uint64(begin.UnixNano()), EndTimeUnixNano: uint64(begin.Add(took / 3).UnixNano()), Status: &tracepb.Status{},
				Attributes: []*commonpb.KeyValue{text("http.route", "/items/{id}"), text("user.id", o.user()), text("http.request.method", "GET")}}
			if i > 0 {
				span.ParentSpanId = ids[o.random.IntN(i)]
			}
			if o.random.IntN(50) == 0 {
				span.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "out of stock"}
			}
			ids = append(ids, span.SpanId)
			scope := request.ResourceSpans[i%len(services())].ScopeSpans[0]
			scope.Spans = append(scope.Spans, span)
		}
	}
	return proto.Marshal(request)
}

// lines returns a push of pushLines lines, of three services with three levels.
func (o *orders) lines(now time.Time) ([]byte, error) {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][3]any          `json:"values"`
	}
	streams := map[string]*stream{}
	for i := range pushLines {
		service, level := services()[i%len(services())], []string{"INFO", "INFO", "INFO", "WARNING", "ERROR"}[o.random.IntN(5)]
		s := streams[service+level]
		if s == nil {
			s = &stream{Stream: map[string]string{"service_name": service, "level": level}}
			streams[service+level] = s
		}
		trace := hex.EncodeToString(o.bytes(16))
		line := fmt.Sprintf(`{"level":%q,"message":"order %d handled","user":%q,"duration_seconds":%.4f,"trace_id":%q}`,
			level, o.random.IntN(1_000_000), o.user(), o.random.Float64(), trace)
		s.Values = append(s.Values, [3]any{strconv.FormatInt(now.Add(time.Duration(i)).UnixNano(), 10), line, map[string]string{"trace_id": trace}})
	}
	var push struct {
		Streams []*stream `json:"streams"`
	}
	for _, s := range streams {
		push.Streams = append(push.Streams, s)
	}
	return json.Marshal(push)
}

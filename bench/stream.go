package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/contract"
)

const (
	exportRolls  = 170 // rolls of one export of each service: about the 512 spans that SDKs send at a time
	rollSpans    = 5   // 3 of the front end, 2 of the roller
	exportSpans  = exportRolls * rollSpans
	failsEvery   = 20 // one roll in failsEvery fails
	slowEvery    = 50_000
	slowDuration = 5 * time.Second
)

// stream makes exports of rolls as the two services send them. They are the same bytes each
// time, with the IDs and times overwritten, so that making them takes next to no time.
type stream struct {
	bodies [2][]byte // of the front end and of the roller
	rolls  []rollPlaces
	random *rand.Rand
	count  int
}

// rollPlaces holds the offsets of the IDs and times of a roll in an export.
type rollPlaces struct {
	trace []place
	spans [rollSpans][]place // its ID, and its children's parent
	start [rollSpans]place   // fixed64, as is the end
	end   [rollSpans]place
}

type place struct{ body, at int }

// newStream returns a stream of exports of the given number of rolls.
func newStream(seed uint64, rolls int) (*stream, error) {
	s := &stream{rolls: make([]rollPlaces, rolls), random: rand.New(rand.NewPCG(seed, 1))}
	requests := [2]*coltracepb.ExportTraceServiceRequest{
		export(contract.ServiceFrontend), export(contract.ServiceRoller),
	}
	for i := range rolls {
		for j, span := range rollOf(i) {
			to := requests[0]
			if j >= 3 {
				to = requests[1]
			}
			scope := to.ResourceSpans[0].ScopeSpans[0]
			scope.Spans = append(scope.Spans, span)
		}
	}
	for b, r := range requests {
		body, err := proto.Marshal(r)
		if err != nil {
			return nil, err
		}
		s.bodies[b] = body
	}
	for i := range s.rolls {
		p := &s.rolls[i]
		p.trace = s.find(traceMark(i))
		for j := range rollSpans {
			p.spans[j] = s.find(spanMark(i, j))
			start, end := s.find(timeMark(i, j, 0)), s.find(timeMark(i, j, 1))
			if len(start) != 1 || len(end) != 1 || len(p.spans[j]) == 0 {
				return nil, fmt.Errorf("placing span %d of roll %d: %d starts, %d ends, %d IDs", j, i, len(start), len(end), len(p.spans[j]))
			}
			p.start[j], p.end[j] = start[0], end[0]
		}
		if len(p.trace) != rollSpans {
			return nil, fmt.Errorf("placing roll %d: %d trace IDs", i, len(p.trace))
		}
	}
	return s, nil
}

func (s *stream) find(mark []byte) (list []place) {
	for b, body := range s.bodies {
		for at := 0; ; {
			i := bytes.Index(body[at:], mark)
			if i < 0 {
				break
			}
			list = append(list, place{b, at + i})
			at += i + len(mark)
		}
	}
	return list
}

// next returns the two exports of the next rolls, which end now, and the trace ID of the
// first. The next call overwrites the bodies.
func (s *stream) next(now time.Time) (frontend, roller []byte, first string) {
	var id [16]byte
	for i := range s.rolls {
		p := &s.rolls[i]
		binary.LittleEndian.PutUint64(id[:], s.random.Uint64()|1)
		binary.LittleEndian.PutUint64(id[8:], s.random.Uint64())
		for _, at := range p.trace {
			copy(s.bodies[at.body][at.at:], id[:])
		}
		if i == 0 {
			first = hex.EncodeToString(id[:])
		}
		took := time.Duration(s.random.Int64N(int64(time.Second)))
		if s.count++; s.count%slowEvery == 0 {
			took = slowDuration
		}
		for j := range rollSpans {
			spanID := s.random.Uint64() | 1
			for _, at := range p.spans[j] {
				binary.LittleEndian.PutUint64(s.bodies[at.body][at.at:], spanID)
			}
			inset := time.Duration(j) * 100 * time.Microsecond // a child begins later and ends sooner
			s.put(p.start[j], now.Add(-took-10*time.Millisecond+inset))
			s.put(p.end[j], now.Add(-inset))
		}
	}
	return s.bodies[0], s.bodies[1], first
}

func (s *stream) put(at place, t time.Time) {
	binary.LittleEndian.PutUint64(s.bodies[at.body][at.at:], uint64(t.UnixNano()))
}

// The marks are bytes that occur nowhere else.

func traceMark(i int) []byte { return []byte(fmt.Sprintf("\xffTRACE-MARK-%04d", i)) }

func spanMark(i, j int) []byte { return []byte(fmt.Sprintf("\xffS%04d-%d", i, j)) }

func timeMark(i, j, which int) []byte { return []byte(fmt.Sprintf("\xffT%04d%d%d", i, j, which)) }

func export(service string) *coltracepb.ExportTraceServiceRequest {
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			text("service.name", service), text("service.namespace", contract.Namespace), text("service.version", "bench"),
			text("service.instance.id", "6a5f3e0e-7a55-4b7e-9b8e-2d6a7f9d1c3b"), text("deployment.environment.name", "development"),
			text("telemetry.sdk.language", "go"), text("telemetry.sdk.name", "opentelemetry"), text("telemetry.sdk.version", "1.47.0"),
		}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "dicelab/internal/telemetry", Version: "bench"}}},
	}}}
}

// rollOf returns the spans of a roll, with the names and attributes of docs/telemetry.md.
func rollOf(i int) []*tracepb.Span {
	die, fails := contract.Dice()[i%2], i%failsEvery == failsEvery-1
	value := int64(1 + i%6)
	peer := int64(40_000 + i%32)
	request := func(method, route, host string, port int64) []*commonpb.KeyValue {
		return []*commonpb.KeyValue{
			text("server.address", host), text("url.scheme", "http"), text("http.route", route), text("http.request.method", method),
			number("server.port", port), text("network.peer.address", "127.0.0.1"), number("network.peer.port", peer), text("client.address", "127.0.0.1"),
			text("user_agent.original", "Go-http-client/1.1"), text("url.path", route), text("network.protocol.version", "1.1"),
		}
	}
	answer := func(status int64) []*commonpb.KeyValue {
		return []*commonpb.KeyValue{number("http.response.body.size", 12), number("http.response.status_code", status)}
	}
	statuses := [rollSpans]int64{200, 200, 200, 200, 200}
	if fails {
		statuses = [rollSpans]int64{502, 500, 500, 500, 500}
	}
	outcome := []*commonpb.KeyValue{boolean("die.error", fails), number("die.result", value)}
	if fails {
		outcome = outcome[:1]
	}
	spans := []*tracepb.Span{
		{Name: "POST /roll", Kind: tracepb.Span_SPAN_KIND_SERVER,
			Attributes: append(append(request("POST", "/roll", "localhost", 8102), number("http.request.body.size", 8)), answer(statuses[0])...)},
		{Name: contract.SpanButtonClick, Kind: tracepb.Span_SPAN_KIND_INTERNAL, Attributes: []*commonpb.KeyValue{
			text(contract.AttrDieType, die), text(contract.AttrBackendURL, "http://localhost:8101/roll"),
			number(contract.AttrBackendStatusCode, statuses[1]), number(contract.AttrRollValue, value)}},
		{Name: "GET", Kind: tracepb.Span_SPAN_KIND_CLIENT, Attributes: append([]*commonpb.KeyValue{
			text("http.request.method", "GET"), text("server.address", "localhost"), number("server.port", 8101),
			text("url.full", "http://localhost:8101/roll?die="+die), text("network.protocol.version", "1.1")}, answer(statuses[2])[1:]...)},
		{Name: contract.SpanRollerRoll, Kind: tracepb.Span_SPAN_KIND_SERVER, Attributes: append(append([]*commonpb.KeyValue{
			list(contract.AttrTraceparent, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"), text(contract.AttrDieType, die)}, outcome...),
			append(request("GET", "/roll", "localhost", 8101), answer(statuses[3])...)...)},
		{Name: contract.SpanRoll, Kind: tracepb.Span_SPAN_KIND_INTERNAL, Attributes: []*commonpb.KeyValue{text(contract.AttrDieType, die)}},
	}
	for j, span := range spans {
		span.TraceId, span.SpanId = traceMark(i), spanMark(i, j)
		if j > 0 {
			span.ParentSpanId = spanMark(i, j-1)
		}
		span.StartTimeUnixNano = binary.LittleEndian.Uint64(timeMark(i, j, 0))
		span.EndTimeUnixNano = binary.LittleEndian.Uint64(timeMark(i, j, 1))
		span.Flags = 0x101
		span.Status = &tracepb.Status{}
		if fails {
			span.Status.Code = tracepb.Status_STATUS_CODE_ERROR
		}
		if fails && span.Kind != tracepb.Span_SPAN_KIND_SERVER {
			span.Attributes = append(span.Attributes, text("error.type", "500"))
		}
		if fails && j == rollSpans-1 {
			span.Status.Message = "risky die failed"
			span.Events = []*tracepb.Span_Event{{TimeUnixNano: 1, Name: "exception", Attributes: []*commonpb.KeyValue{
				text("exception.type", "*errors.errorString"), text("exception.message", "risky die failed")}}}
		}
	}
	return spans
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: textValue(value)}
}

func textValue(value string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}
}

func list(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{
		ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{textValue(value)}}}}}
}

func number(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
}

func boolean(key string, value bool) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: value}}}
}

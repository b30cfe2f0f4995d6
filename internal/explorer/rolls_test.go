package explorer_test

import (
	"fmt"
	"sort"
	"strconv"
	"time"

	"dicelab/internal/contract"
)

// Trace IDs of the rolls that have a name.
const (
	traceFair    = "4bf92f3577b34da6a3ce929d0e0e4736" // a fair roll, 5 spans
	traceFailed  = "5c0ffee577b34da6a3ce929d0e0e4711" // a risky roll that failed
	traceZeros   = "00a1b2c377b34da6a3ce929d0e0e4755" // begins with zeros
	traceUnknown = "ffffffffffffffffffffffffffffffff" // of no roll
)

// Kinds of spans, as OTLP numbers them.
const internal, server, client = 1, 2, 3

// roll is one roll, from which spans and log lines are made.
type roll struct {
	id     string
	at     time.Time
	die    string
	value  int // 0: failed
	delay  time.Duration
	source string // "" or the service that called the front end
}

func rolls(now time.Time) []roll {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	out := []roll{
		{traceFair, now.Add(-40 * time.Second), contract.DieFair, 4, ms(412), ""},
		{traceFailed, now.Add(-95 * time.Second), contract.DieRisky, 0, ms(731), ""},
		{traceZeros, now.Add(-130 * time.Second), contract.DieRisky, 7, ms(58), ""},
	}
	for i := range 37 {
		r := roll{
			id:    fmt.Sprintf("%08x77b34da6a3ce929d%08x", uint32(0x10203040+i*7919*104729), 0x0e0e4800+i),
			at:    now.Add(-time.Duration(160+i*89) * time.Second),
			die:   contract.Dice()[i%5%2],
			value: 1 + i*7%6, delay: ms(20 + i*i*37%960),
		}
		if r.die == contract.DieRisky {
			r.value++
			if i%11 == 3 {
				r.value = 0
			}
		}
		if i%3 == 1 {
			r.source = contract.ServiceTraffic
		}
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].at.After(out[j].at) })
	return out
}

func (r roll) failed() bool { return r.value == 0 }

// total returns the duration of the root span.
func (r roll) total() time.Duration { return r.delay + 6*time.Millisecond }

// spanID derives the ID of the nth span.
func (r roll) spanID(n int) string { return fmt.Sprintf("%s%08x", r.id[24:], 0xa0+n) }

func kv(key string, v any) map[string]any {
	kind := "stringValue"
	switch t := v.(type) {
	case int:
		kind, v = "intValue", strconv.Itoa(t)
	case bool:
		kind = "boolValue"
	case []string:
		var vs []any
		for _, e := range t {
			vs = append(vs, map[string]any{"stringValue": e})
		}
		kind, v = "arrayValue", map[string]any{"values": vs}
	}
	return map[string]any{"key": key, "value": map[string]any{kind: v}}
}

// span makes one span in OTLP JSON.
func (r roll) span(n, parent int, name string, kind int, from, to time.Duration, failed bool, attrs ...any) map[string]any {
	s := map[string]any{
		"traceId": r.id, "spanId": r.spanID(n), "name": name, "kind": kind,
		"startTimeUnixNano": strconv.FormatInt(r.at.Add(from).UnixNano(), 10),
		"endTimeUnixNano":   strconv.FormatInt(r.at.Add(to).UnixNano(), 10),
		"attributes":        attrs, "status": map[string]any{},
	}
	if parent >= 0 {
		s["parentSpanId"] = r.spanID(parent)
	}
	if failed {
		s["status"] = map[string]any{"code": 2}
	}
	return s
}

func batch(service, version string, spans ...any) map[string]any {
	return map[string]any{
		"resource": map[string]any{"attributes": []any{kv("service.name", service), kv("service.namespace", contract.Namespace),
			kv("service.version", version), kv("service.instance.id", service+"-1"), kv("deployment.environment.name", "lab")}},
		"scopeSpans": []any{map[string]any{"scope": map[string]any{"name": "dicelab/internal/telemetry", "version": version}, "spans": spans}},
	}
}

// trace returns the roll's trace: streamlit-frontend POST /roll, roll_button_click, GET;
// dice-roller GET /roll, roll.
func (r roll) trace() map[string]any {
	ms := time.Millisecond
	d, f := r.delay, r.failed()
	own, backend := 200, 200
	if f {
		own, backend = 502, 500
	}
	rootParent := -1
	var batches []any
	if r.source != "" {
		rootParent = 5
		batches = append(batches, batch(r.source, "0.1.0", r.span(5, -1, "POST", client, -ms, d+7*ms, f,
			kv("http.request.method", "POST"), kv("url.full", "http://localhost:8102/roll"), kv("http.response.status_code", own))))
	}
	click := []any{kv(contract.AttrDieType, r.die), kv(contract.AttrBackendURL, "http://localhost:8101/roll"),
		kv(contract.AttrBackendStatusCode, backend)}
	received := []any{kv("http.request.method", "GET"), kv("http.route", "/roll"), kv("url.path", "/roll"), kv("url.query", "die="+r.die),
		kv("http.response.status_code", backend), kv(contract.AttrDieType, r.die), kv(contract.AttrDieError, f),
		kv(contract.AttrTraceparent, []string{"00-" + r.id + "-" + r.spanID(2) + "-01"})}
	if !f {
		click = append(click, kv(contract.AttrRollValue, r.value))
		received = append(received, kv(contract.AttrDieResult, r.value))
	}
	inner := r.span(4, 3, contract.SpanRoll, internal, 3500*time.Microsecond, d+3500*time.Microsecond, f, kv(contract.AttrDieType, r.die))
	if f {
		inner["status"] = map[string]any{"code": 2, "message": "the risky die failed"}
		inner["events"] = []any{map[string]any{"name": "exception", "timeUnixNano": strconv.FormatInt(r.at.Add(d+3400*time.Microsecond).UnixNano(), 10),
			"attributes": []any{kv("exception.type", "roller.RiskyError"), kv("exception.message", "the risky die failed")}}}
	}
	batches = append(batches,
		batch(contract.ServiceRoller, "0.1.0",
			r.span(3, 2, contract.SpanRollerRoll, server, 3*ms, d+4*ms, f, received...), inner),
		batch(contract.ServiceFrontend, "0.1.0",
			r.span(0, rootParent, contract.SpanFrontendRoll, server, 0, d+6*ms, f, kv("http.request.method", "POST"), kv("http.route", "/roll"),
				kv("url.path", "/roll"), kv("http.response.status_code", own)),
			r.span(1, 0, contract.SpanButtonClick, internal, ms, d+5500*time.Microsecond, f, click...),
			r.span(2, 1, contract.SpanClient, client, 2*ms, d+5*ms, f, kv("http.request.method", "GET"),
				kv("url.full", "http://localhost:8101/roll?die="+r.die), kv("server.address", "localhost"), kv("server.port", 8101), kv("http.response.status_code", backend)),
		))
	return map[string]any{"resourceSpans": batches}
}

// line is a log line as the services write it.
type line struct {
	at                      time.Time
	service, level          string
	traceID, spanID, record string
}

func (r roll) lines() []line {
	ms := time.Millisecond
	l := func(at time.Duration, service, level, message string, span int, rest string) line {
		t := r.at.Add(at)
		text := fmt.Sprintf(`{"timestamp":%q,"level":%q,"message":%q,"logger":%q,"trace_id":%q,"span_id":%q,"die_type":%q%s}`,
			t.Format("2006-01-02T15:04:05.000000Z07:00"), level, message, service, r.id, r.spanID(span), r.die, rest)
		return line{t, service, level, r.id, r.spanID(span), text}
	}
	out := []line{
		l(ms, contract.ServiceFrontend, contract.LevelInfo, contract.MsgButtonClicked, 1, ""),
		l(3*ms, contract.ServiceRoller, contract.LevelInfo, contract.MsgRollReceived, 3, ""),
	}
	if r.failed() {
		return append(out,
			l(r.delay+3400*time.Microsecond, contract.ServiceRoller, contract.LevelError, contract.MsgRiskyFailed, 4, `,"status":500,"error":"the risky die failed"`),
			l(r.delay+5*ms, contract.ServiceFrontend, contract.LevelError, contract.MsgBackendFailed, 1, `,"backend_status":500,"backend_url":"http://localhost:8101/roll","error":"dice roller answered 500"`))
	}
	return append(out,
		l(r.delay+3400*time.Microsecond, contract.ServiceRoller, contract.LevelInfo, contract.MsgRollCompleted, 4, fmt.Sprintf(`,"roll_value":%d,"status":200`, r.value)),
		l(r.delay+5*ms, contract.ServiceFrontend, contract.LevelInfo, contract.MsgBackendResponse, 1,
			fmt.Sprintf(`,"roll_value":%d,"backend_status":200,"backend_url":"http://localhost:8101/roll","duration_seconds":%.3f`, r.value, r.total().Seconds())))
}

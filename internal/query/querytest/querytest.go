// Package querytest serves recorded-shape answers of Tempo, Loki and Prometheus
// over HTTP, so that clients and pages can be tested, and looked at, without a
// server.
//
// It answers in the real servers' JSON (IDs of traces in base64, search results
// without leading zeros, numbers as text) about a handful of rolls that happened
// just before the given time. It does not evaluate queries beyond a few fixed
// conditions: it is a stage, not a server.
package querytest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"dicelab/internal/contract"
)

// Trace IDs of the rolls that have a name.
const (
	TraceFair    = "4bf92f3577b34da6a3ce929d0e0e4736" // a fair roll, 5 spans
	TraceFailed  = "5c0ffee577b34da6a3ce929d0e0e4711" // a risky roll that failed
	TraceZeros   = "00a1b2c377b34da6a3ce929d0e0e4755" // begins with zeros
	TraceUnknown = "ffffffffffffffffffffffffffffffff" // answered with 404
)

// Stack is the three servers.
type Stack struct {
	Prometheus, Loki, Tempo *httptest.Server

	now   time.Time
	rolls []roll
	empty bool

	mu       sync.Mutex
	requests []*url.URL
	headers  []http.Header
}

// Option changes what the servers know.
type Option func(*Stack)

// Empty returns servers that run without data.
func Empty() Option { return func(s *Stack) { s.empty = true } }

// Start starts the servers. Stop them with Close.
func Start(now time.Time, opts ...Option) *Stack {
	s := &Stack{now: now.UTC()}
	for _, o := range opts {
		o(s)
	}
	if !s.empty {
		s.rolls = rolls(s.now)
	}
	s.Prometheus = httptest.NewServer(s.record(s.prometheus()))
	s.Loki = httptest.NewServer(s.record(s.loki()))
	s.Tempo = httptest.NewServer(s.record(s.tempo()))
	return s
}

// Close stops the servers.
func (s *Stack) Close() {
	s.Prometheus.Close()
	s.Loki.Close()
	s.Tempo.Close()
}

// Requests returns the parameter of all requests so far whose path ends in
// suffix, in their order.
func (s *Stack) Requests(suffix, param string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, u := range s.requests {
		if strings.HasSuffix(u.Path, suffix) {
			out = append(out, u.Query().Get(param))
		}
	}
	return out
}

// Headers returns the headers of all requests so far.
func (s *Stack) Headers() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]http.Header(nil), s.headers...)
}

func (s *Stack) record(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.URL)
		s.headers = append(s.headers, r.Header.Clone())
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

// roll is one roll, from which all three signals are made.
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
		{TraceFair, now.Add(-40 * time.Second), contract.DieFair, 4, ms(412), ""},
		{TraceFailed, now.Add(-95 * time.Second), contract.DieRisky, 0, ms(731), ""},
		{TraceZeros, now.Add(-130 * time.Second), contract.DieRisky, 7, ms(58), ""},
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

func (r roll) rootService() (service, name string) {
	if r.source != "" {
		return r.source, "POST"
	}
	return contract.ServiceFrontend, contract.SpanFrontendRoll
}

func (r roll) services() map[string]any {
	e, f := 0, 0
	if r.failed() {
		e, f = 3, 2
	}
	m := map[string]any{
		contract.ServiceFrontend: map[string]any{"spanCount": 3, "errorCount": e},
		contract.ServiceRoller:   map[string]any{"spanCount": 2, "errorCount": f},
	}
	if r.source != "" {
		m[r.source] = map[string]any{"spanCount": 1}
	}
	return m
}

// spanID derives the ID of the nth span.
func (r roll) spanID(n int) string { return fmt.Sprintf("%s%08x", r.id[24:], 0xa0+n) }

func b64(h string) string {
	b, err := hex.DecodeString(h)
	if err != nil {
		panic(err) // the IDs above are constants
	}
	return base64.StdEncoding.EncodeToString(b)
}

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

// span makes one span in OTLP JSON as Tempo writes it.
func (r roll) span(n, parent int, name, kind string, from, to time.Duration, failed bool, attrs ...any) map[string]any {
	s := map[string]any{
		"traceId": b64(r.id), "spanId": b64(r.spanID(n)), "name": name, "kind": "SPAN_KIND_" + kind,
		"startTimeUnixNano": strconv.FormatInt(r.at.Add(from).UnixNano(), 10),
		"endTimeUnixNano":   strconv.FormatInt(r.at.Add(to).UnixNano(), 10),
		"attributes":        attrs, "status": map[string]any{},
	}
	if parent >= 0 {
		s["parentSpanId"] = b64(r.spanID(parent))
	}
	if failed {
		s["status"] = map[string]any{"code": "STATUS_CODE_ERROR"}
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

// trace returns the roll's trace as design section 3 has it: streamlit-frontend
// POST /roll, roll_button_click, GET; dice-roller GET /roll, roll.
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
		batches = append(batches, batch(r.source, "0.1.0", r.span(5, -1, "POST", "CLIENT", -ms, d+7*ms, f,
			kv("http.request.method", "POST"), kv("url.full", "http://localhost:8102/roll"), kv("http.response.status_code", own))))
	}
	click := []any{kv(contract.AttrDieType, r.die), kv(contract.AttrBackendURL, "http://localhost:8101/roll"),
		kv(contract.AttrBackendStatusCode, backend)}
	server := []any{kv("http.request.method", "GET"), kv("http.route", "/roll"), kv("url.path", "/roll"), kv("url.query", "die="+r.die),
		kv("http.response.status_code", backend), kv(contract.AttrDieType, r.die), kv(contract.AttrDieError, f),
		kv(contract.AttrTraceparent, []string{"00-" + r.id + "-" + r.spanID(2) + "-01"})}
	if !f {
		click = append(click, kv(contract.AttrRollValue, r.value))
		server = append(server, kv(contract.AttrDieResult, r.value))
	}
	inner := r.span(4, 3, contract.SpanRoll, "INTERNAL", 3500*time.Microsecond, d+3500*time.Microsecond, f, kv(contract.AttrDieType, r.die))
	if f {
		inner["status"] = map[string]any{"code": "STATUS_CODE_ERROR", "message": "the risky die failed"}
		inner["events"] = []any{map[string]any{"name": "exception", "timeUnixNano": strconv.FormatInt(r.at.Add(d+3400*time.Microsecond).UnixNano(), 10),
			"attributes": []any{kv("exception.type", "roller.RiskyError"), kv("exception.message", "the risky die failed")}}}
	}
	batches = append(batches,
		batch(contract.ServiceRoller, "0.1.0",
			r.span(3, 2, contract.SpanRollerRoll, "SERVER", 3*ms, d+4*ms, f, server...), inner),
		batch(contract.ServiceFrontend, "0.1.0",
			r.span(0, rootParent, contract.SpanFrontendRoll, "SERVER", 0, d+6*ms, f, kv("http.request.method", "POST"), kv("http.route", "/roll"),
				kv("url.path", "/roll"), kv("http.response.status_code", own)),
			r.span(1, 0, contract.SpanButtonClick, "INTERNAL", ms, d+5500*time.Microsecond, f, click...),
			r.span(2, 1, contract.SpanClient, "CLIENT", 2*ms, d+5*ms, f, kv("http.request.method", "GET"),
				kv("url.full", "http://localhost:8101/roll?die="+r.die), kv("server.address", "localhost"), kv("server.port", 8101), kv("http.response.status_code", backend)),
		))
	return map[string]any{"resourceSpans": batches}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (s *Stack) tempo() http.Handler {
	mux := http.NewServeMux()
	find := func(w http.ResponseWriter, r *http.Request) (roll, bool) {
		for _, c := range s.rolls {
			if c.id == r.PathValue("id") {
				return c, true
			}
		}
		http.Error(w, "trace not found", http.StatusNotFound)
		return roll{}, false
	}
	mux.HandleFunc("GET /api/v2/traces/{id}", func(w http.ResponseWriter, r *http.Request) {
		if c, ok := find(w, r); ok {
			reply(w, map[string]any{"trace": c.trace(), "status": "COMPLETE", "metrics": map[string]any{}})
		}
	})
	mux.HandleFunc("GET /api/traces/{id}", func(w http.ResponseWriter, r *http.Request) {
		if c, ok := find(w, r); ok {
			reply(w, map[string]any{"batches": c.trace()["resourceSpans"]})
		}
	})
	mux.HandleFunc("GET /api/search", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query().Get("q")
		if !strings.HasPrefix(q, "{") || strings.HasPrefix(q, "{{") {
			http.Error(w, "invalid TraceQL query: parse error at line 1, col 2: syntax error: unexpected "+q, http.StatusBadRequest)
			return
		}
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			limit = 20
		}
		traces := []any{}
		for _, c := range s.rolls {
			if len(traces) == limit || !c.matches(q) {
				continue
			}
			service, name := c.rootService()
			spans := []any{map[string]any{"spanID": c.spanID(0), "durationNanos": strconv.FormatInt(int64(c.total()), 10)}}
			if strings.Contains(q, contract.AttrDieType) {
				spans = []any{map[string]any{"spanID": c.spanID(1), "attributes": []any{kv(contract.AttrDieType, c.die)}}}
			}
			set := map[string]any{"spans": spans, "matched": 1}
			traces = append(traces, map[string]any{
				"traceID": strings.TrimLeft(c.id, "0"), "rootServiceName": service, "rootTraceName": name,
				"startTimeUnixNano": strconv.FormatInt(c.at.UnixNano(), 10), "durationMs": c.total().Milliseconds(),
				"spanSet": set, "spanSets": []any{set}, "serviceStats": c.services(),
			})
		}
		reply(w, map[string]any{"traces": traces, "metrics": map[string]any{"inspectedBytes": "12345", "completedJobs": 1, "totalJobs": 1}})
	})
	mux.HandleFunc("GET /api/v2/search/tag/{tag}/values", func(w http.ResponseWriter, r *http.Request) {
		var values []any
		add := func(vs ...string) {
			for _, v := range vs {
				values = append(values, map[string]string{"type": "string", "value": v})
			}
		}
		switch {
		case s.empty:
		case r.PathValue("tag") == "resource.service.name":
			add(contract.ServiceFrontend, contract.ServiceRoller, contract.ServiceTraffic)
		case r.PathValue("tag") == "name":
			add(contract.SpanFrontendRoll, contract.SpanButtonClick, contract.SpanClient, contract.SpanRollerRoll, contract.SpanRoll)
		}
		reply(w, map[string]any{"tagValues": values, "metrics": map[string]any{}})
	})
	return mux
}

// matches understands the conditions that the pages' own filters make.
func (r roll) matches(q string) bool {
	for _, die := range contract.Dice() {
		if strings.Contains(q, strconv.Quote(die)) && r.die != die {
			return false
		}
	}
	if strings.Contains(q, "status=error") && !r.failed() {
		return false
	}
	if strings.Contains(q, "!="+strconv.Quote(contract.ServiceTraffic)) {
		return r.source == ""
	}
	return !strings.Contains(q, strconv.Quote(contract.ServiceTraffic)) || r.source != ""
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

func (s *Stack) loki() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /loki/api/v1/query_range", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query().Get("query")
		if strings.Contains(q, "{{") {
			http.Error(w, "parse error at line 1, col 2: syntax error: unexpected {, expecting } or IDENTIFIER", http.StatusBadRequest)
			return
		}
		if strings.HasPrefix(q, "sum") {
			reply(w, map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": s.series([]map[string]string{{}}, r.URL.Query())}})
			return
		}
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			limit = 100
		}
		type stream struct {
			Stream map[string]string `json:"stream"`
			Values []any             `json:"values"`
		}
		var order []string
		streams := map[string]*stream{}
		for _, c := range s.rolls {
			for _, l := range c.lines() {
				if limit == 0 || !l.matches(q) {
					continue
				}
				limit--
				key := l.service + l.level
				if streams[key] == nil {
					order = append(order, key)
					streams[key] = &stream{Stream: map[string]string{contract.StreamContainer: contract.ContainerName(l.service),
						contract.StreamService: l.service, contract.StreamJob: l.service, contract.StreamLevel: l.level}}
				}
				streams[key].Values = append(streams[key].Values, []any{strconv.FormatInt(l.at.UnixNano(), 10), l.record,
					map[string]any{"structuredMetadata": map[string]string{contract.FieldTraceID: l.traceID, contract.FieldSpanID: l.spanID}}})
			}
		}
		result := []any{}
		for _, key := range order {
			result = append(result, streams[key])
		}
		reply(w, map[string]any{"status": "success", "data": map[string]any{"resultType": "streams", "encodingFlags": []string{"categorize-labels"}, "result": result}})
	})
	list := func(values ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if s.empty {
				reply(w, map[string]any{"status": "success"})
				return
			}
			reply(w, map[string]any{"status": "success", "data": values})
		}
	}
	mux.HandleFunc("GET /loki/api/v1/labels", list(contract.StreamContainer, contract.StreamJob, contract.StreamLevel, contract.StreamService))
	mux.HandleFunc("GET /loki/api/v1/label/"+contract.StreamService+"/values", list(contract.ServiceRoller, contract.ServiceFrontend, contract.ServiceTraffic))
	mux.HandleFunc("GET /loki/api/v1/label/"+contract.StreamLevel+"/values", list(contract.LevelError, contract.LevelInfo))
	return mux
}

func (l line) matches(q string) bool {
	for _, service := range []string{contract.ServiceFrontend, contract.ServiceRoller, contract.ServiceTraffic} {
		if strings.Contains(q, contract.StreamService+"="+strconv.Quote(service)) && l.service != service {
			return false
		}
	}
	for _, level := range []string{contract.LevelInfo, contract.LevelWarning, contract.LevelError} {
		if strings.Contains(q, contract.StreamLevel+"="+strconv.Quote(level)) && l.level != level {
			return false
		}
	}
	for _, die := range contract.Dice() {
		if strings.Contains(q, contract.FieldDieType+"=~"+strconv.Quote(die)) && !strings.Contains(l.record, strconv.Quote(die)) {
			return false
		}
	}
	if _, id, ok := strings.Cut(q, contract.FieldTraceID+`="`); ok && !strings.HasPrefix(id, l.traceID) {
		return false
	}
	if _, rest, ok := strings.Cut(q, `|= "`); ok {
		text, _, _ := strings.Cut(rest, `"`)
		return strings.Contains(l.record, text)
	}
	return true
}

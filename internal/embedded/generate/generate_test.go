package generate_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/generate"
	"dicelab/internal/embedded/metrics"
	"dicelab/internal/embedded/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, embeddedtest.EngineGoroutines()...) }

const (
	interval = 10 * time.Millisecond // between collections
	patience = 20 * time.Second      // for something to appear
)

// noon is the time at which the tests' spans end, unless they set another.
var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// clock is the clock of the generator.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// sink is a store that drops everything, and refuses the first exports.
type sink struct{ refusals int }

func (s *sink) AppendSpans(context.Context, []*tracepb.ResourceSpans) error {
	if s.refusals > 0 {
		s.refusals--
		return errors.New("disk full")
	}
	return nil
}

// lab is a generator between OTLP and Prometheus's API.
type lab struct {
	t         *testing.T
	clock     *clock
	in, out   http.Handler
	run, stop func()
	settled   float64 // calls of settle
}

// start returns a lab, over the data of an earlier one if dir names it. Its generator does
// not run yet.
func start(t *testing.T, o generate.Options, dir string, store generate.Appender) *lab {
	t.Helper()
	c := &clock{now: noon}
	registry := prometheus.NewRegistry()
	o.Now, o.Registry = c.read, registry
	g := generate.New(o)
	server, err := metrics.New(metrics.Options{Dir: dir, Interval: interval, Source: g, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	counting, endCounting := context.WithCancel(context.Background())
	collecting, endCollecting := context.WithCancel(context.Background())
	counted, collected := make(chan struct{}), make(chan error, 1)
	go func() { collected <- server.Run(collecting) }()
	var started, stopped sync.Once
	l := &lab{t: t, clock: c, in: otlp.New(g.Wrap(store), otlp.Options{}).Handler(), out: server.Handler()}
	l.run = func() {
		started.Do(func() {
			go func() {
				defer close(counted)
				g.Run(counting)
			}()
		})
	}
	l.stop = func() {
		stopped.Do(func() {
			l.run()
			endCounting()
			<-counted
			endCollecting()
			if err := errors.Join(<-collected, server.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

// running is a lab that counts.
func running(t *testing.T, o generate.Options) *lab {
	t.Helper()
	l := start(t, o, t.TempDir(), &sink{})
	l.run()
	return l
}

// send exports spans, each with a resource of its own, and returns the status.
func (l *lab) send(spans ...span) int {
	l.t.Helper()
	req := &coltracepb.ExportTraceServiceRequest{}
	for _, s := range spans {
		req.ResourceSpans = append(req.ResourceSpans, s.resource())
	}
	body, err := proto.Marshal(req)
	if err != nil {
		l.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-protobuf")
	rec := httptest.NewRecorder()
	l.in.ServeHTTP(rec, r)
	return rec.Code
}

func (l *lab) get(path string, params url.Values) []byte {
	l.t.Helper()
	rec := httptest.NewRecorder()
	l.out.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path+"?"+params.Encode(), nil))
	if rec.Code != http.StatusOK {
		l.t.Fatalf("%s %v: status %d: %s", path, params, rec.Code, rec.Body)
	}
	return rec.Body.Bytes()
}

// query returns the result of an instant query: values by series.
func (l *lab) query(promQL string) map[string]float64 {
	l.t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(l.get("/api/v1/query", url.Values{"query": {promQL}}), &answer); err != nil {
		l.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(r.Value[1].(string), 64)
		if err != nil {
			l.t.Fatal(err)
		}
		name := strings.TrimPrefix(r.Metric["__name__"], "traces_")
		delete(r.Metric, "__name__")
		var labels []string
		for _, k := range slices.Sorted(maps.Keys(r.Metric)) {
			labels = append(labels, k+"="+r.Metric[k])
		}
		out[name+"{"+strings.Join(labels, " ")+"}"] = v
	}
	return out
}

// wait polls until a query's result is want, up to rounding.
func (l *lab) wait(promQL string, want map[string]float64) {
	l.t.Helper()
	until(l.t, func() string {
		return cmp.Diff(want, l.query(promQL), cmpopts.EquateEmpty(), cmpopts.EquateApprox(0, 1e-9))
	})
}

// settle returns when everything sent before has been counted, and collected at
// the present time of the clock.
func (l *lab) settle() {
	l.t.Helper()
	l.settled++
	l.send(span{service: "settled", id: 1})
	l.wait(`sum(traces_spanmetrics_calls_total{service="settled"})`, map[string]float64{"{}": l.settled})
}

// advance lets time pass, and settles before and after.
func (l *lab) advance(d time.Duration) {
	l.t.Helper()
	l.settle()
	l.clock.advance(d)
	l.settle()
}

// own polls until a metric of the generator itself has a value.
func (l *lab) own(metric string, want float64) {
	l.t.Helper()
	line := fmt.Sprintf("%s %v", metric, want)
	until(l.t, func() string {
		var own []string
		for text := range strings.Lines(string(l.get("/metrics", nil))) {
			if strings.HasPrefix(text, "dicelab_") {
				own = append(own, strings.TrimSpace(text))
			}
		}
		if !slices.Contains(own, line) {
			return fmt.Sprintf("no %q among %q", line, own)
		}
		return ""
	})
}

// until polls until there is no difference.
func until(t *testing.T, difference func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for last := difference(); last != ""; last = difference() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not there after %s (-want +got):\n%s", patience, last)
		}
	}
}

// span is a span as the tests write it.
type span struct {
	service          string
	trace            uint64 // default 1; the upper half of the ID is zeros
	id, parent       uint64
	name             string // default "work"
	kind             tracepb.Span_SpanKind
	ms               int           // how long it took
	ended            time.Duration // after noon
	failed           bool
	attributes, with map[string]string // the span's, and the resource's besides service.name
}

const (
	internal = tracepb.Span_SPAN_KIND_INTERNAL
	server   = tracepb.Span_SPAN_KIND_SERVER
	client   = tracepb.Span_SPAN_KIND_CLIENT
	producer = tracepb.Span_SPAN_KIND_PRODUCER
	consumer = tracepb.Span_SPAN_KIND_CONSUMER
)

func (s span) proto() *tracepb.Span {
	end := noon.Add(s.ended)
	out := &tracepb.Span{
		TraceId: binary.BigEndian.AppendUint64(make([]byte, 8), max(s.trace, 1)), SpanId: binary.BigEndian.AppendUint64(nil, s.id),
		Name: s.name, Kind: s.kind, Attributes: attributes(s.attributes),
		StartTimeUnixNano: uint64(end.Add(-time.Duration(s.ms) * time.Millisecond).UnixNano()), EndTimeUnixNano: uint64(end.UnixNano()),
	}
	if s.parent != 0 {
		out.ParentSpanId = binary.BigEndian.AppendUint64(nil, s.parent)
	}
	if s.name == "" {
		out.Name = "work"
	}
	if s.failed {
		out.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
	}
	return out
}

func (s span) resource() *tracepb.ResourceSpans {
	resource := attributes(s.with)
	if s.service != "" {
		resource = append(resource, attributes(map[string]string{"service.name": s.service})...)
	}
	return &tracepb.ResourceSpans{
		Resource:   &resourcepb.Resource{Attributes: resource},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{s.proto()}}},
	}
}

func attributes(of map[string]string) (out []*commonpb.KeyValue) {
	for k, v := range of {
		out = append(out, &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}})
	}
	return out
}

func TestSpanMetrics(t *testing.T) {
	l := running(t, generate.Options{})
	first := span{service: "shop", id: 1, name: "GET /", kind: server, ms: 2}
	if code := l.send(
		first, span{service: "shop", id: 2, name: "GET /", kind: server, ms: 5}, span{service: "shop", id: 3, name: "GET /", kind: server, ms: 20_000},
		span{service: "shop", id: 4, name: "GET /", kind: server, ms: 5, failed: true},
		span{service: "shop", id: 5, name: "sum", kind: internal, ms: -7},
		span{id: 6, name: "sum", kind: internal, ms: 1},
	); code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	const ok = "service=shop span_kind=SPAN_KIND_SERVER span_name=GET / status_code=STATUS_CODE_UNSET}"
	const bad = "service=shop span_kind=SPAN_KIND_SERVER span_name=GET / status_code=STATUS_CODE_ERROR}"
	const sum = "service=shop span_kind=SPAN_KIND_INTERNAL span_name=sum status_code=STATUS_CODE_UNSET}"
	const nobody = "span_kind=SPAN_KIND_INTERNAL span_name=sum status_code=STATUS_CODE_UNSET}"
	l.wait(`{__name__=~"traces_spanmetrics_(calls_total|latency_sum|latency_count)"}`, map[string]float64{
		"spanmetrics_calls_total{" + ok: 3, "spanmetrics_latency_count{" + ok: 3, "spanmetrics_latency_sum{" + ok: 20.007,
		"spanmetrics_calls_total{" + bad: 1, "spanmetrics_latency_count{" + bad: 1, "spanmetrics_latency_sum{" + bad: .005,
		// It ends before it begins, by a clock that was put back.
		"spanmetrics_calls_total{" + sum: 1, "spanmetrics_latency_count{" + sum: 1, "spanmetrics_latency_sum{" + sum: 0,
		"spanmetrics_calls_total{" + nobody: 1, "spanmetrics_latency_count{" + nobody: 1, "spanmetrics_latency_sum{" + nobody: .001,
	})
	buckets := map[string]float64{}
	for le, n := range map[string]float64{"0.002": 1, "0.004": 1, "0.008": 2, "0.016": 2, "0.032": 2, "0.064": 2, "0.128": 2, "0.256": 2,
		"0.512": 2, "1.024": 2, "2.048": 2, "4.096": 2, "8.192": 2, "16.384": 2, "+Inf": 3} {
		buckets["spanmetrics_latency_bucket{le="+le+" "+ok] = n
	}
	l.wait(`traces_spanmetrics_latency_bucket{status_code="STATUS_CODE_UNSET",span_name="GET /"}`, buckets)
	// IDs of 16 and 8 bytes with two bytes before them, a name of 5 with two, a
	// kind of one with one, two times of 8 with one; and Tempo counts an empty
	// status, of two.
	if size := float64(proto.Size(first.proto())); size != 18+10+7+2+9+9 {
		t.Fatalf("a span of %v bytes", size)
	}
	l.wait(`traces_spanmetrics_size_total{status_code="STATUS_CODE_UNSET",span_name="GET /"}`, map[string]float64{"spanmetrics_size_total{" + ok: 3 * 57})
	l.wait(`min_over_time(traces_spanmetrics_calls_total{status_code="STATUS_CODE_ERROR"}[1h])`, map[string]float64{"{" + bad: 0}) // it begins at 0
}

func TestServiceGraph(t *testing.T) {
	const wait = 10 * time.Second
	call := span{service: "front", id: 1, parent: 9, kind: client, ms: 300}
	answer := span{service: "back", id: 2, parent: 1, kind: server, ms: 200}
	failing := func(s span) span { s.failed = true; return s }
	about := func(s span, attributes map[string]string) span { s.attributes = attributes; return s }
	tests := []struct {
		name     string
		sent     [][]span // an export each
		pause    time.Duration
		after    time.Duration // all of them
		want     []string      // "client server connection_type: requests failed, client's seconds, server's"
		unpaired float64
	}{
		{name: "client, then server", sent: [][]span{{call}, {answer}}, want: []string{"front back : 1 0, 0.3 0.2"}},
		{name: "in one export", sent: [][]span{{answer, call}}, want: []string{"front back : 1 0, 0.3 0.2"}},
		{name: "server, then client, late", sent: [][]span{{answer}, {call}}, pause: wait - time.Second, want: []string{"front back : 1 0, 0.3 0.2"}},
		{name: "too late", sent: [][]span{{answer}, {call}}, pause: wait, after: wait, unpaired: 2},
		{name: "client fails", sent: [][]span{{failing(call)}, {answer}}, want: []string{"front back : 1 1, 0.3 0.2"}},
		{name: "server fails", sent: [][]span{{failing(answer)}, {call}}, want: []string{"front back : 1 1, 0.3 0.2"}},
		{name: "one side comes twice, then the other", sent: [][]span{{call}, {call}, {answer}}, after: wait, want: []string{"front back : 1 0, 0.3 0.2"}},
		{name: "a second answer to one call", sent: [][]span{{call, answer}, {{service: "back", id: 3, parent: 1, kind: server, ms: 100}}}, after: wait,
			want: []string{"front back : 1 0, 0.3 0.2"}, unpaired: 1},
		{name: "two traces with the same span IDs", sent: [][]span{{call}, {{service: "back", trace: 2, id: 2, parent: 1, kind: server}}}, after: wait, unpaired: 2},
		{name: "one that began the trace", sent: [][]span{{{service: "front", id: 1, kind: server, ms: 400}}}, after: wait, want: []string{"user front virtual_node: 1 0, 0 0.4"}},
		{name: "and waits meanwhile", sent: [][]span{{{service: "front", id: 1, kind: server, ms: 400}}}, after: wait - 1},
		{name: "one that says who began the trace", sent: [][]span{{{service: "front", id: 1, kind: server, ms: 400, attributes: map[string]string{"peer.service": "browser"}}}}, after: wait,
			want: []string{"browser front virtual_node: 1 0, 0 0.4"}},
		{name: "server without its client", sent: [][]span{{answer}}, after: wait, unpaired: 1},
		{name: "client without its server", sent: [][]span{{call}}, after: wait, unpaired: 1},
		{name: "database by peer", sent: [][]span{{about(failing(call), map[string]string{"peer.service": "bank", "db.system": "x"})}}, after: wait,
			want: []string{"front bank database: 1 1, 0.3 0.3"}},
		{name: "peer that sends no spans", sent: [][]span{{about(call, map[string]string{"peer.service": "bank"})}}, after: wait,
			want: []string{"front bank virtual_node: 1 0, 0.3 0"}},
		{name: "peer that does", sent: [][]span{{about(call, map[string]string{"peer.service": "bank"})}, {answer}}, want: []string{"front back : 1 0, 0.3 0.2"}},
		{name: "message", sent: [][]span{{{service: "front", id: 1, parent: 9, kind: producer, ms: 10}}, {{service: "back", id: 2, parent: 1, kind: consumer, ms: 20}}},
			want: []string{"front back messaging_system: 1 0, 0.01 0.02"}},
		{name: "database by address", sent: [][]span{{about(call, map[string]string{"db.system": "postgresql", "db.name": "dice", "server.address": "db1"})}},
			want: []string{"front db1 database: 1 0, 0.3 0.3"}},
		{name: "database by peer address", sent: [][]span{{about(call, map[string]string{"db.system": "postgresql", "network.peer.address": "10.0.0.1", "network.peer.port": "5432"})}},
			want: []string{"front 10.0.0.1:5432 database: 1 0, 0.3 0.3"}},
		{name: "database by namespace", sent: [][]span{{about(call, map[string]string{"db.name": "old", "db.namespace": "dice"})}},
			want: []string{"front dice database: 1 0, 0.3 0.3"}},
		{name: "database by its system alone", sent: [][]span{{about(call, map[string]string{"db.system": "redis"})}},
			want: []string{"front redis database: 1 0, 0.3 0.3"}},
		{name: "database that the resource names", sent: [][]span{{{service: "front", id: 1, parent: 9, kind: client, ms: 300, with: map[string]string{"db.name": "dice"}}}},
			want: []string{"front dice database: 1 0, 0.3 0.3"}},
		{name: "spans inside of a service", sent: [][]span{{{service: "front", id: 1, kind: internal}, {service: "front", id: 2, parent: 1}}}, after: wait},
		{name: "services without a name", sent: [][]span{{{id: 1, parent: 9, kind: client}, {id: 2, parent: 1, kind: server}}}, after: wait},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := running(t, generate.Options{Wait: wait})
			for i, spans := range tt.sent {
				if i > 0 {
					l.advance(tt.pause)
				}
				if code := l.send(spans...); code != http.StatusOK {
					t.Fatalf("status %d", code)
				}
			}
			l.advance(tt.after)
			want := map[string]float64{}
			for _, line := range tt.want {
				labels, values, _ := strings.Cut(line, ": ")
				names := strings.Split(labels, " ")
				var requests, failed, clients, servers float64
				if _, err := fmt.Sscanf(values, "%g %g, %g %g", &requests, &failed, &clients, &servers); err != nil {
					t.Fatal(err)
				}
				series := "{client=" + names[0] + " connection_type=" + names[2] + " server=" + names[1] + "}"
				if names[2] == "" {
					series = "{client=" + names[0] + " server=" + names[1] + "}"
				}
				const name = "service_graph_request_"
				want[name+"total"+series] = requests
				if failed > 0 {
					want[name+"failed_total"+series] = failed
				}
				want[name+"client_seconds_sum"+series], want[name+"server_seconds_sum"+series] = clients, servers
				want[name+"client_seconds_count"+series], want[name+"server_seconds_count"+series] = requests, requests
			}
			l.own("dicelab_generator_edges_unpaired_total", tt.unpaired)
			l.wait(`{__name__=~"traces_service_graph_.*(_total|_sum|_count)"}`, want)
		})
	}
}

func TestServiceGraphBuckets(t *testing.T) {
	l := running(t, generate.Options{})
	l.send(span{service: "front", id: 1, kind: client, ms: 300}, span{service: "back", id: 2, parent: 1, kind: server, ms: 100})
	client, server := map[string]float64{}, map[string]float64{}
	for le, n := range map[string][2]float64{"0.1": {0, 1}, "0.2": {0, 1}, "0.4": {1, 1}, "0.8": {1, 1}, "1.6": {1, 1}, "3.2": {1, 1}, "6.4": {1, 1}, "12.8": {1, 1}, "+Inf": {1, 1}} {
		client["service_graph_request_client_seconds_bucket{client=front le="+le+" server=back}"] = n[0]
		server["service_graph_request_server_seconds_bucket{client=front le="+le+" server=back}"] = n[1]
	}
	l.wait("traces_service_graph_request_client_seconds_bucket", client)
	l.wait("traces_service_graph_request_server_seconds_bucket", server)
}

// A trace ID in an exemplar has all of its digits, the zeros before it too.
func TestExemplars(t *testing.T) {
	l := running(t, generate.Options{})
	l.send(span{service: "front", trace: 0xabc, id: 1, kind: client, ms: 300}, span{service: "back", trace: 0xabc, id: 2, parent: 1, kind: server, ms: 100})
	type found struct {
		Labels map[string]string `json:"labels"`
		Value  string            `json:"value"`
	}
	label := map[string]string{"trace_id": strings.Repeat("0", 29) + "abc"}
	for metric, want := range map[string][]found{
		"traces_spanmetrics_latency_bucket":                  {{label, "0.3"}, {label, "0.1"}},
		"traces_service_graph_request_client_seconds_bucket": {{label, "0.3"}},
		"traces_service_graph_request_server_seconds_bucket": {{label, "0.1"}},
	} {
		until(t, func() string {
			var answer struct{ Data []struct{ Exemplars []found } }
			now := time.Now()
			if err := json.Unmarshal(l.get("/api/v1/query_exemplars", url.Values{
				"query": {metric}, "start": {now.Add(-time.Hour).Format(time.RFC3339)}, "end": {now.Add(time.Hour).Format(time.RFC3339)},
			}), &answer); err != nil {
				t.Fatal(err)
			}
			var got []found
			for _, series := range answer.Data {
				got = append(got, series.Exemplars...)
			}
			return cmp.Diff(want, got, cmpopts.SortSlices(func(a, b found) bool { return a.Value > b.Value }))
		})
	}
}

// The last counts are stored when the stack is stopped, and a restart does not look like an
// increase.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	send := func(l *lab, n int) {
		for i := range n {
			l.send(span{service: "shop", id: uint64(i + 1), trace: uint64(i + 1), kind: server, ms: 1})
		}
	}
	l := start(t, generate.Options{}, dir, &sink{})
	l.run()
	send(l, 3)
	l.stop()

	l = start(t, generate.Options{}, dir, &sink{})
	const shop = "service=shop span_kind=SPAN_KIND_SERVER span_name=work status_code=STATUS_CODE_UNSET}"
	l.wait("last_over_time(traces_spanmetrics_calls_total[1h])", map[string]float64{"spanmetrics_calls_total{" + shop: 3})
	l.wait("last_over_time(traces_service_graph_request_total[1h])", map[string]float64{
		"service_graph_request_total{client=user connection_type=virtual_node server=shop}": 3,
	})
	l.run()
	send(l, 5)
	l.wait("traces_spanmetrics_calls_total", map[string]float64{"spanmetrics_calls_total{" + shop: 5})
	l.wait("resets(traces_spanmetrics_calls_total[1h])", map[string]float64{"{" + shop: 1})
}

func TestNotCounted(t *testing.T) {
	one := span{service: "shop", id: 1, kind: server}
	t.Run("what was not stored", func(t *testing.T) {
		l := start(t, generate.Options{}, t.TempDir(), &sink{refusals: 1})
		l.run()
		if code := l.send(one); code != http.StatusServiceUnavailable {
			t.Errorf("status %d", code)
		}
		l.settle()
		l.wait("sum by (service) (traces_spanmetrics_calls_total)", map[string]float64{"{service=settled}": 1})
	})
	t.Run("outside of the time range", func(t *testing.T) {
		l := running(t, generate.Options{})
		l.send(span{service: "shop", id: 1, ended: -301 * time.Second}, span{service: "shop", id: 2, ended: 301 * time.Second},
			span{service: "shop", id: 3, ended: -300 * time.Second}, span{service: "shop", id: 4, ended: 300 * time.Second})
		l.own(`dicelab_generator_spans_dropped_total{reason="outside_time_range"}`, 2)
		l.wait("sum(traces_spanmetrics_calls_total)", map[string]float64{"{}": 2})
	})
	t.Run("more than waits", func(t *testing.T) {
		l := start(t, generate.Options{QueueSpans: 2}, t.TempDir(), &sink{})
		l.send(one, one, one) // an empty queue takes any export
		l.send(one)
		l.own(`dicelab_generator_spans_dropped_total{reason="queue_full"}`, 1)
		l.run()
		l.wait("sum(traces_spanmetrics_calls_total)", map[string]float64{"{}": 3})
		l.send(one)
		l.wait("sum(traces_spanmetrics_calls_total)", map[string]float64{"{}": 4})
	})
	t.Run("after the end", func(t *testing.T) {
		l := running(t, generate.Options{})
		l.stop()
		if code := l.send(one); code != http.StatusOK {
			t.Errorf("status %d: it is stored", code)
		}
		l.own(`dicelab_generator_spans_dropped_total{reason="shutdown"}`, 1)
	})
	t.Run("more series than there is room for", func(t *testing.T) {
		l := running(t, generate.Options{MaxSeries: 19}) // two counters, 14 buckets, +Inf, sum, count
		l.send(span{service: "shop", id: 1, name: "a"}, span{service: "shop", id: 2, name: "b"}, span{service: "shop", id: 3, name: "a"})
		l.own("dicelab_generator_series_limited_total", 1)
		l.wait("sum by (span_name) (traces_spanmetrics_calls_total)", map[string]float64{"{span_name=a}": 2})
		// What has not changed for long makes room.
		l.clock.advance(16 * time.Minute)
		until(t, func() string {
			l.send(span{service: "shop", id: 4, name: "b", ended: 16 * time.Minute})
			return cmp.Diff(true, l.query("sum by (span_name) (traces_spanmetrics_calls_total)")["{span_name=b}"] > 0)
		})
	})
	t.Run("more calls than are awaited", func(t *testing.T) {
		l := running(t, generate.Options{MaxEdges: 1})
		l.send(span{service: "shop", trace: 1, id: 1, kind: server}, span{service: "shop", trace: 2, id: 1, kind: server})
		l.wait("traces_service_graph_request_total", map[string]float64{
			"service_graph_request_total{client=user connection_type=virtual_node server=shop}": 1, // the first waits no longer
		})
	})
}

// Two exporters, collections and queries at the same time lose nothing.
func TestConcurrently(t *testing.T) {
	l := running(t, generate.Options{})
	const each = 200
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() {
			for i := range each {
				trace := uint64(1 + i)
				if n == 0 {
					l.send(span{service: "front", trace: trace, id: 1, parent: 9, kind: client, ms: 2})
				} else {
					l.send(span{service: "back", trace: trace, id: 2, parent: 1, kind: server, ms: 1})
				}
			}
		})
	}
	wg.Wait()
	l.wait("traces_service_graph_request_total", map[string]float64{"service_graph_request_total{client=front server=back}": each})
	l.wait("sum by (service) (traces_spanmetrics_calls_total)", map[string]float64{"{service=front}": each, "{service=back}": each})
}

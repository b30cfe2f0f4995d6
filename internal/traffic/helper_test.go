package traffic_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry"
	"dicelab/internal/telemetry/telemetrytest"
	"dicelab/internal/traffic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for answers that are meant to come.
const patience = time.Minute

// service is a front end or a dice roller under test. It keeps what it was asked.
type service struct {
	*httptest.Server
	answer http.HandlerFunc // nil: 200 and a roll

	mu    sync.Mutex
	asked []asked
}

// asked is one request for a roll.
type asked struct {
	Method, Die, Accept, Agent string
	Traceparent                string
}

func serve(t testing.TB, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/roll" { // /readyz
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, asked{Method: r.Method, Die: r.FormValue("die"), Accept: r.Header.Get("Accept"),
			Agent: r.UserAgent(), Traceparent: r.Header.Get(contract.HeaderTraceparent)})
		s.mu.Unlock()
		if s.answer == nil {
			_, _ = io.WriteString(w, `{"roll":4}`)
			return
		}
		s.answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) requests() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// bench is a generator with a backend and a log, both in memory.
type bench struct {
	*traffic.Generator
	t    testing.TB
	tel  *telemetry.Telemetry
	sink *telemetrytest.Sink
	log  *telemetrytest.Log
}

// start makes a generator over the service; change may alter its options.
func start(t *testing.T, name string, s *service, change func(*traffic.Options)) *bench {
	t.Helper()
	b := &bench{t: t, sink: telemetrytest.NewSink(t), log: telemetrytest.NewLog(t)}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", b.sink.URL)
	b.start(name, s, change)
	return b
}

func (b *bench) start(name string, s *service, change func(*traffic.Options)) {
	b.t.Helper()
	target, err := traffic.NewTarget(name, s.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.tel, err = telemetry.New(b.t.Context(), telemetry.Config{Service: contract.ServiceTraffic, Version: "1.2.3", Output: b.log})
	if err != nil {
		b.t.Fatal(err)
	}
	o := traffic.Options{Telemetry: b.tel, Target: target, Version: "1.2.3", Seed: 1, Die: traffic.Mix, Timeout: patience,
		Connections: 100, AbortAt: 1, LogRolls: true, TraceURL: "http://explorer.example/{trace_id}"}
	if change != nil {
		change(&o)
	}
	if b.Generator, err = traffic.New(o); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.Close(); b.stop() })
}

// stop sends the last spans and writes the last lines.
func (b *bench) stop() {
	b.t.Helper()
	if b.tel == nil {
		return
	}
	if err := b.tel.Shutdown(context.Background()); err != nil { // a test's context ends before its clean-up
		b.t.Errorf("shutting down: %v", err)
	}
	b.tel = nil
}

// report stops the telemetry and reads the report.
func (b *bench) report() traffic.Report {
	b.t.Helper()
	b.stop()
	r, err := b.Report()
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// atOnce returns users who do not think.
func atOnce(count, rolls int) traffic.Users { return traffic.Users{Count: count, MaxRolls: rolls} }

// users and load make a run that must go well.
func (b *bench) users(u traffic.Users) {
	b.t.Helper()
	if err := b.Users(b.t.Context(), u); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) load(rate string, d time.Duration) {
	b.t.Helper()
	r, err := traffic.ParseRate(rate)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.Load(b.t.Context(), traffic.Load{Rate: r, Duration: d}); err != nil {
		b.t.Fatal(err)
	}
}

// problem answers with a problem document.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"status":%d,"detail":%q}`, status, detail)
}

// traceIDs returns the trace IDs of spans, each once, sorted.
func traceIDs(spans []telemetrytest.Span) []string {
	var ids []string
	for _, s := range spans {
		ids = append(ids, s.TraceID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// named returns the spans of a name.
func named(spans []telemetrytest.Span, name string) (list []telemetrytest.Span) {
	for _, s := range spans {
		if s.Name == name {
			list = append(list, s)
		}
	}
	return list
}

// dice returns the dice that were rolled, by user, in the order of their numbers.
func dice(spans []telemetrytest.Span) map[string]string {
	type roll struct {
		number int64
		die    string
	}
	rolls := map[string][]roll{}
	for _, s := range named(spans, contract.SpanSimulated) {
		user, _ := s.Attributes[contract.AttrUserID].(string)
		rolls[user] = append(rolls[user], roll{s.Attributes[contract.AttrRollNumber].(int64), s.Attributes[contract.AttrDieType].(string)})
	}
	out := map[string]string{}
	for user, list := range rolls {
		slices.SortFunc(list, func(a, b roll) int { return int(a.number - b.number) })
		var text []string
		for _, r := range list {
			text = append(text, r.die)
		}
		out[user] = strings.Join(text, " ")
	}
	return out
}

// decode reads JSON that must fit T.
func decode[T any](t testing.TB, text []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

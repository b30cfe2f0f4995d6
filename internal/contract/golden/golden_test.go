package golden_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/frontend"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
	"dicelab/internal/telemetry/telemetrytest"
)

// stage is both services in this process, connected over real HTTP, with a
// telemetry backend that remembers everything.
type stage struct {
	t                *testing.T
	sink             *telemetrytest.Sink
	log              *telemetrytest.Log
	frontend, roller *httptest.Server
	telemetry        map[string]*telemetry.Telemetry
}

func newStage(t *testing.T, maxDelay time.Duration, errorRate float64) *stage {
	s := &stage{t: t, sink: telemetrytest.NewSink(t), log: telemetrytest.NewLog(t), telemetry: map[string]*telemetry.Telemetry{}}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.sink.URL)
	for _, service := range contract.Services() {
		tel, err := telemetry.New(t.Context(), telemetry.Config{Service: service, Version: "test", Output: s.log})
		if err != nil {
			t.Fatal(err)
		}
		s.telemetry[service] = tel
	}
	back, err := roller.NewHandler(roller.Options{
		Telemetry: s.telemetry[contract.ServiceRoller], Dice: roller.NewDice(1, maxDelay, errorRate), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.roller = httptest.NewServer(back)
	t.Cleanup(s.roller.Close)
	front := s.telemetry[contract.ServiceFrontend]
	client, err := roller.NewClient(s.roller.URL, front.Transport(http.DefaultTransport), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	page, err := frontend.NewHandler(frontend.Options{
		Telemetry: front, Roller: client, BackendURL: s.roller.URL,
		TraceURL: "http://localhost/{trace_id}", LogsURL: "http://localhost/logs/{trace_id}"})
	if err != nil {
		t.Fatal(err)
	}
	s.frontend = httptest.NewServer(page)
	t.Cleanup(s.frontend.Close)
	return s
}

// observe makes one roll and gathers what it leaves behind.
func (s *stage) observe(roll func()) golden.Telemetry {
	before := s.samples()
	roll()
	s.frontend.Close() // waits until every request is over, and with it its telemetry
	s.roller.Close()
	after := s.samples()
	for _, tel := range s.telemetry {
		if err := tel.Shutdown(context.Background()); err != nil {
			s.t.Fatal(err)
		}
	}
	return golden.Telemetry{Spans: s.spans(), Lines: s.lines(), Metrics: moved(before, after)}
}

// spans returns the spans in call order, each with its parent's name; all must be of
// one trace.
func (s *stage) spans() []golden.Span {
	seen := s.sink.Spans()
	slices.SortFunc(seen, func(a, b telemetrytest.Span) int { return a.Start.Compare(b.Start) })
	names := map[string]string{}
	for _, span := range seen {
		names[span.SpanID] = span.Name
		if span.TraceID != seen[0].TraceID {
			s.t.Errorf("span %s is of trace %s, %s is of %s", span.Name, span.TraceID, seen[0].Name, seen[0].TraceID)
		}
	}
	var out []golden.Span
	for _, span := range seen {
		g := golden.Span{Service: span.Service, Name: span.Name, Kind: span.Kind, Parent: names[span.ParentID],
			Status: span.Status, Message: span.StatusMessage, Attributes: golden.Blank(span.Attributes)}
		if span.ParentID != "" && g.Parent == "" {
			s.t.Errorf("span %s has a parent %s that is nowhere", span.Name, span.ParentID)
		}
		for _, e := range span.Events {
			if e.Name != "exception" {
				s.t.Errorf("span %s has an event %q", span.Name, e.Name)
			}
			g.Exceptions = append(g.Exceptions, e.Attributes["exception.message"].(string))
		}
		out = append(out, g)
	}
	return out
}

// lines returns the log lines; each must carry the trace's ID and a span's.
func (s *stage) lines() []golden.Line {
	names := map[string]string{}
	for _, span := range s.sink.Spans() {
		names[span.TraceID+span.SpanID] = span.Name
	}
	seen := s.log.Lines() // each service writes in order
	slices.SortStableFunc(seen, func(a, b map[string]any) int {
		return strings.Compare(a[contract.FieldTimestamp].(string), b[contract.FieldTimestamp].(string))
	})
	var out []golden.Line
	for _, fields := range seen {
		text := func(key string) string { v, _ := fields[key].(string); return v }
		line := golden.Line{Service: text(contract.FieldLogger), Level: text(contract.FieldLevel), Message: text(contract.FieldMessage)}
		var ok bool
		if line.Span, ok = names[text(contract.FieldTraceID)+text(contract.FieldSpanID)]; !ok {
			s.t.Errorf("line %v carries the IDs of no span of the trace", fields)
		}
		for _, key := range []string{contract.FieldTimestamp, contract.FieldLevel, contract.FieldMessage,
			contract.FieldLogger, contract.FieldTraceID, contract.FieldSpanID} {
			delete(fields, key)
		}
		line.Fields = golden.Blank(fields)
		out = append(out, line)
	}
	return out
}

// samples returns the values of the services' own counters and of their histograms'
// counts.
func (s *stage) samples() map[string]map[string]float64 {
	out := map[string]map[string]float64{}
	for service, tel := range s.telemetry {
		out[service] = map[string]float64{}
		families, err := tel.Registry.Gather()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_") {
				continue // they move by themselves
			}
			for _, m := range f.GetMetric() {
				name, value := f.GetName(), m.GetCounter().GetValue()
				if f.GetType() == dto.MetricType_HISTOGRAM {
					name, value = name+"_count", float64(m.GetHistogram().GetSampleCount())
				}
				out[service][name+labels(m.GetLabel())] = value
			}
		}
	}
	return out
}

func labels(pairs []*dto.LabelPair) string {
	var out []string
	for _, p := range pairs {
		out = append(out, p.GetName()+`="`+p.GetValue()+`"`)
	}
	return "{" + strings.Join(out, ",") + "}"
}

// moved returns the difference, without what did not move.
func moved(before, after map[string]map[string]float64) map[string]map[string]float64 {
	out := map[string]map[string]float64{}
	for service, samples := range after {
		for sample, value := range samples {
			if d := value - before[service][sample]; d != 0 {
				if out[service] == nil {
					out[service] = map[string]float64{}
				}
				out[service][sample] = d
			}
		}
	}
	return out
}

func TestScenarios(t *testing.T) {
	throughFrontend := func(s *stage) {
		resp, err := http.PostForm(s.frontend.URL+"/roll", url.Values{"die": {contract.DieRisky}})
		if err != nil {
			s.t.Fatal(err)
		}
		drain(s.t, resp)
	}
	for _, test := range []struct {
		scenario  string
		maxDelay  time.Duration
		errorRate float64
		roll      func(*stage)
	}{
		{golden.Success, 0, 0, throughFrontend},
		{golden.Failure, 0, 1, throughFrontend},
		{golden.BadDie, 0, 0, func(s *stage) {
			resp, err := http.Get(s.roller.URL + "/roll?die=loaded")
			if err != nil {
				s.t.Fatal(err)
			}
			drain(s.t, resp)
		}},
		{golden.Abandoned, time.Hour, 0, func(s *stage) {
			ctx, cancel := context.WithCancel(s.t.Context())
			ended := make(chan error, 1)
			go func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.roller.URL+"/roll?die="+contract.DieFair, nil)
				if err == nil {
					_, err = http.DefaultClient.Do(req)
				}
				ended <- err
			}()
			s.log.Wait(contract.MsgRollReceived)
			cancel()
			if err := <-ended; err == nil {
				s.t.Error("the roll was answered before it was abandoned")
			}
			s.log.Wait(contract.MsgRollAbandoned)
		}},
	} {
		t.Run(test.scenario, func(t *testing.T) {
			want, err := golden.Load(test.scenario)
			if err != nil {
				t.Fatal(err)
			}
			s := newStage(t, test.maxDelay, test.errorRate)
			got := s.observe(func() { test.roll(s) })
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("telemetry of one roll (-golden +observed):\n%s", diff)
			}
		})
	}
}

// A metric of the contract that no scenario moves would be held by no test.
func TestEveryMetricMoves(t *testing.T) {
	moves := map[string]bool{}
	for _, scenario := range golden.Scenarios() {
		g, err := golden.Load(scenario)
		if err != nil {
			t.Fatal(err)
		}
		for _, samples := range g.Metrics {
			for sample := range samples {
				name, _, _ := strings.Cut(sample, "{")
				moves[strings.TrimSuffix(name, "_count")] = true
			}
		}
	}
	for _, name := range []string{contract.MetricDiceRolls, contract.MetricDiceRollValue, contract.MetricButtonClicks,
		contract.MetricBackendRequests, contract.MetricBackendDuration, contract.MetricHTTPRequests,
		contract.MetricHTTPDuration, contract.MetricHTTPRequestSize, contract.MetricHTTPResponseSize} {
		if !moves[name] {
			t.Errorf("no scenario moves %s", name)
		}
	}
}

func TestLoadRefusesOther(t *testing.T) {
	if _, err := golden.Load("luck"); err == nil || !strings.Contains(err.Error(), "luck.json") {
		t.Errorf("loading a scenario that does not exist: %v, want an error that names it", err)
	}
}

func drain(t *testing.T, resp *http.Response) {
	t.Helper()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
}

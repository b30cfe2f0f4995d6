package roller_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
	"dicelab/internal/telemetry/telemetrytest"
	"dicelab/internal/web/webtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a dice roller under test.
type service struct {
	handler   http.Handler
	server    *httptest.Server
	telemetry *telemetry.Telemetry
	log       *telemetrytest.Log
	sink      *telemetrytest.Sink
}

// start starts a dice roller; what o leaves out is a healthy one without delay.
func start(t testing.TB, o roller.Options) *service {
	t.Helper()
	s := &service{log: telemetrytest.NewLog(t), sink: telemetrytest.NewSink(t)}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.sink.URL)
	var err error
	s.telemetry, err = telemetry.New(t.Context(), telemetry.Config{
		Service: contract.ServiceRoller, Version: "1.2.3", Output: s.log, Faults: o.Faults})
	if err != nil {
		t.Fatal(err)
	}
	if o.Dice == nil {
		o.Dice = roller.NewDice(1, 0, 0.1)
	}
	o.Telemetry, o.Version = s.telemetry, "1.2.3"
	if s.handler, err = roller.NewHandler(o); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(s.handler)
	t.Cleanup(func() {
		s.server.Close()
		if err := s.telemetry.Shutdown(context.WithoutCancel(t.Context())); err != nil { // a test's context ends before its clean-up
			t.Error(err)
		}
	})
	return s
}

// answer is a response of the roller.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; header holds names and values in turn.
func (s *service) do(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	a := webtest.Do(t, s.server, method, path, body, header...)
	return answer{a.Status, a.Header, a.Body}
}

func (s *service) get(t testing.TB, path string, header ...string) answer {
	t.Helper()
	return s.do(t, http.MethodGet, path, "", header...)
}

// settle returns once every request has left its telemetry: an answer may reach
// the caller before it is counted, but a server closes only after that.
func (s *service) settle() {
	s.server.Close()
	s.server = httptest.NewServer(s.handler)
}

// metrics returns the series that the service shows, by name and labels as written.
func (s *service) metrics(t testing.TB) map[string]float64 {
	t.Helper()
	s.settle()
	return parseMetrics(t, s.get(t, "/metrics").body)
}

func parseMetrics(t testing.TB, text string) map[string]float64 {
	t.Helper()
	series := map[string]float64{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		if err != nil {
			t.Fatalf("metrics line %q: %v", line, err)
		}
		series[line[:i]] = value
	}
	return series
}

// moved returns the changes of the series that begin with one of prefixes.
func moved(before, after map[string]float64, prefixes ...string) map[string]float64 {
	diff := map[string]float64{}
	for name, value := range after {
		if value != before[name] && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			diff[name] = value - before[name]
		}
	}
	return diff
}

// own returns the services' metrics; Go's and the process's move by themselves.
func own(series map[string]float64) []string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(series)), func(name string) bool {
		return !strings.HasPrefix(name, "dice") && !strings.HasPrefix(name, "http_")
	})
	slices.Sort(names)
	return names
}

// faults switches some on.
func faults(t testing.TB, specs ...string) *fault.Set {
	t.Helper()
	set, err := fault.NewSet(specs...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// decode reads JSON that must fit T.
func decode[T any](t testing.TB, body string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	return v
}

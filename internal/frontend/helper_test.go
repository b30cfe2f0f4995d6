package frontend_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/frontend"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
	"dicelab/internal/telemetry/telemetrytest"
	"dicelab/internal/web/webtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 30 * time.Second // for a roller that is meant to answer

	traceURL = "http://traces.example/at/{trace_id}?from=page"
	logsURL  = "https://logs.example/?q={trace_id}"
	explorer = "http://explorer.example"
)

// config holds a test's deviations from the defaults.
type config struct {
	roller   string        // URL of the dice roller
	timeout  time.Duration // 0: patience
	faults   *fault.Set    // of the front end
	switches bool          // on the page
	hosts    []string
}

// service is a front end under test.
type service struct {
	handler   http.Handler
	server    *httptest.Server
	telemetry *telemetry.Telemetry
	log       *telemetrytest.Log
	sink      *telemetrytest.Sink
}

func start(t testing.TB, c config) *service {
	t.Helper()
	s := &service{log: telemetrytest.NewLog(t), sink: telemetrytest.NewSink(t)}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.sink.URL)
	s.telemetry = newTelemetry(t, contract.ServiceFrontend, s.log, c.faults)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	if c.timeout == 0 {
		c.timeout = patience
	}
	client, err := roller.NewClient(c.roller, s.telemetry.Transport(transport), c.timeout)
	if err != nil {
		t.Fatal(err)
	}
	o := frontend.Options{Telemetry: s.telemetry, Roller: client, BackendURL: c.roller, TraceURL: traceURL, LogsURL: logsURL,
		ExplorerURL: explorer + "/", Faults: c.faults, Hosts: c.hosts}
	if c.switches {
		o.Switches = &fault.Remote{URL: c.roller, Client: &http.Client{Transport: transport}}
	}
	if s.handler, err = frontend.NewHandler(o); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(s.handler)
	t.Cleanup(func() { s.server.Close() })
	return s
}

// newTelemetry starts a service's telemetry, which ends with the test.
func newTelemetry(t testing.TB, name string, out io.Writer, faults *fault.Set) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.Config{Service: name, Version: "1.2.3", Output: out, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.Background()); err != nil { // a test's context ends before its clean-up
			t.Error(err)
		}
	})
	return tel
}

// backend starts a dice roller that answers as handler does, and returns its URL.
func backend(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// reply answers with a status and a body.
func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// speaks starts a server that reads a request, sends bytes and closes the connection. It returns
// the server's URL.
func speaks(t testing.TB, bytes string) string {
	t.Helper()
	return backend(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, err = io.WriteString(conn, bytes)
			err = errors.Join(err, conn.Close())
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// nowhere returns an address at which nothing listens.
func nowhere(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

// answer is a response of the front end.
type answer struct {
	status int
	header http.Header
	body   string
}

// traceID returns the ID in traceresponse (W3C Trace Context, section 3.2.2).
func (a answer) traceID() string {
	if f := strings.Split(a.header.Get(contract.HeaderTraceresponse), "-"); len(f) == 4 {
		return f[1]
	}
	return ""
}

// do sends a request; header holds names and values in turn.
func (s *service) do(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	a := webtest.Do(t, s.server, method, path, body, header...)
	return answer{a.Status, a.Header, a.Body}
}

func (s *service) get(t testing.TB, path string) answer {
	t.Helper()
	return s.do(t, http.MethodGet, path, "")
}

const (
	formType = "application/x-www-form-urlencoded"
	asHTML   = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" // as browsers say
	asJSON   = "application/json"
)

// post sends a form.
func (s *service) post(t testing.TB, path string, form url.Values, header ...string) answer {
	t.Helper()
	return s.do(t, http.MethodPost, path, form.Encode(), append(header, "Content-Type", formType)...)
}

// roll presses the button.
func (s *service) roll(t testing.TB, die, accept string, header ...string) answer {
	t.Helper()
	return s.post(t, "/roll", url.Values{"die": {die}}, append(header, "Accept", accept)...)
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
	series := map[string]float64{}
	for line := range strings.Lines(s.get(t, "/metrics").body) {
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

// moved returns the changes of the counters.
func moved(before, after map[string]float64) map[string]float64 {
	counters := []string{contract.MetricButtonClicks, contract.MetricBackendRequests, contract.MetricBackendDuration + "_count", contract.MetricHTTPRequests + "{"}
	diff := map[string]float64{}
	for name, value := range after {
		if value != before[name] && slices.ContainsFunc(counters, func(p string) bool { return strings.HasPrefix(name, p) }) {
			diff[name] = value - before[name]
		}
	}
	return diff
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

// faults switches some on.
func faults(t testing.TB, specs ...string) *fault.Set {
	t.Helper()
	set, err := fault.NewSet(specs...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// node is an element of a page.
type node struct{ *html.Node }

// parse reads a page.
func parse(t testing.TB, a answer) node {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Fatalf("answered %d %q, not a page: %s", a.status, got, a.body)
	}
	page, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	return node{page}
}

// all returns the elements below n with a tag; "" means every tag.
func (n node) all(tag string) (list []node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && (tag == "" || d.Data == tag) {
			list = append(list, node{d})
		}
	}
	return list
}

// where returns the elements below n whose attribute has a value.
func (n node) where(key, value string) (list []node) {
	for _, e := range n.all("") {
		if got, ok := e.attr(key); ok && got == value {
			list = append(list, e)
		}
	}
	return list
}

// id returns the one element with an ID, or nil.
func (n node) id(t testing.TB, id string) *node {
	t.Helper()
	switch list := n.where("id", id); len(list) {
	case 0:
		return nil
	case 1:
		return &list[0]
	default:
		t.Fatalf("%d elements have the ID %q", len(list), id)
		return nil
	}
}

// must returns the one element with an ID.
func (n node) must(t testing.TB, id string) node {
	t.Helper()
	found := n.id(t, id)
	if found == nil {
		t.Fatalf("nothing has the ID %q", id)
	}
	return *found
}

func (n node) attr(key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

// text returns the visible text in n, with single spaces.
func (n node) text() string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// texts returns the texts of some elements.
func texts(list []node) (out []string) {
	for _, n := range list {
		out = append(out, n.text())
	}
	return out
}

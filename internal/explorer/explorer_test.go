package explorer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/explorer"
	"dicelab/internal/grafana"
	"dicelab/internal/query"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// faultsOn lists the faults of the lab.
func faultsOn() []string { return []string{"dice-roller:slow=2s", "streamlit-frontend:no-export"} }

func handler(t *testing.T, prometheus, loki, tempo string) http.Handler {
	t.Helper()
	return handlerOf(t, newFakeChecks(), now(), prometheus, loki, tempo)
}

func handlerOf(t *testing.T, checks explorer.Checker, at time.Time, prometheus, loki, tempo string) http.Handler {
	t.Helper()
	p, err := query.NewPrometheus(query.Config{URL: prometheus})
	if err != nil {
		t.Fatal(err)
	}
	l, err := query.NewLoki(query.Config{URL: loki})
	if err != nil {
		t.Fatal(err)
	}
	tm, err := query.NewTempo(query.Config{URL: tempo})
	if err != nil {
		t.Fatal(err)
	}
	h, err := explorer.NewHandler(explorer.Options{Prometheus: p, Loki: l, Tempo: tm, Now: func() time.Time { return at }, Version: "1.2.3",
		Faults:    faultsOn,
		Dashboard: grafana.Stage2(), Checklist: checks, FrontendURL: "http://front.test:8102", Retention: "for 24 hours"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t *testing.T, h http.Handler, target string) *http.Response {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	return rec.Result()
}

// node is a parsed element with a few ways to look into it.
type node struct{ *html.Node }

// page requests a page, and checks its status and the rules for every page.
func page(t *testing.T, h http.Handler, target string, status int) node {
	t.Helper()
	return parsed(t, target, get(t, h, target), status)
}

// parsed reads an answer to its end and checks what holds for every page.
func parsed(t *testing.T, target string, resp *http.Response, status int) node {
	t.Helper()
	doc, err := html.Parse(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	n := node{doc}
	if resp.StatusCode != status {
		t.Fatalf("%s answers %d, want %d: %s", target, resp.StatusCode, status, n.text())
	}
	ids := map[string]bool{}
	for e := range doc.Descendants() {
		for _, a := range e.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s %s=%q>: the Content-Security-Policy forbids it", e.Data, a.Key, a.Val)
			}
			if a.Key == "id" && ids[a.Val] {
				t.Errorf("id %q is used twice", a.Val)
			}
			if a.Key == "id" {
				ids[a.Val] = true
			}
		}
		if e.Type == html.ElementNode && (e.Data == "style" || e.Data == "script" && e.FirstChild != nil) {
			t.Errorf("inline <%s>: the Content-Security-Policy forbids it", e.Data)
		}
	}
	if got := len(n.all("h1")); got != 1 {
		t.Errorf("%s has %d h1", target, got)
	}
	return n
}

// all finds descendants by "tag", ".class", "tag.class", "tag[attr]" or "#id", or by any
// of several such selectors with commas between them.
func (n node) all(selectors string) []node {
	var out []node
	for e := range n.Descendants() {
		if m := (node{e}); e.Type == html.ElementNode && slices.ContainsFunc(strings.Split(selectors, ", "), m.is) {
			out = append(out, m)
		}
	}
	return out
}

func (n node) is(selector string) bool {
	tag, attr, _ := strings.Cut(strings.TrimSuffix(selector, "]"), "[")
	tag, class, _ := strings.Cut(tag, ".")
	tag, id, _ := strings.Cut(tag, "#")
	return (tag == "" || n.Data == tag) && (class == "" || slices.Contains(strings.Fields(n.attr("class")), class)) &&
		(attr == "" || n.has(attr)) && (id == "" || n.attr("id") == id)
}

// one finds the first, and fails without it.
func (n node) one(t *testing.T, selector string) node {
	t.Helper()
	found := n.all(selector)
	if len(found) == 0 {
		t.Fatalf("no %s in: %s", selector, n.text())
	}
	return found[0]
}

func (n node) attr(key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func (n node) has(key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

// text returns the text within, with single spaces.
func (n node) text() string {
	var b strings.Builder
	for e := range n.Descendants() {
		if e.Type == html.TextNode {
			b.WriteString(e.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// link returns the target of the link with that text.
func (n node) link(t *testing.T, text string) string {
	t.Helper()
	for _, a := range n.all("a") {
		if a.text() == text {
			return a.attr("href")
		}
	}
	t.Fatalf("no link %q in: %s", text, n.text())
	return ""
}

// params returns the decoded parameters of a link to path.
func params(t *testing.T, href, path string) url.Values {
	t.Helper()
	u, err := url.Parse(href)
	if err != nil || u.Path != path {
		t.Fatalf("%q does not lead to %s: %v", href, path, err)
	}
	return u.Query()
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in: %s", want, text)
		}
	}
}

func TestNewHandlerNeedsClients(t *testing.T) {
	if _, err := explorer.NewHandler(explorer.Options{}); err == nil || !strings.Contains(err.Error(), "Prometheus, Loki and Tempo") {
		t.Errorf("got %v", err)
	}
}

func TestEveryPageNavigates(t *testing.T) {
	l := start(t)
	for _, path := range []string{"/", "/traces", "/logs", "/metrics", "/targets", "/checklist"} {
		p := page(t, l.handler, path, 200)
		var entries []string
		for _, a := range p.one(t, "nav").all("a") {
			entries = append(entries, a.attr("href"))
			if (a.attr("aria-current") == "page") != (a.attr("href") == path) {
				t.Errorf("on %s, %s has aria-current %q", path, a.attr("href"), a.attr("aria-current"))
			}
		}
		if d := cmp.Diff([]string{"/", "/traces", "/logs", "/metrics", "/targets", "/checklist"}, entries); d != "" {
			t.Error(d)
		}
		if got := p.link(t, "Roll a die"); got != "http://front.test:8102" {
			t.Errorf("the front end is at %s", got)
		}
		contains(t, p.one(t, "footer").text(), "Times in UTC", "dicelab 1.2.3")
	}
}

func TestAssets(t *testing.T) {
	l := start(t)
	for path, kind := range map[string]string{"/assets/theme.css": "text/css; charset=utf-8", "/assets/explorer.css": "text/css; charset=utf-8", "/assets/explorer.js": "text/javascript; charset=utf-8"} {
		resp := get(t, l.handler, path)
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != kind || len(body) < 500 {
			t.Errorf("%s: %d %s, %d bytes, %v", path, resp.StatusCode, resp.Header.Get("Content-Type"), len(body), err)
		}
	}
	contains(t, page(t, l.handler, "/nowhere", 404).text(), "There is no page at /nowhere.")
}

func TestOverview(t *testing.T) {
	p := page(t, start(t).handler, "/", 200)
	var services []string
	for _, a := range p.all("article.service-card") {
		services = append(services, a.one(t, "h3").text()+" "+a.one(t, "a.badge").text())
	}
	if d := cmp.Diff([]string{"streamlit-frontend up", "dice-roller down"}, services); d != "" {
		t.Error(d)
	}
	failed := params(t, p.all("article.service-card")[1].link(t, "Failed"), "/traces")
	if failed.Get("service") != contract.ServiceRoller || failed.Get("status") != "error" {
		t.Errorf("failed rolls are at %v", failed)
	}
	rows := p.all("tr[data-trace]")
	if len(rows) < 3 || rows[0].attr("data-trace") != traceFair {
		t.Fatalf("%d traces", len(rows))
	}
	if got := rows[2].one(t, "a").attr("href"); got != "/traces/"+traceZeros {
		t.Errorf("the ID with zeros leads to %s", got)
	}
}

// The time range and the service travel with the navigation, and a fixed time stays until
// another one is chosen.
func TestTimeTravels(t *testing.T) {
	l := start(t)
	nav := page(t, l.handler, "/traces?service=dice-roller&since=6h", 200).all("nav")[0]
	if got := params(t, nav.link(t, "Logs"), "/logs"); got.Get("since") != "6h" || got.Get("service") != "dice-roller" {
		t.Errorf("Logs leads to %v", got)
	}
	if got := params(t, nav.link(t, "Metrics"), "/metrics"); got.Get("since") != "6h" || got.Has("service") {
		t.Errorf("Metrics leads to %v", got)
	}
	from, to := now().Add(-10*time.Minute).Format(time.RFC3339), now().Add(-time.Minute).Format(time.RFC3339)
	fixed := page(t, l.handler, "/logs?"+url.Values{"start": {from}, "end": {to}}.Encode(), 200)
	form := form(t, fixed, "Search log lines by filters")
	if got := fixed.one(t, "#time-choose").one(t, "summary").text(); got != "fixed 11:50:00 to 11:59:00 UTC" {
		t.Errorf("the chosen time is %q", got)
	}
	var kept []string
	for _, in := range form.all("input[name]") {
		if in.attr("type") == "hidden" {
			kept = append(kept, in.attr("name"))
		}
	}
	if d := cmp.Diff([]string{"start", "end"}, kept); d != "" {
		t.Errorf("fields that keep the time:\n%s", d)
	}
	both := page(t, l.handler, "/logs?"+url.Values{"start": {from}, "end": {to}, "since": {"5m"}}.Encode(), 200)
	if got := both.one(t, "#time-choose").one(t, "summary").text(); got != "last 5m 11:55:00 to 12:00:00 UTC" {
		t.Errorf("the chosen time is %q after another one was chosen", got)
	}
}

// form returns the form with a name.
func form(t *testing.T, p node, name string) node {
	t.Helper()
	for _, f := range p.all("form") {
		if f.attr("aria-label") == name {
			return f
		}
	}
	t.Fatalf("no form %q", name)
	return p
}

func TestService(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, serviceOf(t, l, contract.ServiceRoller), 200)
	contains(t, p.text(), "Requests, in the last 15m 0.1 /s Failed 10 % p50 512 ms p95 973 ms p99 1.01 s", "Newest log lines",
		"Called by, in the last 15m Service Requests Failed Mean streamlit-frontend")
	var operations []string
	for _, r := range p.all("table.red")[0].all("tr")[1:] {
		operations = append(operations, r.text())
	}
	want := []string{"GET /roll 0.1 10 % 512 ms 973 ms 1.01 s", "roll 0.1 0 % 256 ms 486 ms 507 ms"}
	if d := cmp.Diff(want, operations); d != "" {
		t.Errorf("operations (-want +got):\n%s", d)
	}
	q := params(t, p.all("ul.names")[0].link(t, contract.MetricHTTPRequests), "/metrics/find")
	if q.Get("metric") != contract.MetricHTTPRequests || q.Get("label") != "job" || q.Get("val") != contract.ServiceRoller {
		t.Errorf("a metric leads to %v", q)
	}
	contains(t, page(t, l.handler, "/service?name=nobody", 200).text(), "Nothing is stored of a service “nobody” in this time.")
	contains(t, page(t, l.handler, "/service", 400).text(), "Which service?")
	contains(t, page(t, l.handler, "/service?name=x&since=soon", 400).text(), `"soon" is not a duration`)
}

// serviceOf returns the page of a service, as the overview links to it.
func serviceOf(t *testing.T, l lab, name string) string {
	t.Helper()
	return page(t, l.handler, "/", 200).link(t, name)
}

// Services of other apps have a colour each, the same on every page.
func TestServiceColours(t *testing.T) {
	l := start(t)
	classes := map[string]string{}
	for _, name := range []string{"cart", "orders", "stock", "payment"} {
		class := page(t, l.handler, "/service?name="+name, 200).one(t, "h1").one(t, "span.service").attr("class")
		if again := page(t, l.handler, "/service?name="+name, 200).one(t, "h1").one(t, "span.service").attr("class"); again != class {
			t.Errorf("%s is %s, and then %s", name, class, again)
		}
		for other, taken := range classes {
			if taken == class {
				t.Errorf("%s and %s are both %s", name, other, class)
			}
		}
		classes[name] = class
	}
}

func TestTraces(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/traces?since=1h", 200)
	rows := p.all("tr[data-trace]")
	if len(rows) != 40 {
		t.Fatalf("%d traces", len(rows))
	}
	var cells []string
	for _, td := range rows[1].all("td") {
		cells = append(cells, td.text())
	}
	want := []string{"11:58:25.000", "streamlit-frontend POST /roll 5c0ffee5", "streamlit-frontend dice-roller", "5", "737 ms", "✕ failed", "risky"}
	if d := cmp.Diff(want, cells); d != "" {
		t.Error(d)
	}
	var dots []string
	for _, a := range p.one(t, ".chart-plot").all("a") {
		dots = append(dots, a.attr("href"))
	}
	if len(dots) != 40 || !slices.Contains(dots, "/traces/"+traceZeros) {
		t.Errorf("%d dots: %v", len(dots), dots)
	}
	failed := 0
	for _, r := range rows {
		if strings.Contains(r.text(), "✕ failed") {
			failed++
		}
	}
	if got := len(p.one(t, ".chart-plot").all("path.cross")); got != 3 || failed != 3 {
		t.Errorf("%d crosses, %d failed rows, want 3 of each", got, failed)
	}
	contains(t, p.text(), "40 traces in the last 1h, 3 failed", "fair risky no die failed")
	contains(t, page(t, l.handler, "/traces?status=not-error&since=1h", 200).text(), "37 traces in the last 1h newest")
	contains(t, page(t, l.handler, "/traces?status=error&since=1h", 200).text(), "3 traces in the last 1h, 3 failed")
	more := page(t, l.handler, "/traces?limit=30&service=dice-roller&since=1h", 200)
	contains(t, more.text(), "Newest 30 traces in the last 1h, 2 failed")
	if got := params(t, more.link(t, "Show more traces"), "/traces"); got.Get("limit") != "80" || got.Get("service") != "dice-roller" {
		t.Errorf("more are at %v", got)
	}
}

// Where no span has a die, no page speaks of dice; and a trace has failed if its root says
// so, whatever failed within it.
func TestTracesOfOtherApps(t *testing.T) {
	l := start(t, before())
	at := before().Add(-time.Minute)
	r := roll{id: "0a0b0c0d77b34da6a3ce929d0e0e4799", at: at}
	l.send(t, map[string]any{"resourceSpans": []any{
		batch("shop", "1", r.span(0, -1, "POST /checkout", server, 0, time.Second, false)),
		batch("stock", "1", r.span(1, 0, "SELECT", client, time.Millisecond, 3*time.Millisecond, true))}})
	p := page(t, l.handler, "/traces", 200)
	contains(t, p.text(), "Run 1 trace in the last 15m newest longest most spans 0 s", "1 s shop failed Time", "Outcome 15:59:00.000 shop POST /checkout 0a0b0c0d shop stock 2 1 s 1 failed span")
	for _, n := range []string{".badge.bad"} {
		if len(p.all(n)) > 0 {
			t.Errorf("the page has %s", n)
		}
	}
}

func TestTracesFilters(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/traces?service=dice-roller&die=risky&status=error&min=100ms&max=2+s&since=6h", 200)
	const want = `{resource.service.name="dice-roller" && span.die.type="risky" && status=error && traceDuration>=100ms && traceDuration<=2s}`
	if got := l.tempo.asked("/api/search", "q")[0]; got != want {
		t.Errorf("asked for %s", got)
	}
	if got := l.tempo.asked("/api/search", "start")[0]; got != fmt.Sprint(now().Add(-6*time.Hour).Unix()) {
		t.Errorf("asked from %s", got)
	}
	for _, in := range p.all("input[name]") {
		if in.attr("name") == "q" && in.attr("value") != want {
			t.Errorf("the box shows %s", in.attr("value"))
		}
	}
	var selected []string
	for _, o := range p.all("option[selected]") {
		selected = append(selected, o.attr("value"))
	}
	if d := cmp.Diff([]string{"dice-roller", "risky", "error", "="}, selected); d != "" {
		t.Error(d)
	}
	for _, row := range p.all("tr[data-trace]") {
		contains(t, row.text(), "✕ failed", "risky")
	}
	// The die was in the answer already: only whether the roots failed was asked for, too.
	if got := len(l.tempo.asked("/api/search", "q")); got != 2 {
		t.Errorf("%d searches", got)
	}
}

func TestTracesTypedQuery(t *testing.T) {
	l := start(t)
	page(t, l.handler, "/traces?q="+url.QueryEscape(`{ status=error }`)+"&limit=5", 200)
	if q, limit := l.tempo.asked("/api/search", "q")[0], l.tempo.asked("/api/search", "limit")[0]; q != `{ status=error }` || limit != "5" {
		t.Errorf("asked for %s, %s of them", q, limit)
	}
	p := page(t, l.handler, "/traces?q=%7B%7B", 400)
	contains(t, p.one(t, ".notice").text(), "Tempo does not accept this query", "parse error at line 1, col 2")
	contains(t, form(t, p, "Search traces by TraceQL").one(t, "input.mono").attr("value"), "{{")
	resp := get(t, l.handler, "/traces?q=A1b2c377b34da6a3ce929d0e0e4755")
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/traces/"+traceZeros {
		t.Errorf("a pasted ID leads to %d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
}

func TestBadInput(t *testing.T) {
	l := start(t)
	for target, want := range map[string]string{
		"/traces?min=fast":                   `reading the shortest duration: "fast" is not a duration: write it like 100ms or 1.5s`,
		"/traces?max=-1s":                    `reading the longest duration: "-1s" is not a duration`,
		"/traces?limit=0":                    `reading the limit: "0" is not a number from 1 to 500`,
		"/traces?status=broken":              `reading the status: "broken" is none of error, not-error, ok and unset`,
		"/traces?since=never":                `reading the time range: "never" is not a duration: write it like 15m, 6h or 2d`,
		"/logs?trace_id=xyz":                 `parsing trace ID "xyz"`,
		"/logs?start=yesterday":              `reading the start: "yesterday" is not a time`,
		"/logs?start=2026-03-05T00:00Z":      `is not a time: write it like 2026-01-02T15:04:05Z`,
		"/logs?start=1772625600&end=1":       `the start must be before the end`,
		"/metrics?since=40d":                 `"40d" is not a duration`,
		"/metrics?end=x":                     `reading the end`,
		"/traces/xyz":                        `"xyz" is not a trace ID`,
		"/traces/" + strings.Repeat("0", 32): `is not a trace ID`,
	} {
		t.Run(target, func(t *testing.T) { contains(t, page(t, l.handler, target, 400).text(), want) })
	}
}

func TestWaterfall(t *testing.T) {
	p := page(t, start(t).handler, "/traces/"+traceFailed, 200)
	type row struct{ Depth, Indent, Class, Text string }
	var got []row
	for _, d := range p.all("details.span") {
		s := d.one(t, "summary")
		got = append(got, row{d.attr("data-depth"), strings.TrimPrefix(s.one(t, ".wf-name").attr("class"), "wf-name "), d.attr("class"),
			s.one(t, ".wf-label").text() + " | " + s.one(t, ".wf-time").text()})
	}
	want := []row{
		{"0", "in-0", "span c-frontend failed", "POST /roll streamlit-frontend ✕ below | 737 ms"},
		{"1", "in-1", "span c-frontend failed", "roll_button_click streamlit-frontend ✕ below | 736 ms"},
		{"2", "in-2", "span c-frontend failed", "GET streamlit-frontend ✕ below | 734 ms"},
		{"3", "in-3", "span c-roller failed", "GET /roll dice-roller ✕ below | 732 ms"},
		{"4", "in-4", "span c-roller failed", "roll dice-roller ✕ failed | 731 ms"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	root, roll := p.all("details.span")[0], p.all("details.span")[4]
	if bar := root.one(t, "rect.bar"); bar.attr("x") != "0%" || bar.attr("width") != "100%" {
		t.Errorf("the root's bar is at %s, %s wide", bar.attr("x"), bar.attr("width"))
	}
	if bar := roll.one(t, "rect.bar"); bar.attr("x") != "0.475%" || bar.attr("width") != "99.186%" {
		t.Errorf("the last bar is at %s, %s wide", bar.attr("x"), bar.attr("width"))
	}
	if path := roll.all("rect.path"); len(path) != 1 || path[0].attr("width") != "99.186%" {
		t.Errorf("%d critical stretches", len(path))
	}
	contains(t, roll.text(), "Status error: the risky die failed", "Self time 731 ms 100 %", "exception at +734 ms", "exception.type roller.RiskyError",
		"service.instance.id dice-roller-1", "On the critical path yes", "Parent 0e0e4711000000a3")
	contains(t, p.one(t, ".facts").text(), "Started 11:58:25.000", "Duration 737 ms", "Spans 5", "Log lines 4", "Die risky")
	contains(t, p.one(t, ".shares").text(), "dice-roller 732 ms 99.3 % self time, 2 spans, 2 failed")
	contains(t, p.one(t, ".origin").text(), "dice-roller roll : “ the risky die failed ” after 735 ms → failed 4 callers")

	// Logs for this span: its service, its trace, its own lines marked.
	logs := params(t, roll.link(t, "Logs for this span"), "/logs")
	wantLogs := url.Values{"q": {`{service_name="dice-roller"} | trace_id="` + traceFailed + `"`}, "service": {"dice-roller"}, "trace_id": {traceFailed},
		"span_id": {"0e0e4711000000a4"}, "start": {now().Add(-95*time.Second - 5*time.Minute).UTC().Format(time.RFC3339Nano)},
		"end": {now().Add(-95*time.Second + 737*time.Millisecond + 5*time.Minute).UTC().Format(time.RFC3339Nano)}}
	if d := cmp.Diff(wantLogs, logs); d != "" {
		t.Error(d)
	}
	if got := params(t, p.link(t, "Logs for this trace"), "/logs").Get("q"); got != `{service_name=~".+"} | trace_id="`+traceFailed+`"` {
		t.Errorf("logs for the trace: %s", got)
	}
	params(t, p.link(t, "Metrics around it"), "/metrics")
}

func TestHops(t *testing.T) {
	p := page(t, start(t).handler, "/traces/"+traceFair, 200)
	hops := p.all("details.hop")
	if len(hops) != 1 {
		t.Fatalf("%d hops", len(hops))
	}
	if got := hops[0].one(t, ".tp").attr("aria-label"); got != "traceparent 00-"+traceFair+"-0e0e4736000000a2-01" {
		t.Errorf("got %s", got)
	}
	contains(t, hops[0].text(), "streamlit-frontend GET → to dice-roller GET /roll", "✓ the one of this trace", "✓ the span GET of streamlit-frontend", "flags: sampled", "As dice-roller received and recorded it.")
}

// The download is OTLP JSON: IDs in hex, enumerations as numbers.
func TestTraceJSON(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/traces/"+traceZeros, 200)
	resp := get(t, l.handler, p.link(t, "Download JSON"))
	var v struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct {
					TraceID, SpanID, ParentSpanID string
					Kind                          int
				}
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || len(v.ResourceSpans) != 2 {
		t.Fatalf("got %v, %v", v, err)
	}
	var got []string
	for _, r := range v.ResourceSpans {
		for _, s := range r.ScopeSpans[0].Spans {
			got = append(got, fmt.Sprint(s.TraceID, " ", s.SpanID, " ", s.ParentSpanID, " ", s.Kind))
		}
	}
	want := []string{" 0e0e4755000000a0  2", " 0e0e4755000000a1 0e0e4755000000a0 1", " 0e0e4755000000a2 0e0e4755000000a1 3",
		" 0e0e4755000000a3 0e0e4755000000a2 2", " 0e0e4755000000a4 0e0e4755000000a3 1"}
	for i := range want {
		want[i] = traceZeros + want[i]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := resp.Header.Get("Content-Disposition"); got != `attachment; filename="trace-`+traceZeros+`.json"` {
		t.Errorf("saved as %s", got)
	}
	page(t, l.handler, "/traces/"+traceUnknown+"/trace.json", 404)
}

func TestTraceIDIsPadded(t *testing.T) {
	l := start(t)
	for _, given := range []string{strings.TrimLeft(traceZeros, "0"), strings.ToUpper(traceZeros)} {
		resp := get(t, l.handler, "/traces/"+given+"?focus=1")
		if resp.StatusCode != 308 || resp.Header.Get("Location") != "/traces/"+traceZeros+"?focus=1" {
			t.Errorf("%s leads to %d %s", given, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	page(t, l.handler, "/traces/"+traceZeros, 200)
}

func TestUnknownTrace(t *testing.T) {
	l := start(t)
	tests := []struct{ query, refresh, text string }{
		{"", "2;url=/traces/" + traceUnknown + "?try=1", "looks again by itself, 1 of 6"},
		{"?try=4", "6;url=/traces/" + traceUnknown + "?try=5", "looks again by itself, 5 of 6"},
		{"?try=5", "", "Still not there after 6 tries."},
	}
	for _, test := range tests {
		t.Run("try"+test.query, func(t *testing.T) {
			p := page(t, l.handler, "/traces/"+traceUnknown+test.query, 404)
			contains(t, p.text(), test.text, "Traces are kept for 24 hours", "Trace not found")
			refresh := ""
			for _, m := range p.all("meta[http-equiv]") {
				refresh = m.attr("content")
			}
			if refresh != test.refresh {
				t.Errorf("refreshes %q", refresh)
			}
		})
	}
}

func TestLogs(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/logs?trace_id="+traceFailed[:32]+"&span_id=0e0e4711000000a4", 200)
	var lines, marked []string
	for _, d := range p.all("details.log") {
		s := d.one(t, "summary")
		lines = append(lines, s.one(t, ".log-level").text()+" "+s.one(t, ".log-service").text())
		if slices.Contains(strings.Fields(d.attr("class")), "marked") {
			marked = append(marked, s.one(t, ".log-message").text())
		}
	}
	if d := cmp.Diff([]string{"INFO streamlit-frontend", "INFO dice-roller", "ERROR dice-roller", "ERROR streamlit-frontend"}, lines); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"Risky die failed this span die_type= risky status= 500 error= the risky die failed"}, marked); d != "" {
		t.Error(d)
	}
	line := p.all("details.log")[2]
	if got := line.link(t, "5c0ffee5"); got != "/traces/"+traceFailed+"?span=0e0e4711000000a4#span-0e0e4711000000a4" {
		t.Errorf("the line leads to %s", got)
	}
	contains(t, line.text(), "message Risky die failed", "Structured metadata span_id 0e0e4711000000a4", "container_name dice-roller-stage2")
	if got := l.loki.asked("/query_range", "query")[0]; got != `{service_name=~".+"} | trace_id="`+traceFailed+`"` {
		t.Errorf("asked for %s", got)
	}
	if got := p.link(t, "Back to the trace"); got != "/traces/"+traceFailed+"?span=0e0e4711000000a4#span-0e0e4711000000a4" {
		t.Errorf("back leads to %s", got)
	}
}

// The lines of a query are counted by level and over time; a bar leads to its lines.
func TestLogsOverTime(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/logs?service=dice-roller&since=1h", 200)
	contains(t, p.text(), "error 3 info 77", "80 lines in the last 1h, newest first")
	bars := p.one(t, ".chart-plot").all("a")
	if len(bars) == 0 {
		t.Fatal("there are no bars")
	}
	q := params(t, bars[0].attr("href"), "/logs")
	from, err1 := time.Parse(time.RFC3339Nano, q.Get("start"))
	to, err2 := time.Parse(time.RFC3339Nano, q.Get("end"))
	if err1 != nil || err2 != nil || to.Sub(from) != time.Minute || q.Get("service") != "dice-roller" || q.Has("since") {
		t.Errorf("a bar leads to %v", q)
	}
	if n := len(page(t, l.handler, bars[0].attr("href"), 200).all("details.log")); n == 0 {
		t.Error("a bar leads to no lines")
	}
}

func TestLogsQueryError(t *testing.T) {
	p := page(t, start(t).handler, "/logs?q=%7B%7Bx", 400)
	contains(t, p.one(t, ".notice").text(), "Loki does not accept this query", `unexpected "{", expected "}"`)
	for _, in := range p.all("input[name]") {
		if in.attr("name") == "q" && in.attr("value") != "{{x" {
			t.Errorf("the box shows %q", in.attr("value"))
		}
	}
}

func TestLogsMetricQuery(t *testing.T) {
	p := page(t, start(t).handler, "/logs?q="+url.QueryEscape(`sum(rate({service_name=~".+"}[1m]))`), 200)
	if got := len(p.all("path.line")); got != 1 {
		t.Errorf("%d lines in the graph", got)
	}
}

func TestMetricsQuery(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/metrics?q="+url.QueryEscape("sum by (job) (http_requests_total)"), 200)
	var rows []string
	for _, tr := range p.one(t, "table.result").one(t, "tbody").all("tr") {
		rows = append(rows, tr.one(t, "code").text())
	}
	slices.Sort(rows) // Prometheus has no order of its own
	if d := cmp.Diff([]string{`{job="dice-roller"}`, `{job="streamlit-frontend"}`}, rows); d != "" {
		t.Error(d)
	}
	if got := params(t, p.one(t, "nav.ranges").link(t, "6h"), "/metrics"); got.Get("q") != "sum by (job) (http_requests_total)" || got.Get("since") != "6h" {
		t.Errorf("6h leads to %v", got)
	}
	p = page(t, l.handler, "/metrics?q=sum(", 400)
	contains(t, p.one(t, ".notice").text(), "Prometheus does not accept this query", "unclosed left parenthesis")
	if got := len(p.all("section.panel")); got != 26 {
		t.Errorf("a bad query leaves %d panels", got)
	}
}

func TestTargets(t *testing.T) {
	p := page(t, start(t).handler, "/targets", 200)
	contains(t, p.text(), "1 of 2 up", "streamlit-frontend up http://localhost:8102/metrics 1.2 s ago 4.2 ms 2s",
		"dice-roller ✕ down", `Get "http://localhost:8101/metrics": dial tcp 127.0.0.1:8101: connect: connection refused`)
}

func TestEmpty(t *testing.T) {
	l := start(t, before())
	for path, want := range map[string]string{
		"/":                    "No traces in the last 15m. Roll a die at http://front.test:8102",
		"/traces":              "No traces in the last 15m. Choose a longer time above, or roll a die at http://front.test:8102",
		"/traces?status=error": "No trace matches in the last 15m.",
		"/logs":                "No log lines in the last 15m. Roll a die at http://front.test:8102",
		"/logs?level=ERROR":    "No line matches in the last 15m.",
		"/metrics":             "No rolls in this time. Roll a die",
		"/metrics?q=nothing":   "The query gives nothing at the end of this time.",
		"/targets":             "Prometheus scrapes nothing yet.",
	} {
		t.Run(path, func(t *testing.T) { contains(t, page(t, l.handler, path, 200).text(), want) })
	}
}

func TestUnreachable(t *testing.T) {
	h := handler(t, unreachable, unreachable, unreachable)
	for _, test := range []struct {
		path, server string
		status       int
	}{{"/", "Prometheus", 200}, {"/", "Tempo", 200}, {"/traces", "Tempo", 502}, {"/traces/" + traceFair, "Tempo", 502},
		{"/logs", "Loki", 502}, {"/metrics", "Prometheus", 502}, {"/targets", "Prometheus", 502}} {
		t.Run(test.path+" "+test.server, func(t *testing.T) {
			contains(t, page(t, h, test.path, test.status).text(), test.server+" cannot be reached", "connection refused",
				"check that "+test.server+" runs and listens at "+unreachable, "Asked: "+unreachable)
		})
	}
}

// traceServer serves one trace in OTLP JSON.
func traceServer(t *testing.T, spans ...map[string]any) http.Handler {
	t.Helper()
	body, err := json.Marshal(map[string]any{"trace": map[string]any{"resourceSpans": []any{map[string]any{
		"resource":   map[string]any{"attributes": []any{map[string]any{"key": "service.name", "value": map[string]any{"stringValue": `<b>"evil"</b>`}}}},
		"scopeSpans": []any{map[string]any{"spans": spans}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return handler(t, s.URL, s.URL, s.URL)
}

func otlp(id, parent int, name string, attrs ...any) map[string]any {
	s := map[string]any{"traceId": traceFair, "spanId": fmt.Sprintf("%016x", id), "name": name,
		"startTimeUnixNano": fmt.Sprint(now().UnixNano() + int64(id)*1000), "endTimeUnixNano": fmt.Sprint(now().UnixNano() + 1e9), "attributes": attrs}
	if parent > 0 {
		s["parentSpanId"] = fmt.Sprintf("%016x", parent)
	}
	return s
}

func TestHostileValues(t *testing.T) {
	const evil = `</dd><script>alert(1)</script><img src=x onerror=alert(1)>"'{{.}}`
	h := traceServer(t, otlp(1, 0, evil, map[string]any{"key": evil, "value": map[string]any{"stringValue": evil}}))
	p := page(t, h, "/traces/"+traceFair, 200)
	span := p.one(t, "details.span")
	var fields []string
	for _, d := range span.all("dl.fields")[0].all("div") {
		fields = append(fields, d.one(t, "dt").FirstChild.Data, d.one(t, "dd").FirstChild.Data)
	}
	if d := cmp.Diff([]string{evil, evil}, fields); d != "" {
		t.Error(d)
	}
	if got := len(p.all("script")); got != 3 { // the pages' own: explorer.js, pages.js, trace.js
		t.Errorf("%d scripts", got)
	}
	if got := len(p.all("img")); got != 0 {
		t.Errorf("%d images", got)
	}
	if got := params(t, span.link(t, "Logs for this span"), "/logs").Get("q"); got != `{service_name="<b>\"evil\"</b>"} | trace_id="`+traceFair+`"` {
		t.Errorf("got %s", got)
	}
}

func TestBrokenTrace(t *testing.T) {
	h := traceServer(t, otlp(1, 9, "orphan"), otlp(2, 3, "circle"), otlp(3, 2, "circle too"), otlp(4, 0, "root"), otlp(4, 0, "root again"))
	contains(t, page(t, h, "/traces/"+traceFair, 200).text(), "1 span names a parent that is not in this trace", "1 span has a parent beneath itself",
		"1 span shares its ID with an earlier one", "parent 0000000000000009 missing", "span ID used twice")
}

// A trace of any size opens: subtrees are collapsed, and nothing is out of reach.
func TestLargeTrace(t *testing.T) {
	spans := []map[string]any{otlp(1, 0, "root")}
	for i := range 1000 {
		spans = append(spans, otlp(10+i, 1, "child"), otlp(10_000+i, 10+i, "grandchild"))
	}
	h := traceServer(t, spans...)
	target, seen, pages := "/traces/"+traceFair, map[string]bool{}, 0
	for target != "" {
		p := page(t, h, target, 200)
		rows := p.all("details.span")
		if len(rows) > 300 {
			t.Fatalf("%d rows", len(rows))
		}
		for _, r := range rows {
			seen[r.attr("data-span")] = true
		}
		if pages == 0 { // equal spans are one row, which leads to them
			contains(t, p.text(), "Spans 2001", "1000 × child", "+1 beneath")
			contains(t, page(t, h, p.one(t, ".group").one(t, "details.span").link(t, "Show the 1 spans beneath"), 200).text(), "grandchild", "Show the whole trace")
		}
		if pages == 1 {
			contains(t, p.text(), "701 more spans beside this one")
		}
		target = ""
		for _, m := range p.all(".wf-more") {
			target = m.one(t, "a").attr("href")
		}
		if pages++; pages > 10 {
			t.Fatal("the rest never ends")
		}
	}
	// The first page, and four with the root and 299 children on each.
	if len(seen) < 1001 || pages != 5 {
		t.Errorf("%d spans on %d pages", len(seen), pages)
	}
}

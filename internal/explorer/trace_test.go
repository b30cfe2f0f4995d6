package explorer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/explorer"
	"dicelab/internal/grafana"
	"dicelab/internal/query"

	"github.com/google/go-cmp/cmp"
)

// shopSpan is a span of a made-up shop. Times are milliseconds.
type shopSpan struct {
	id, parent    int
	service, name string
	kind          int
	from, to      int
	failed        string // the message
	attributes    []any
	flags         int
}

// shop is a Tempo and a Loki with made-up traces and log lines.
type shop struct {
	traces map[string][]shopSpan
	lines  []string // entries of one stream: ["time", "line", {"structuredMetadata": …}]
	stream string   // the service of the stream
	asked  []string // LogQL
	base   time.Time
	notes  bool // are hidden
	found  string
}

// handler returns the explorer of the shop.
func (s *shop) handler(t *testing.T) http.Handler {
	t.Helper()
	if s.base.IsZero() {
		s.base = now().Add(-time.Hour)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		switch {
		case strings.Contains(r.URL.Path, "/traces/") && s.traces[id] == nil:
			http.NotFound(w, r)
		case strings.Contains(r.URL.Path, "/traces/"):
			_, _ = io.WriteString(w, `{"trace":{"resourceSpans":[`+s.batches(id)+`]}}`) // the page is gone
		case r.URL.Path == "/api/search":
			_, _ = io.WriteString(w, `{"traces":[`+s.found+`]}`) // as above
		default:
			s.asked = append(s.asked, r.URL.Query().Get("query"))
			fmt.Fprintf(w, `{"data":{"resultType":"streams","result":[{"stream":{"service_name":%q},"values":[%s]}]}}`,
				s.stream, strings.Join(s.lines, ","))
		}
	}))
	t.Cleanup(server.Close)
	p, err1 := query.NewPrometheus(query.Config{URL: server.URL})
	l, err2 := query.NewLoki(query.Config{URL: server.URL})
	tm, err3 := query.NewTempo(query.Config{URL: server.URL})
	h, err := explorer.NewHandler(explorer.Options{Prometheus: p, Loki: l, Tempo: tm, Now: now,
		Dashboard: grafana.Stage2(), Checklist: newFakeChecks(), NoNotes: s.notes, Version: "1.2.3"})
	for _, err := range []error{err1, err2, err3, err} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// batches writes the spans of a trace, a batch for each.
func (s *shop) batches(id string) string {
	var out []string
	for _, sp := range s.traces[id] {
		at := func(ms int) string {
			return strconv.FormatInt(s.base.Add(time.Duration(ms)*time.Millisecond).UnixNano(), 10)
		}
		span := map[string]any{"traceId": id, "spanId": hex16(sp.id), "name": sp.name, "kind": sp.kind,
			"startTimeUnixNano": at(sp.from), "endTimeUnixNano": at(sp.to),
			"attributes": sp.attributes, "flags": sp.flags}
		if sp.parent > 0 {
			span["parentSpanId"] = hex16(sp.parent)
		}
		if sp.failed != "" {
			span["status"] = map[string]any{"code": 2, "message": sp.failed}
		}
		text, err := json.Marshal(batch(sp.service, "1", span))
		if err != nil {
			panic(err) // made of texts and numbers
		}
		out = append(out, string(text))
	}
	return strings.Join(out, ",")
}

// line adds a log line of a span at a time in milliseconds. A span of 0 means none, nor a trace.
func (s *shop) line(id string, span, at int, level, message string) {
	metadata := fmt.Sprintf(`{"structuredMetadata":{"trace_id":%q,"span_id":%q}}`, id, hex16(span))
	if span == 0 {
		metadata = `{"structuredMetadata":{}}`
	}
	text, err := json.Marshal(fmt.Sprintf(`{"level":%q,"message":%q}`, level, message))
	if err != nil {
		panic(err) // a text
	}
	s.lines = append(s.lines, fmt.Sprintf(`["%d",%s,%s]`, s.base.Add(time.Duration(at)*time.Millisecond).UnixNano(),
		text, metadata))
}

// checkout is a trace of a shop: an order that looks up 40 prices, one by one, and fails to charge.
func checkout() []shopSpan {
	out := []shopSpan{{id: 1, service: "gateway", name: "POST /checkout", kind: server, to: 1000,
		failed: "payment failed", attributes: []any{kv("http.route", "/checkout")}},
		{id: 2, parent: 1, service: "cart", name: "Get", kind: server, from: 50, to: 350},
		{id: 3, parent: 1, service: "payment", name: "charge", kind: server, from: 400, to: 900,
			failed: "provider did not answer", attributes: []any{kv("payment.provider", "Acme Ltd")}}}
	for i := range 40 {
		out = append(out, shopSpan{id: 100 + i, parent: 2, service: "cart", name: "SELECT price", kind: client,
			from: 60 + 7*i, to: 65 + 7*i})
	}
	return out
}

// names lists the spans and groups of a waterfall, in order.
func names(p node) (out []string) {
	for _, d := range p.all("details.span, details.group") {
		out = append(out, d.one(t0, ".wf-label").one(t0, "b").text())
	}
	return out
}

// t0 stands for the test where an element is always there.
var t0 = &testing.T{}

// TestSearchInATrace checks what a search within a trace finds, and the ways from one to the next.
func TestSearchInATrace(t *testing.T) {
	h := (&shop{traces: map[string][]shopSpan{traceFair: checkout()}}).handler(t)
	for find, want := range map[string]string{
		"price": "40 of 43 spans", "SELECT cart": "40 of 43 spans", "service=payment": "1 of 43 spans",
		"status=failed": "2 of 43 spans", "failed": "2 of 43 spans",
		"payment.provider=acme": "1 of 43 spans", `payment.provider="acme ltd"`: "1 of 43 spans",
		"http.route": "1 of 43 spans", "kind=client": "40 of 43 spans",
		hex16(3): "1 of 43 spans", "provider did": "1 of 43 spans", "service.version=1": "43 of 43 spans",
		"nowhere": "0 of 43 spans", "name=get": "1 of 43 spans", "payment.provider=get": "0 of 43 spans",
	} {
		t.Run(find, func(t *testing.T) {
			p := page(t, h, "/traces/"+traceFair+"?find="+strings.NewReplacer(" ", "+", `"`, "%22").Replace(find), 200)
			contains(t, p.one(t, ".wf-found").text(), want)
			count, _, _ := strings.Cut(want, " ")
			if got := fmt.Sprint(len(p.all("details.match"))); got != count {
				t.Errorf("%s spans are marked, want %s", got, count)
			}
		})
	}
	p := page(t, h, "/traces/"+traceFair+"?find=failed", 200)
	next := p.one(t, ".wf-found").link(t, "Next")
	if want := "/traces/" + traceFair + "?find=failed&span=" + hex16(1) + "#span-" + hex16(1); next != want {
		t.Errorf("next leads to %s, want %s", next, want)
	}
	p = page(t, h, strings.Split(next, "#")[0], 200)
	contains(t, p.one(t, ".wf-found").text(), "1 of 2 of 43 spans")
	for _, way := range []string{"Next", "Previous"} { // of two, both lead to the other
		if got := params(t, strings.Split(p.one(t, ".wf-found").link(t, way), "#")[0],
			"/traces/"+traceFair).Get("span"); got != hex16(3) {
			t.Errorf("%s leads to %s", way, got)
		}
	}
}

// TestFilters checks the filters of a waterfall, which keep the search.
func TestFilters(t *testing.T) {
	h := (&shop{traces: map[string][]shopSpan{traceFair: checkout()}}).handler(t)
	for only, want := range map[string][]string{
		"failed": {"POST /checkout", "charge"},
		"long":   {"POST /checkout", "Get", "charge"},
	} {
		p := page(t, h, "/traces/"+traceFair+"?find=x&only="+only, 200)
		if d := cmp.Diff(want, names(p)); d != "" {
			t.Errorf("%s: %s", only, d)
		}
		contains(t, p.one(t, ".wf-count").text(), "of 43 spans shown")
		if got := params(t, p.one(t, ".pills").one(t, "a[aria-current]").attr("href"),
			"/traces/"+traceFair).Encode(); got != "find=x" {
			t.Errorf("%s: without the filter the page is %s", only, got)
		}
	}
	p := page(t, h, "/traces/"+traceFair+"?find=Get&only=matches", 200)
	if d := cmp.Diff([]string{"POST /checkout", "Get"}, names(p)); d != "" {
		t.Error(d)
	}
	path := page(t, h, "/traces/"+traceFair+"?only=path", 200)
	contains(t, path.one(t, ".wf-count").text(), "43 of 43 spans shown")
}

// TestEqualSpans checks that equal siblings are one row, with those in it beneath, and that a failed
// one or one that is found has a row of its own.
func TestEqualSpans(t *testing.T) {
	spans := checkout()
	spans[3+7].failed = "deadlock"
	s := &shop{traces: map[string][]shopSpan{traceFair: spans}, stream: "cart"}
	s.base = now().Add(-time.Hour)
	s.line(traceFair, 100+20, 203, "info", "slow row")
	h := s.handler(t)
	p := page(t, h, "/traces/"+traceFair, 200)
	if got := names(p)[:4]; !slices.Equal(got, []string{"POST /checkout", "Get", "39 × SELECT price", "SELECT price"}) {
		t.Errorf("rows %q", got)
	}
	g := p.one(t, "details.group")
	contains(t, g.one(t, "summary").text(), "39 × SELECT price cart", "5 ms to 5 ms each",
		"195 ms in all, longest 5 ms")
	if got := len(g.all("details.span")); got != 39 || g.has("open") {
		t.Errorf("%d rows within the group", got)
	}
	if got := len(p.all("details.failed")); got != 3 {
		t.Errorf("%d failed spans are shown", got)
	}
	if got := len(page(t, h, "/traces/"+traceFair+"?group=off", 200).all("details.group")); got != 0 {
		t.Errorf("%d groups, want none", got)
	}
}

// TestFailedSpansAreShown checks that the failed spans of a large trace have rows, wherever they are, and
// the one that is asked for.
func TestFailedSpansAreShown(t *testing.T) {
	spans := []shopSpan{{id: 1, service: "gateway", name: "root", to: 10_000}}
	for i := range 2000 {
		spans = append(spans, shopSpan{id: 10 + i, parent: 1, service: "cart", name: fmt.Sprint("call ", i), from: i,
			to: i + 2})
	}
	spans[1900].failed = "broken"
	spans = append(spans, shopSpan{id: 5000, parent: 10 + 1500, service: "cart", name: "beneath", from: 1500, to: 1501,
		failed: "broken, too"})
	h := (&shop{traces: map[string][]shopSpan{traceFair: spans}}).handler(t)
	p := page(t, h, "/traces/"+traceFair+"?span="+hex16(10+1700), 200)
	shown := map[string]bool{}
	for _, d := range p.all("details.span") {
		shown[d.attr("data-span")] = true
	}
	for _, id := range []int{1, 10 + 1899, 10 + 1500, 5000, 10 + 1700} {
		if !shown[hex16(id)] {
			t.Errorf("span %d has no row", id)
		}
	}
	if len(shown) > 300 {
		t.Errorf("%d rows", len(shown))
	}
	// The details of the other rows are on their own page.
	row := p.all("details.span")[299]
	contains(t, row.text(), "Show the details of this span")
	full := page(t, h, strings.Split(row.link(t, "Show the details of this span"), "#")[0], 200)
	contains(t, full.one(t, "#span-"+row.attr("data-span")).text(), "Self time 2 ms", "service.version 1")
}

// TestZoom checks the part of the time that a page shows.
func TestZoom(t *testing.T) {
	h := (&shop{traces: map[string][]shopSpan{traceFair: checkout()}}).handler(t)
	p := page(t, h, "/traces/"+traceFair, 200)
	slices := p.one(t, ".minimap").all("a[aria-label]")
	if len(slices) != 10 || slices[4].attr("aria-label") != "Show 400 ms to 500 ms" {
		t.Fatalf("%d parts", len(slices))
	}
	p = page(t, h, slices[4].attr("href"), 200)
	if d := cmp.Diff([]string{"POST /checkout", "charge"}, names(p)); d != "" {
		t.Error(d)
	}
	if bar := p.all("details.span")[1].one(t, "rect.bar"); bar.attr("x") != "0%" || bar.attr("width") != "100%" {
		t.Errorf("the bar is at %s, %s wide", bar.attr("x"), bar.attr("width"))
	}
	contains(t, p.one(t, ".wf-head").text(), "400 ms", "450 ms", "500 ms")
	contains(t, p.one(t, ".wf-count").text(), "41 spans are outside of the chosen time.")
	moves := p.one(t, ".map-moves")
	contains(t, moves.text(), "400 ms to 500 ms of 1 s")
	for text, want := range map[string]string{"Earlier": "350ms 450ms", "Later": "450ms 550ms", "Closer": "425ms 475ms",
		"Wider": "350ms 550ms", "Whole time": " "} {
		v := params(t, moves.link(t, text), "/traces/"+traceFair)
		if got := v.Get("from") + " " + v.Get("to"); got != want {
			t.Errorf("%s leads to %s, want %s", text, got, want)
		}
	}
}

// TestLinesOnRows checks the marks of log lines and events in the rows, and the lines in the details.
func TestLinesOnRows(t *testing.T) {
	p := page(t, start(t).handler, "/traces/"+traceFailed, 200)
	rows := p.all("details.span")
	marks := func(row node) (out []string) {
		for _, m := range row.all("svg.mark") {
			out = append(out, m.attr("class")+" "+m.one(t, "title").text())
		}
		return out
	}
	if d := cmp.Diff([]string{"mark line INFO " + contract.MsgButtonClicked + " die_type=risky +1 ms",
		"mark line bad ERROR " + contract.MsgBackendFailed +
			` die_type=risky backend_status=500 error=dice roller answe… +736 ms`}, marks(rows[1])); d != "" {
		t.Error(d)
	}
	if got := marks(rows[4]); len(got) != 2 || got[0] != "mark event bad exception at +734 ms" ||
		!strings.HasPrefix(got[1], "mark line bad ERROR "+contract.MsgRiskyFailed) {
		t.Errorf("marks %q", got)
	}
	contains(t, rows[4].one(t, ".span-lines").text(), "+734 ms ERROR "+contract.MsgRiskyFailed+" die_type=risky")
}

// TestFlame checks the frames of a flame graph: their widths, what they stand for, and the way into one.
func TestFlame(t *testing.T) {
	h := (&shop{traces: map[string][]shopSpan{traceFair: checkout()}}).handler(t)
	p := page(t, h, "/traces/"+traceFair+"?view=flame", 200)
	var got []string
	for _, f := range p.all("svg.frame") {
		got = append(got, f.attr("x")+" "+f.attr("width")+" "+f.attr("y")+" "+f.one(t, "title").text())
	}
	want := []string{"0% 100% 0 POST /checkout, gateway: 1 span, 1 s with all beneath (100 %), 200 ms self time, 1 failed",
		"0% 30% 24 Get, cart: 1 span, 300 ms with all beneath (30 %), 100 ms self time",
		"30% 50% 24 charge, payment: 1 span, 500 ms with all beneath (50 %), 500 ms self time, 1 failed",
		"0% 20% 48 SELECT price, cart: 40 spans, 200 ms with all beneath (20 %), 200 ms self time"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	contains(t, p.one(t, "table.by-name").text(), "charge payment 500 ms 50 % 1 500 ms 500 ms 1",
		"SELECT price cart 200 ms 20 % 40 5 ms 200 ms")
	found := page(t, h, p.one(t, "table.by-name").link(t, "SELECT price"), 200)
	contains(t, found.one(t, ".wf-found").text(), "40 of 43 spans")
	p = page(t, h, p.all("svg.frame")[1].one(t, "a").attr("href"), 200)
	if got := p.all("svg.frame")[1]; got.attr("width") != "100%" || len(p.all("svg.frame")) != 3 {
		t.Errorf("the chosen frame is %s wide, of %d", got.attr("width"), len(p.all("svg.frame")))
	}
	p.link(t, "Whole trace")
}

// TestCompare checks the comparison of two traces: what is missing, new, longer.
func TestCompare(t *testing.T) {
	slow := slices.Clone(checkout())[:3+10]
	slow[0].to, slow[2].to, slow[2].failed = 1500, 1400, ""
	slow = append(slow, shopSpan{id: 900, parent: 3, service: "payment", name: "retry", from: 900, to: 1300})
	fast := append(checkout(), shopSpan{id: 901, parent: 1, service: "gateway", name: "log out", from: 950, to: 960})
	s := &shop{traces: map[string][]shopSpan{traceFair: fast, traceFailed: slow}}
	s.found = fmt.Sprintf(`{"traceID":%q,"durationMs":1500},{"traceID":%q,"durationMs":1000}`, traceFailed, traceFair)
	h := s.handler(t)
	p := page(t, h, "/traces/"+traceFair+"/compare?with="+traceFailed, 200)
	contains(t, p.one(t, ".verdict-line").text(),
		"B took 1.5 s, 500 ms longer than A (150 % of it); 31 spans of A are missing in B; 1 span of B is new.")
	var got []string
	for _, r := range p.all("div.cmp-row[id]") {
		got = append(got, r.one(t,
			".wf-label").text()+" | "+r.all(".num")[0].text()+" | "+r.all(".num")[1].text()+" | "+r.all(".num")[2].text())
	}
	want := []string{"POST /checkout gateway | 1 s ✕ 1 | 1.5 s ✕ 1 | +500 ms", "Get cart | 300 ms | 300 ms | 0 s",
		"SELECT price cart | 200 ms ×40 | 50 ms ×10 | -150 ms",
		"charge payment | 500 ms ✕ 1 | 1 s | +500 ms", "retry payment | – | 400 ms | new",
		"log out gateway | 10 ms | – | missing"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	contains(t, p.one(t, "ol.causes").text(), "+400 ms retry payment new in B")
	only := page(t, h, p.link(t, "Differences only"), 200)
	if got := len(only.all("div.cmp-row[id]")); got != 6 { // the row above one that differs stays
		t.Errorf("%d rows", got)
	}
	for _, with := range []string{"typical", "fastest"} {
		resp := get(t, h, "/traces/"+traceFair+"/compare?with="+with)
		if got := resp.Header.Get("Location"); resp.StatusCode != 303 ||
			got != "/traces/"+traceFair+"/compare?with="+traceFailed {
			t.Errorf("%s leads to %d %s", with, resp.StatusCode, got)
		}
	}
	for with, want := range map[string]string{"x": "parsing trace ID", traceFair: "this is the same trace",
		traceUnknown: "there is no trace " + traceUnknown} {
		status := 400
		if with == traceUnknown {
			status = 404
		}
		contains(t, page(t, h, "/traces/"+traceFair+"/compare?with="+with, status).one(t, ".notice").text(), want)
	}
}

// TestTraceHTML checks the page that a trace is saved as: it has all that is needed, and asks for nothing.
func TestTraceHTML(t *testing.T) {
	resp := get(t, start(t).handler, "/traces/"+traceFailed+"/trace.html")
	if got := resp.Header.Get("Content-Disposition"); got != `attachment; filename="trace-`+traceFailed+`.html"` {
		t.Errorf("saved as %s", got)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"<script", "href=\"/", "src=", "url(", "@import", "<form", "<link"} {
		if strings.Contains(string(text), never) {
			t.Errorf("%s is in the file", never)
		}
	}
	contains(t, string(text), "default-src 'none'; style-src 'unsafe-inline'", "--bg-raised", contract.MsgRiskyFailed,
		"rect class=\"bar\"", "exception.type", "Saved ", traceFailed)
}

// TestNotes checks the remarks on a trace that does not fit together, and that they can be left out.
func TestNotes(t *testing.T) {
	skewed := []shopSpan{{id: 1, service: "front", name: "POST", kind: server, to: 700}, {id: 2, parent: 1,
		service: "front", name: "GET", kind: client, from: 10, to: 690},
		{id: 3, parent: 2, service: "back", name: "GET /roll", kind: server, from: 3020, to: 3680}, {id: 4, parent: 3,
			service: "back", name: "roll", kind: internal, from: 3030, to: 3670}}
	s := &shop{traces: map[string][]shopSpan{traceFair: skewed, traceFailed: {
		{id: 2, parent: 9, service: "cart", name: "serve", kind: server, to: 10, flags: 0x301}, {id: 3, parent: 8,
			service: "cart", name: "step", kind: internal, to: 10, flags: 0x101},
		{id: 4, parent: 7, service: "mail", name: "send", kind: server, to: 10, flags: 0x300}}}, stream: "back"}
	s.base = now().Add(-time.Hour)
	s.line(traceFair, 3, 3100, "info", "rolled")
	h := s.handler(t)
	p := page(t, h, "/traces/"+traceFair, 200)
	const clocks = "The clock of back is about 3 s ahead of that of front: GET /roll starts 2.33 s after its caller GET has ended. Durations of single spans are right; " +
		"times between the two services, self time and critical path across that call are not."
	contains(t, p.text(), clocks, "clock 3 s ahead",
		"front answers calls in this trace and wrote no log line that names it, while back wrote 1 line.")
	contains(t, p.one(t, ".facts").text(), "Duration 700 ms 3.68 s first to last")
	if call := p.one(t, "#span-"+hex16(2)); len(call.all("rect.path")) != 0 {
		t.Error("the call across the clocks has a critical path")
	} else {
		contains(t, call.text(), "Self time unknown", "On the critical path unknown")
	}
	p = page(t, h, p.link(t, "Align the clocks"), 200)
	contains(t, p.text(), "Shown as if the clocks agreed. The clock of back")
	contains(t, p.one(t, ".facts").text(), "Duration 700 ms Started")
	if bar := p.one(t, "#span-"+hex16(3)).one(t, "rect.bar"); bar.attr("x") != "2.857%" {
		t.Errorf("the answer is at %s", bar.attr("x"))
	}
	p = page(t, h, "/traces/"+traceFailed, 200)
	contains(t, p.text(), "3 spans name parents that are not in this trace.",
		"The caller of serve in cart is missing: the trace was lost at the hop into cart. The caller does not send its spans here, or did not sample the trace.",
		"The parent of step in cart was in the same program, and is missing: it has not ended, or was dropped before it was sent",
		"The caller of send in mail is missing: its flags say that it was not sampled.")

	s.lines = nil
	s.line(traceFair, 3, 3100, "info", "rolled")
	s.stream = "front" // writes a line without an ID meanwhile
	s.line(traceFair, 0, 100, "info", "no ID")
	s.traces[traceFair] = append(slices.Clone(skewed), shopSpan{id: 9, parent: 1, service: "silent", name: "serve",
		kind: server, from: 3_700_000, to: 3_700_001})
	s.notes = true
	p = page(t, s.handler(t), "/traces/"+traceFair, 200)
	missing(t, p.text(), "The clock of", "ahead", "in the future", "no log line")
}

// TestLinesWithoutID checks the note on a service whose lines lack the trace ID, and spans in the future.
func TestLinesWithoutID(t *testing.T) {
	s := &shop{traces: map[string][]shopSpan{traceFair: {{id: 1, service: "front", name: "POST", kind: server, to: 700},
		{id: 2, parent: 1, service: "back", name: "serve", kind: server, from: 10, to: 5000}}}}
	s.base = now()
	loki := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream := s.stream
		if strings.Contains(r.URL.Query().Get("query"), "front") {
			stream = "front"
		}
		fmt.Fprintf(w, `{"data":{"resultType":"streams","result":[{"stream":{"service_name":%q},"values":[%s]}]}}`,
			stream, strings.Join(s.lines, ","))
	}))
	t.Cleanup(loki.Close)
	s.stream = "back"
	s.line(traceFair, 2, 20, "info", "served")
	s.line(traceFair, 0, 30, "info", "no ID")
	s.traces[traceFair][1].from = 3000
	tempo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"trace":{"resourceSpans":[`+s.batches(traceFair)+`]}}`) // the page is gone
	}))
	t.Cleanup(tempo.Close)
	p := page(t, handler(t, loki.URL, loki.URL, tempo.URL), "/traces/"+traceFair, 200)
	contains(t, p.text(),
		"front has 1 span in this trace and no log line, while back wrote 2 lines. Meanwhile it wrote 1 line without a trace ID.",
		"serve of back starts 3 s in the future: by the clock of this machine it is 12:00:00.")
	if got := params(t, p.link(t, "Show the lines"), "/logs").Get("service"); got != "front" {
		t.Errorf("the lines of %q", got)
	}
}

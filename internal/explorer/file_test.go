package explorer_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// send posts a form whose parts are given by name; the part "file" is a file
// called trace.json.
func send(t *testing.T, h http.Handler, parts map[string]string, status int) node {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range parts {
		var w io.Writer
		var err error
		if name == "file" {
			w, err = form.CreateFormFile("file", "trace.json")
		} else {
			w, err = form.CreateFormField(name)
		}
		if err == nil {
			_, err = io.WriteString(w, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/traces/file", &body)
	req.Header.Set("Content-Type", form.FormDataContentType())
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return parsed(t, "the form", rec.Result(), status)
}

// press sends the form of a file's page by one of its buttons, as a browser does.
func (n node) press(t *testing.T, h http.Handler, button node) node {
	t.Helper()
	parts := map[string]string{button.attr("name"): button.attr("value")}
	for _, form := range n.all("form") {
		if form.attr("id") != button.attr("form") {
			continue
		}
		for _, field := range form.all("input") {
			parts[field.attr("name")] = field.attr("value")
		}
	}
	return send(t, h, parts, http.StatusOK)
}

func (n node) button(t *testing.T, text string) node {
	t.Helper()
	for _, b := range n.all("button") {
		if b.text() == text {
			return b
		}
	}
	t.Fatalf("no button %q in: %s", text, n.text())
	return node{}
}

// download returns a stored trace as its page saves it.
func download(t *testing.T, l lab, id string) string {
	t.Helper()
	body, err := io.ReadAll(get(t, l.handler, "/traces/"+id+"/trace.json").Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What was saved is shown again by an explorer without it in its stores,
// and that asks them nothing.
func TestTraceFromFile(t *testing.T) {
	saved := download(t, start(t), traceFailed)
	l := start(t)
	p := send(t, l.handler, map[string]string{"file": saved}, 200)
	contains(t, p.one(t, "h1").text(), "streamlit-frontend POST /roll", "✕ 5 failed spans")
	contains(t, p.one(t, ".notice").text(), "From the file trace.json", "not stored: it is in this page alone", "dicelab import")
	var rows []string
	for _, s := range p.all("details.span") {
		rows = append(rows, s.attr("data-depth")+" "+s.attr("data-span"))
	}
	want := []string{"0 0e0e4711000000a0", "1 0e0e4711000000a1", "2 0e0e4711000000a2", "3 0e0e4711000000a3", "4 0e0e4711000000a4"}
	if d := cmp.Diff(want, rows); d != "" {
		t.Error(d)
	}
	contains(t, p.text(), "exception.message the risky die failed", "As dice-roller received and recorded it.")
	for _, a := range p.all("a") {
		if href := a.attr("href"); strings.HasPrefix(href, "/logs?") || strings.HasPrefix(href, "/metrics?") || strings.Contains(href, traceFailed) {
			t.Errorf("links to %s, where a trace from a file is not", href)
		}
	}
	if asked := len(l.tempo.requests) + len(l.loki.requests) + len(l.prometheus.requests); asked != 0 {
		t.Errorf("the stores were asked %d times", asked)
	}
}

// A search is a part of the form of a file, and stays in the buttons of its page.
func TestSearchInAFile(t *testing.T) {
	saved := download(t, start(t), traceFailed)
	h := alone(t).handler
	p := send(t, h, map[string]string{"file": saved}, 200)
	enter := p.one(t, "button[form]") // of a form, the key Enter presses the first
	if enter.text() != "Find" {
		t.Fatalf("Enter presses %q", enter.text())
	}
	parts := map[string]string{enter.attr("name"): enter.attr("value"), "find": "service=dice-roller"}
	for _, field := range p.one(t, "#file").all("input") {
		parts[field.attr("name")] = field.attr("value")
	}
	found := send(t, h, parts, 200)
	contains(t, found.one(t, ".wf-found").text(), "2 of 5 spans")
	next := found.press(t, h, found.one(t, ".wf-found").button(t, "Next"))
	contains(t, next.one(t, ".wf-found").text(), "1 of 2 of 5 spans")
	if got := next.all("details[open]")[0].attr("data-span"); got != "0e0e4711000000a3" {
		t.Errorf("%s is open", got)
	}
	only := next.press(t, h, next.one(t, ".pills").button(t, "Matches only 2"))
	contains(t, only.one(t, ".wf-count").text(), "5 of 5 spans shown")
}

// A link to another trace is listed without an address, because that trace may not be stored.
func TestLinkInAFile(t *testing.T) {
	other := strings.Repeat("ab", 16)
	p := send(t, alone(t).handler, map[string]string{"file": `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"` + traceFair + `","spanId":"` + hex16(1) +
		`","links":[{"traceId":"` + other + `","spanId":"` + hex16(2) + `"}]}]}]}]}`}, 200)
	contains(t, p.text(), "Links "+other+" span "+hex16(2))
	for _, a := range p.all("a") {
		if strings.Contains(a.attr("href"), other) {
			t.Errorf("links to %s", a.attr("href"))
		}
	}
}

func TestTracesFromFile(t *testing.T) {
	l := start(t)
	both := download(t, l, traceZeros) + download(t, l, traceFair)
	p := send(t, l.handler, map[string]string{"file": both}, 200)
	contains(t, p.one(t, "h1").text(), "2 traces from a file")
	rows := p.all("tr[data-trace]")
	if len(rows) != 2 || rows[0].attr("data-trace") != traceZeros || rows[1].attr("data-trace") != traceFair {
		t.Fatalf("rows %v", rows)
	}
	contains(t, rows[1].text(), "streamlit-frontend POST /roll 4bf92f35", "5 418 ms")
	opened := p.press(t, l.handler, rows[1].button(t, "Open"))
	contains(t, opened.one(t, ".crumb").text(), "from a file", traceFair)
	contains(t, opened.text(), "From the file trace.json", "not stored: it is in this page alone")
	back := opened.press(t, l.handler, opened.button(t, "All 2 traces of the file"))
	if got := len(back.all("tr[data-trace]")); got != 2 {
		t.Errorf("back at a list of %d", got)
	}
}

// Nothing of a large file is out of reach either.
func TestLargeFile(t *testing.T) {
	var spans []string
	for i := range 1000 {
		spans = append(spans, `{"traceId":"`+traceFair+`","spanId":"`+hex16(2+i)+`","parentSpanId":"`+hex16(1)+`","name":"child"}`)
	}
	spans = append(spans, `{"traceId":"`+traceFair+`","spanId":"`+hex16(1)+`","name":"root"}`)
	h := alone(t).handler
	p := send(t, h, map[string]string{"file": `{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Join(spans, ",") + `]}]}]}`}, 200)
	seen := map[string]bool{}
	for more := true; more; {
		for _, r := range p.all("details.span") {
			seen[r.attr("data-span")] = true
		}
		rest := p.all(".wf-more")
		if more = len(rest) > 0; more {
			p = p.press(t, h, rest[0].one(t, "button"))
		}
	}
	if len(seen) != 1001 {
		t.Errorf("%d spans were shown", len(seen))
	}
	whole := p.press(t, h, p.button(t, "Show the whole trace"))
	contains(t, whole.text(), "701 more spans beside this one")
}

func hex16(n int) string {
	s := strconv.FormatInt(int64(n), 16)
	return strings.Repeat("0", 16-len(s)) + s
}

func TestManyTracesInAFile(t *testing.T) {
	var text strings.Builder
	for i := range 450 {
		text.WriteString(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"` + hex16(7) + hex16(i) + `","spanId":"` + hex16(1) + `","name":"x","startTimeUnixNano":"` + strconv.Itoa(i+1) + `"}]}]}]}` + "\n")
	}
	h := alone(t).handler
	p := send(t, h, map[string]string{"file": text.String()}, 200)
	seen := map[string]bool{}
	for _, next := range []string{"250 more", "50 more", ""} {
		for _, r := range p.all("tr[data-trace]") {
			seen[r.attr("data-trace")] = true
		}
		if next != "" {
			p = p.press(t, h, p.button(t, next))
		}
	}
	if len(seen) != 450 {
		t.Errorf("%d traces were listed", len(seen))
	}
}

func TestBadFile(t *testing.T) {
	h := alone(t).handler
	for _, tt := range []struct {
		name   string
		parts  map[string]string
		status int
		want   string
	}{
		{"no file", nil, 400, "no file was chosen"},
		{"not JSON", map[string]string{"file": "<html>"}, 400, "it is not JSON: line 1, column 1"},
		{"hostile", map[string]string{"file": `{"</p><script>alert(1)</script>":1}`}, 400, `it has ["</p><script>alert(1)</script>"] and no resourceSpans`},
		{"not a trace", map[string]string{"file": `{"resourceLogs":[]}`}, 400, "it has resourceLogs (log lines)"},
		{"bad span", map[string]string{"file": `{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET /x"}]}]}]}`}, 400, `span "GET /x" (resourceSpans[0].scopeSpans[0].spans[0]): traceId is ""`},
		{"too long", map[string]string{"file": strings.Repeat(" ", 16<<20+1)}, 413, "it is longer than 16 MiB: cut it, or store it with dicelab import"},
		{"far too long", map[string]string{"file": strings.Repeat(" ", 21<<20)}, 413, "it is longer than 16 MiB"},
		{"damaged", map[string]string{"packed": "AAAA"}, 400, "the file that this page carried is damaged"},
		{"unknown trace", map[string]string{"file": `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"` + traceFair + `","spanId":"` + hex16(1) + `"}]}]}]}`, "show": "trace=7"}, 400, `there is no trace "7" in it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := send(t, h, tt.parts, tt.status)
			contains(t, p.one(t, "h1").text(), "This file cannot be shown")
			contains(t, p.one(t, ".notice").text(), tt.want)
			if got := len(p.all("script")); got != 2 {
				t.Errorf("%d scripts", got)
			}
			p.one(t, "input[required]") // to choose another
		})
	}
	// A page that packs 16 MiB into little is not let off the bound.
	bomb := send(t, h, map[string]string{"file": `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"` + traceFair + `","spanId":"` + hex16(1) + `"}]}]}]}` + strings.Repeat(" ", 15<<20)}, 200)
	if packed := len(bomb.one(t, "form[hidden]").all("input")[1].attr("value")); packed > 64<<10 {
		t.Errorf("the page carries %d bytes", packed)
	}
}

func TestFileFormIsOnItsPages(t *testing.T) {
	h := start(t).handler
	for _, target := range []string{"/traces", "/traces/file"} {
		form := page(t, h, target, 200).one(t, "form[enctype]")
		contains(t, form.text(), "OTLP JSON of up to 16 MiB", "It is shown, not stored.")
		if form.attr("method") != "post" || form.attr("action") != "/traces/file" || form.attr("enctype") != "multipart/form-data" {
			t.Errorf("%s: the form goes to %s %s as %s", target, form.attr("method"), form.attr("action"), form.attr("enctype"))
		}
	}
}

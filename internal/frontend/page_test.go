package frontend_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/frontend"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry/telemetrytest"
	"dicelab/internal/web"
)

func TestPage(t *testing.T) {
	s := start(t, config{roller: "http://dice.example:8101"})
	page := parse(t, s.get(t, "/"))

	choice := page.must(t, "die")
	options := choice.all("option")
	if diff := cmp.Diff(contract.Dice(), texts(options)); diff != "" {
		t.Errorf("drop-down (-want +got):\n%s", diff)
	}
	for i, o := range options {
		value, _ := o.attr("value")
		if _, selected := o.attr("selected"); value != contract.Dice()[i] || selected != (i == 0) {
			t.Errorf("option %d has value %q, selected: %v", i, value, selected)
		}
	}
	labels := page.where("for", "die")
	if name, _ := choice.attr("name"); name != "die" || choice.Data != "select" || len(labels) != 1 || labels[0].text() != "Select die type" {
		t.Errorf("%s name=%q is labelled %q", choice.Data, name, texts(labels))
	}
	help, _ := choice.attr("aria-describedby")
	if got, want := page.must(t, help).text(), "fair: a standard die, 1 to 6. risky: 2 to 7, but it fails one time in ten."; got != want {
		t.Errorf("help text %q, want %q", got, want)
	}
	form := page.must(t, "roll")
	method, _ := form.attr("method")
	action, _ := form.attr("action")
	if buttons := form.all("button"); method != "post" || action != "/roll" || !cmp.Equal(texts(buttons), []string{"Roll"}) {
		t.Errorf("form is %s %s with buttons %q", method, action, texts(buttons))
	}
	if got, want := page.must(t, "result").text(), "Nothing rolled yet. Choose a die and press Roll."; got != want {
		t.Errorf("result %q, want %q", got, want)
	}
	if live, _ := page.must(t, "result").attr("aria-live"); live != "polite" {
		t.Errorf("result has aria-live %q: a screen reader would not say it", live)
	}
	if lang, _ := page.all("html")[0].attr("lang"); lang != "en" {
		t.Errorf("page has lang %q", lang)
	}

	facts := map[string]string{}
	terms, values := page.all("dt"), page.all("dd")
	for i := range terms {
		facts[terms[i].text()] = values[i].text()
	}
	wantFacts := map[string]string{"Backend": "http://dice.example:8101", "Metrics": "/metrics", "Tracing": "on OpenTelemetry"}
	if diff := cmp.Diff(wantFacts, facts); diff != "" {
		t.Errorf("sidebar (-want +got):\n%s", diff)
	}
	var explore []string
	for _, a := range page.all("aside")[0].all("a") {
		href, _ := a.attr("href")
		explore = append(explore, a.text()+" "+href)
	}
	wantLinks := []string{"/metrics /metrics", "Overview " + explorer + "/", "Traces " + explorer + "/traces", "Logs " + explorer + "/logs",
		"Metrics " + explorer + "/metrics", "Targets " + explorer + "/targets", "Checklist " + explorer + "/checklist", "Docs " + explorer + "/docs/"}
	if diff := cmp.Diff(wantLinks, explore); diff != "" {
		t.Errorf("links of the sidebar (-want +got):\n%s", diff)
	}
	if page.id(t, "faults") != nil {
		t.Error("fault switches are shown to people who did not ask for them")
	}
}

// The page after a roll: the traceparent is the one that the roller got, taken
// apart, and its parent is the front end's own CLIENT span.
func TestTraceInfo(t *testing.T) {
	seen := make(chan string, 1)
	s := start(t, config{roller: backend(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get(contract.HeaderTraceparent)
		reply(200, `{"roll":6}`)(w, r)
	})})
	a := s.roll(t, contract.DieRisky, asHTML)
	page, sent := parse(t, a), <-seen
	result := page.must(t, "result")
	if summary := texts(result.all("summary")); !cmp.Equal(summary, []string{"Trace info"}) {
		t.Errorf("expandable sections %q", summary)
	}
	if shown := texts(result.all("pre")); !cmp.Equal(shown, []string{sent}) {
		t.Errorf("traceparent %q is shown, %q was sent", shown, sent)
	}
	var parts [][]string
	for _, row := range result.all("tr") {
		parts = append(parts, append(texts(row.all("th")), texts(row.all("td"))...))
	}
	s.settle()
	s.sink.Wait(3)
	want := [][]string{
		{"version", "00", "of the header's format"},
		{"trace ID", a.traceID(), "the same in every service of this roll"},
		{"parent ID", s.sink.Named(contract.SpanClient).SpanID, "the front end's GET span, the parent of the roller's"},
		{"flags", "01", "sampled: record this trace"},
	}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	copies := result.where("data-copy", a.traceID())
	if len(copies) != 1 || copies[0].Data != "button" {
		t.Errorf("%d buttons copy the trace ID", len(copies))
	}
	for _, o := range page.must(t, "die").all("option") {
		if _, selected := o.attr("selected"); selected != (o.text() == contract.DieRisky) {
			t.Errorf("option %s selected: %v after a roll of the risky die", o.text(), selected)
		}
	}
	// what the script remembers of a roll
	card := result.all("section")[0]
	for key, want := range map[string]string{"data-die": "risky", "data-value": "6", "data-status": "", "data-trace-id": a.traceID(),
		"data-trace-url": linksTo(a.traceID()).Trace} {
		if got, ok := card.attr(key); !ok || got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestDieFaces(t *testing.T) {
	var value atomic.Int64
	s := start(t, config{roller: backend(t, func(w http.ResponseWriter, r *http.Request) {
		reply(200, fmt.Sprintf(`{"roll":%d}`, value.Load()))(w, r)
	})})
	for want := 1; want <= 7; want++ {
		value.Store(int64(want))
		places := map[string]bool{}
		for _, pip := range parse(t, s.roll(t, contract.DieRisky, asHTML)).must(t, "result").all("circle") {
			x, _ := pip.attr("cx")
			y, _ := pip.attr("cy")
			places[x+","+y] = true
		}
		if len(places) != want {
			t.Errorf("a roll of %d shows %d dots", want, len(places))
		}
	}
}

const unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

// A roll that is not recorded cannot be looked up: the page explains that and has no links.
func TestUnsampled(t *testing.T) {
	s := start(t, config{roller: backend(t, reply(200, `{"roll":6}`))})
	a := s.roll(t, contract.DieFair, asHTML, contract.HeaderTraceparent, unsampled)
	result := parse(t, a).must(t, "result")
	if got, want := result.must(t, "trace-id").text(), unsampled[3:35]; got != want || a.traceID() != want {
		t.Errorf("the page shows trace ID %q, traceresponse says %q, want %q", got, a.traceID(), want)
	}
	if got := result.text(); !strings.Contains(got, "Not recorded: this trace is not sampled, or tracing is off.") || !strings.Contains(got, "not sampled: do not record this trace") {
		t.Errorf("the page says %q", got)
	}
	if n := len(result.all("a")); n != 0 {
		t.Errorf("%d links to a trace that is not recorded", n)
	}
	got := decode[rolled](t, s.roll(t, contract.DieFair, asJSON, contract.HeaderTraceparent, unsampled).body)
	want := rolled{Die: contract.DieFair, Roll: 6, TraceID: unsampled[3:35], Traceparent: got.Traceparent}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(got.Traceparent, unsampled[:36]) || !strings.HasSuffix(got.Traceparent, "-00") {
		t.Errorf("traceparent %q; JSON (-want +got):\n%s", got.Traceparent, diff)
	}
}

// The flags are bits (W3C Trace Context Level 2, section 3.2.2.5): a caller with random IDs sets
// another one.
func TestSampledIsABit(t *testing.T) {
	s := start(t, config{roller: backend(t, reply(200, `{"roll":6}`))})
	a := s.roll(t, contract.DieFair, asHTML, contract.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")
	if got := parse(t, a).must(t, "result").text(); !strings.Contains(got, "sampled: record this trace") || strings.Contains(got, "not sampled") {
		t.Errorf("the page says %q", got)
	}
}

func TestTracingOff(t *testing.T) {
	for _, tt := range []struct {
		name, variable, value string
		traceID               bool // the SDK still makes IDs where only the exporter is off
	}{
		{name: "SDK disabled", variable: "OTEL_SDK_DISABLED", value: "true"},
		{name: "no exporter", variable: "OTEL_TRACES_EXPORTER", value: "none", traceID: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(tt.variable, tt.value)
			s := start(t, config{roller: backend(t, reply(200, `{"roll":6}`))})
			if got := parse(t, s.get(t, "/")).all("aside")[0].text(); !strings.Contains(got, "off nothing is recorded") {
				t.Errorf("the sidebar says %q", got)
			}
			result := parse(t, s.roll(t, contract.DieFair, asHTML)).must(t, "result")
			if got := result.text(); !strings.Contains(got, "You rolled 6") || strings.Contains(got, "Not recorded") != tt.traceID {
				t.Errorf("the page says %q", got)
			}
			if n := len(result.all("a")); n != 0 {
				t.Errorf("%d links to a trace that is not recorded", n)
			}
			got := decode[rolled](t, s.roll(t, contract.DieFair, asJSON).body)
			if got.Roll != 6 || (got.TraceID != "") != tt.traceID || got.Recorded || got.Links != nil {
				t.Errorf("JSON %+v", got)
			}
		})
	}
}

// Pages work offline: nothing is loaded from another host, and the only links to
// others are the configured ones.
func TestNothingFromOtherHosts(t *testing.T) {
	s := start(t, config{roller: backend(t, reply(200, `{"roll":6}`)), switches: true, faults: faults(t)})
	rolledPage := s.roll(t, contract.DieFair, asHTML)
	trace := linksTo(rolledPage.traceID())
	allowed := []string{explorer + "/", explorer + "/traces", explorer + "/logs", explorer + "/metrics", explorer + "/targets", explorer + "/checklist",
		explorer + "/docs/", trace.Trace, trace.Logs}
	for _, a := range []answer{s.get(t, "/"), rolledPage, s.roll(t, "loaded", asHTML)} {
		trace = linksTo(a.traceID())
		for _, n := range parse(t, a).all("") {
			for _, at := range n.Attr {
				switch at.Key {
				case "href", "src", "action", "srcset", "poster", "data", "formaction":
				default:
					if strings.HasPrefix(at.Key, "on") || at.Key == "style" {
						t.Errorf("<%s %s>: the Content-Security-Policy forbids it", n.Data, at.Key)
					}
					continue
				}
				u, err := url.Parse(at.Val)
				if err != nil || (u.Host != "" && !slices.Contains(append(allowed, trace.Trace, trace.Logs), at.Val)) || u.Host != "" && n.Data != "a" {
					t.Errorf("<%s %s=%q> leads to another host", n.Data, at.Key, at.Val)
				}
			}
		}
		for _, n := range append(parse(t, a).all("script"), parse(t, a).all("style")...) {
			if src, _ := n.attr("src"); src == "" {
				t.Errorf("inline <%s>: the Content-Security-Policy forbids it", n.Data)
			}
		}
		if got := a.header.Get("Content-Security-Policy"); got != web.PagePolicy {
			t.Errorf("Content-Security-Policy is %q", got)
		}
	}
	for path, contentType := range map[string]string{"/assets/theme.css": "text/css; charset=utf-8", "/assets/frontend.css": "text/css; charset=utf-8",
		"/assets/frontend.js": "text/javascript; charset=utf-8"} {
		a := s.get(t, path)
		if got := a.header.Get("Content-Type"); a.status != 200 || got != contentType {
			t.Errorf("GET %s answered %d %q", path, a.status, got)
		}
		for _, bad := range []string{"http://", "https://", "@import", "url("} {
			if strings.Contains(a.body, bad) {
				t.Errorf("%s has %q in it", path, bad)
			}
		}
	}
}

func TestAccept(t *testing.T) {
	s := start(t, config{roller: backend(t, reply(200, `{"roll":6}`))})
	for _, tt := range []struct {
		name   string
		accept []string
		json   bool
	}{
		{name: "none"},
		{name: "anything", accept: []string{"*/*"}},
		{name: "browser", accept: []string{asHTML}},
		{name: "JSON", accept: []string{"application/json"}, json: true},
		{name: "JSON in capitals", accept: []string{"Application/JSON"}, json: true},
		{name: "problem", accept: []string{web.ProblemType}, json: true},
		{name: "with parameter", accept: []string{"application/json; charset=utf-8"}, json: true},
		{name: "fetch libraries", accept: []string{"application/json, text/plain, */*"}, json: true},
		{name: "JSON first", accept: []string{"application/json,text/html"}, json: true},
		{name: "HTML first", accept: []string{"text/html,application/json"}},
		{name: "JSON weighs more", accept: []string{"text/html;q=0.5, application/json;q=0.9"}, json: true},
		{name: "HTML weighs more", accept: []string{"application/json;q=0.5, text/html"}},
		{name: "JSON refused", accept: []string{"application/json;q=0"}},
		{name: "two lines", accept: []string{"text/plain", "application/json"}, json: true},
		{name: "unreadable", accept: []string{";;,application/json;q=much,,/"}},
		{name: "other", accept: []string{"image/png"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var header []string
			for _, a := range tt.accept {
				header = append(header, "Accept", a)
			}
			want := "text/html; charset=utf-8"
			if tt.json {
				want = "application/json"
			}
			a := s.post(t, "/roll", url.Values{"die": {"fair"}}, header...)
			if got := a.header.Get("Content-Type"); a.status != 200 || got != want {
				t.Errorf("answered %d %q, want 200 %q", a.status, got, want)
			}
		})
	}
}

func TestGuardAndMethods(t *testing.T) {
	s := start(t, config{roller: backend(t, reply(200, `{"roll":6}`)), hosts: []string{"dice.example"}, switches: true, faults: faults(t)})
	elsewhere := []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}
	for _, tt := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		allow                    string
	}{
		{name: "own form", method: "POST", path: "/roll", body: "die=fair", header: []string{"Sec-Fetch-Site", "same-origin"}, status: 200},
		{name: "no browser", method: "POST", path: "/roll", body: "die=fair", status: 200},
		{name: "form of another site", method: "POST", path: "/roll", body: "die=fair", header: elsewhere, status: 403},
		{name: "old browser", method: "POST", path: "/roll", body: "die=fair", header: elsewhere[:2], status: 403},
		{name: "link of another site", method: "GET", path: "/", header: []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, status: 200},
		{name: "frame of another site", method: "GET", path: "/", header: []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, status: 403},
		{name: "switch on another site", method: "POST", path: "/faults/switch", body: "service=streamlit-frontend&enable=no-export", header: elsewhere, status: 403},
		{name: "allowed name", method: "GET", path: "/", header: []string{"Host", "dice.example:8102"}, status: 200},
		{name: "rebound name", method: "GET", path: "/", header: []string{"Host", "evil.example"}, status: 421},
		{name: "HEAD of the page", method: "HEAD", path: "/", status: 200},
		{name: "roll by GET", method: "GET", path: "/roll", status: 405, allow: "POST"},
		{name: "no such page", method: "GET", path: "/dice", status: 404},
		{name: "alive", method: "GET", path: "/healthz", status: 200},
		{name: "ready", method: "GET", path: "/readyz", status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.do(t, tt.method, tt.path, tt.body, append(tt.header, "Content-Type", formType)...)
			if got := a.header.Get("Allow"); a.status != tt.status || got != tt.allow {
				t.Errorf("answered %d, Allow %q: %s", a.status, got, a.body)
			}
			if a.status >= 400 && a.header.Get("Content-Type") != web.ProblemType {
				t.Errorf("a %d of type %q", a.status, a.header.Get("Content-Type"))
			}
		})
	}
}

func TestNewHandlerRefusesLinks(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	good := "http://localhost:8100/traces/{trace_id}"
	want := `want an address with {trace_id} in it, such as http://localhost:8100/traces/{trace_id}`
	for _, tt := range []struct{ name, trace, logs, explorer, err string }{
		{name: "good", trace: good, logs: good, explorer: "http://localhost:8100"},
		{name: "no explorer", trace: good, logs: good},
		{name: "trace link without placeholder", trace: "http://localhost:8100/", logs: good, err: `trace link "http://localhost:8100/": ` + want},
		{name: "logs link without placeholder", trace: good, logs: "http://localhost:8100/", err: `logs link "http://localhost:8100/": ` + want},
		{name: "empty", logs: good, err: `trace link "": ` + want},
		{name: "not absolute", trace: "/traces/{trace_id}", logs: good, err: `trace link "/traces/{trace_id}": ` + want},
		{name: "script", trace: "javascript:alert({trace_id})", logs: good, err: `trace link "javascript:alert({trace_id})": ` + want},
		{name: "no host", trace: "http:///{trace_id}", logs: good, err: `trace link "http:///{trace_id}": ` + want},
		{name: "not a URL", trace: good, logs: "http://a b/{trace_id}", err: `logs link "http://a b/{trace_id}": ` + want},
		{name: "bad explorer", trace: good, logs: good, explorer: "localhost:8100", err: `explorer URL "localhost:8100": want an address such as http://localhost:8100`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := roller.NewClient("http://localhost:8101", nil, patience)
			if err != nil {
				t.Fatal(err)
			}
			tel := newTelemetry(t, contract.ServiceFrontend, telemetrytest.NewLog(t), nil)
			_, err = frontend.NewHandler(frontend.Options{Telemetry: tel, Roller: client, TraceURL: tt.trace, LogsURL: tt.logs, ExplorerURL: tt.explorer})
			if got := fmt.Sprint(err); (tt.err == "" && err != nil) || (tt.err != "" && got != tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// Whatever a caller sends, the page stays the page: 200 or 422, one script, and
// nothing of the caller's becomes markup.
func FuzzForm(f *testing.F) {
	f.Add("fair", asHTML)
	f.Add("risky", asJSON)
	f.Add(`"><img src=x onerror=alert(1)>`, "text/html;q=0.1, application/json;q=x")
	f.Add("{{.}}", ",,;q=")
	f.Add("\xff\xfe", "*/*")
	s := start(f, config{roller: backend(f, reply(200, `{"roll":6}`))})
	f.Fuzz(func(t *testing.T, die, accept string) {
		for _, r := range accept {
			if r < ' ' || r > '~' {
				return // no HTTP client sends such a header
			}
		}
		a := s.roll(t, die, accept)
		want := http.StatusUnprocessableEntity
		if slices.Contains(contract.Dice(), die) {
			want = http.StatusOK
		}
		if len(die) > 10_000 {
			return // the form may be too large
		}
		if a.status != want {
			t.Fatalf("die %q, Accept %q: answered %d %s", die, accept, a.status, a.body)
		}
		if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			page := parse(t, a)
			if scripts, images := len(page.all("script")), len(page.all("img")); scripts != 1 || images != 0 {
				t.Errorf("die %q: %d scripts, %d images", die, scripts, images)
			}
		}
	})
}

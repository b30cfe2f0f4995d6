package explorer_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// postForm posts a form, without following where it leads.
func postForm(t *testing.T, h http.Handler, target string, values url.Values) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result()
}

// hidden returns the hidden fields of a form.
func hidden(f node) map[string][]string {
	out := map[string][]string{}
	for _, in := range f.all("input[name]") {
		if in.attr("type") == "hidden" {
			out[in.attr("name")] = append(out[in.attr("name")], in.attr("value"))
		}
	}
	return out
}

// Every page about a time has the same control, with the same default, in one zone.
func TestTimeBar(t *testing.T) {
	l := start(t)
	for _, path := range []string{"/", "/traces", "/logs", "/metrics", "/metrics/find", "/service?name=dice-roller"} {
		p := page(t, l.handler, path, 200)
		bar := p.one(t, "#time")
		contains(t, bar.text(), "5m 15m 1h 6h 24h", "last 15m 11:45:00 to 12:00:00 UTC", "From, UTC")
		q := url.Values{}
		u, err := url.Parse(bar.one(t, "#time-earlier").attr("href"))
		if err == nil {
			q = u.Query()
		}
		if q.Get("start") != now().Add(-30*time.Minute).Format(time.RFC3339) || q.Get("end") != now().Add(-15*time.Minute).Format(time.RFC3339) {
			t.Errorf("%s: earlier is %v", path, q)
		}
		if q.Get("name") != "" && q.Get("name") != "dice-roller" {
			t.Errorf("%s: earlier loses the service: %v", path, q)
		}
		fixed := page(t, l.handler, bar.one(t, "#time-fix").attr("href"), 200)
		contains(t, fixed.one(t, "#time").text(), "fixed 11:45:00 to 12:00:00 UTC", "To now")
		if len(fixed.all("[data-auto]")) > 0 {
			t.Errorf("%s: a fixed time offers to refresh", path)
		}
		// As browsers write the fields of the form, in the zone that it names.
		typed := path + "?"
		if strings.Contains(path, "?") {
			typed = path + "&"
		}
		contains(t, page(t, l.handler, typed+"start=2026-01-02T10:00:00&end=2026-01-02T10:30", 200).one(t, "#time").text(), "fixed 10:00:00 to 10:30:00 UTC")
	}
}

func TestMarks(t *testing.T) {
	l := start(t)
	back := hidden(form(t, page(t, l.handler, "/logs?service=dice-roller", 200), "Mark this moment"))["back"][0]
	resp := postForm(t, l.handler, "/mark", url.Values{"name": {"the deploy"}, "back": {back}})
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || to != "/logs?service=dice-roller&since=15m" {
		t.Fatalf("marking leads to %d %s", resp.StatusCode, to)
	}
	p := page(t, l.handler, "/traces", 200)
	since := p.one(t, "#marks").link(t, "Since the deploy")
	if q := params(t, since, "/traces"); q.Get("start") != now().Format(time.RFC3339) || q.Has("end") {
		t.Errorf("since the deploy is %v", q)
	}
	// The mark lies at the end of the chart, and an open range that has no length yet is refused in words.
	if m := p.one(t, ".chart-plot").all("line.moment"); len(m) != 1 || m[0].text() != "the deploy" {
		t.Errorf("%d moments in the chart", len(m))
	}
	open := page(t, l.handler, "/logs?start="+now().Add(-5*time.Minute).Format(time.RFC3339), 200)
	contains(t, open.one(t, "#time").text(), "since 11:55:00 11:55:00 to 12:00:00")
	if !strings.Contains(open.text(), "lines since 11:55:00") {
		t.Errorf("the list does not name its time: %s", open.text())
	}
	remove := p.one(t, "#marks").one(t, "button[value]").attr("value")
	postForm(t, l.handler, "/mark", url.Values{"remove": {remove}, "back": {"https://elsewhere.test/"}})
	contains(t, page(t, l.handler, "/", 200).one(t, "#marks").text(), "A mark is a moment with a name")
	for i := range 25 {
		postForm(t, l.handler, "/mark", url.Values{"name": {strings.Repeat("x", 100) + strconv.Itoa(i)}})
	}
	if got := len(page(t, l.handler, "/", 200).one(t, "#marks").all(".mark-row")); got != 20 {
		t.Errorf("%d marks are kept, want 20", got)
	}
	for _, bad := range []string{"https://elsewhere.test/", "//elsewhere.test", `/\elsewhere.test`} {
		if to := postForm(t, l.handler, "/mark", url.Values{"back": {bad}}).Header.Get("Location"); to != "/" {
			t.Errorf("%s leads to %s", bad, to)
		}
	}
}

func TestConditionsOnAttributes(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/traces?since=1h&attr=span.die.type&op=%3D&val=risky&attr=span.roll.value&op=%3E&val=6", 200)
	const want = `{span.die.type = "risky" && span.roll.value > 6}`
	if got := form(t, p, "Search traces by TraceQL").one(t, "input.mono").attr("value"); got != want {
		t.Errorf("the query is %s, want %s", got, want)
	}
	if n := len(p.all("tr[data-trace]")); n == 0 || n == 40 {
		t.Errorf("%d traces", n)
	}
	var offered []string
	for _, o := range p.one(t, "#values-0").all("option") {
		offered = append(offered, o.attr("value"))
	}
	if d := cmp.Diff([]string{"fair", "risky"}, offered); d != "" {
		t.Errorf("values of the first attribute:\n%s", d)
	}
	var attributes []string
	for _, o := range p.one(t, "#attributes").all("option") {
		attributes = append(attributes, o.attr("value"))
	}
	for _, a := range []string{"span.die.type", "resource.service.name", "name", "traceDuration"} {
		if !slices.Contains(attributes, a) {
			t.Errorf("%s is not offered: %v", a, attributes)
		}
	}
	without := p.one(t, "a.cond").attr("href")
	if q := params(t, without, "/traces"); !slices.Equal(q["attr"], []string{"span.roll.value"}) || q.Get("since") != "1h" {
		t.Errorf("without the first condition: %v", q)
	}
	contains(t, page(t, l.handler, "/traces?attr=span.die.type&op=%3D&val=", 200).one(t, "a.cond").text(), "span.die.type exists")
	contains(t, page(t, l.handler, "/traces?attr=x&op=like&val=1", 400).text(), `"like" is none of = != =~ !~ > >= < <=`)
	contains(t, page(t, l.handler, "/traces?attr=x&op=%3E&val=many", 400).text(), `> compares numbers, and "many" is none`)
	sorted := page(t, l.handler, "/traces?since=1h&sort=duration", 200).all("tr[data-trace]")
	if first := sorted[0].all("td")[4].text(); first != "967 ms" && !strings.HasSuffix(first, "s") {
		t.Errorf("the longest takes %s", first)
	}
	values := get(t, l.handler, "/traces/values?attr=span.die.type")
	if doc := parsedPart(t, values); !strings.Contains(doc, `<option value="risky">`) {
		t.Errorf("the values are %s", doc)
	}
}

func parsedPart(t *testing.T, resp *http.Response) string {
	t.Helper()
	var b strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFieldsOfLines(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/logs?since=1h&service=dice-roller", 200)
	fields := p.one(t, "#fields")
	contains(t, fields.text(), "Fields of these 80 lines", "die_type 2", "risky", "job count all lines dice-roller 80")
	var risky node
	for _, a := range fields.all("a.mono") {
		if a.text() == "risky" {
			risky = a
		}
	}
	only := params(t, risky.attr("href"), "/logs")
	if only.Get("f") != "die_type=risky" || only.Get("service") != "dice-roller" || only.Get("since") != "1h" {
		t.Fatalf("only risky is %v", only)
	}
	p = page(t, l.handler, risky.attr("href"), 200)
	if got := form(t, p, "Search log lines by LogQL").one(t, "input.mono").attr("value"); got != `{service_name="dice-roller"} | json die_type="[\"die_type\"]" | die_type="risky"` {
		t.Errorf("the query is %s", got)
	}
	for _, line := range p.all("details.log") {
		contains(t, line.text(), "risky")
	}
	contains(t, p.one(t, "a.cond").text(), "die_type = risky")
	if q := params(t, p.one(t, "a.cond").attr("href"), "/logs"); q.Has("f") || q.Get("service") != "dice-roller" {
		t.Errorf("without the condition: %v", q)
	}
	if kept := hidden(form(t, p, "Search log lines by filters")); !slices.Equal(kept["f"], []string{"die_type=risky"}) {
		t.Errorf("the form keeps %v", kept)
	}
	counted := page(t, l.handler, "/logs?since=1h&count=die_type", 200).one(t, "#fields")
	contains(t, counted.text(), "die_type in all lines in the last 1h", "fair 92", "risky 68")
	levels := page(t, l.handler, "/logs?since=1h&level=error", 200)
	for _, line := range levels.all("details.log") {
		contains(t, line.one(t, ".log-level").text(), "ERROR")
	}
	contains(t, page(t, l.handler, "/logs?f=x", 400).text(), `write it as key=value`)
}

// Lines are pushed to the page as they are stored.
func TestLiveTail(t *testing.T) {
	l := start(t)
	href := page(t, l.handler, "/logs?service=dice-roller", 200).one(t, "button[data-tail]").attr("data-tail")
	s := httptest.NewServer(l.handler)
	t.Cleanup(s.Close)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	// It begins before the newest line of the page; the last roll has two of this service.
	href = strings.Replace(href, "after=", "after="+strconv.FormatInt(now().Add(-time.Minute).UnixNano(), 10)+"&x=", 1)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+href, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("the tail answers %s, %s", resp.Status, got)
	}
	var id, text string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		if found, ok := strings.CutPrefix(line, "id: "); ok {
			id = found
		}
		if found, ok := strings.CutPrefix(line, "data: "); ok {
			text += found + "\n"
		}
		if line == "" && text != "" {
			break
		}
	}
	if n := strings.Count(text, "<details class=\"log"); n != 2 || !strings.HasPrefix(text, "0\n") || strings.Contains(text, "streamlit") {
		t.Errorf("%d lines: %s", n, text)
	}
	if ns, err := strconv.ParseInt(id, 10, 64); err != nil || ns <= now().Add(-time.Minute).UnixNano() {
		t.Errorf("the event has the ID %s", id)
	}
	bad := get(t, l.handler, "/logs/tail?q="+url.QueryEscape(`rate({a="b"}[1m])`))
	if doc := parsedPart(t, bad); bad.StatusCode != http.StatusBadGateway || !strings.Contains(doc, "no metric query") {
		t.Errorf("a metric query answers %d %s", bad.StatusCode, doc)
	}
	fixed := page(t, l.handler, "/logs?start="+now().Add(-time.Hour).Format(time.RFC3339)+"&end="+now().Format(time.RFC3339), 200)
	if len(fixed.all("button[data-tail]")) > 0 {
		t.Error("a fixed time offers a live tail")
	}
}

func TestTailsAreBounded(t *testing.T) {
	l := start(t)
	s := httptest.NewServer(l.handler)
	t.Cleanup(s.Close)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var statuses []int
	for range 6 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/logs/tail", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
	if d := cmp.Diff([]int{200, 200, 200, 200, 200, 503}, statuses); d != "" {
		t.Error(d)
	}
}

func TestFindMetric(t *testing.T) {
	l := start(t)
	names := func(find string) (out []string) {
		for _, a := range page(t, l.handler, "/metrics/find?find="+url.QueryEscape(find), 200).all("table.found a.mono") {
			out = append(out, a.text())
		}
		for _, row := range page(t, l.handler, "/metrics/find?find="+url.QueryEscape(find), 200).all("table.found") {
			out = nil
			for _, a := range row.all("a.mono") {
				out = append(out, a.text())
			}
		}
		return out
	}
	if d := cmp.Diff([]string{contract.MetricDiceRollValue, contract.MetricDiceRolls}, names("dice_roll")); d != "" {
		t.Errorf("by name:\n%s", d)
	}
	if got := names("job=dice-roller duration"); !slices.Contains(got, contract.MetricHTTPDuration) || slices.Contains(got, contract.MetricBackendDuration) {
		t.Errorf("by label and name: %v", got)
	}
	if got := names("result"); !slices.Contains(got, contract.MetricDiceRolls) || slices.Contains(got, contract.MetricHTTPDuration) {
		t.Errorf("by a label's name: %v", got)
	}
	contains(t, page(t, l.handler, "/metrics/find?find=nowhere", 200).text(), "No metric has all of these words in the last 15m.")

	query := func(target string) string {
		return form(t, page(t, l.handler, target, 200), "Edit the PromQL").one(t, "input.mono").attr("value")
	}
	for target, want := range map[string]string{
		"/metrics/find?metric=dice_rolls_total&by=result":                                    `sum by (result) (rate(dice_rolls_total[60s]))`,
		"/metrics/find?metric=dice_rolls_total&fn=value&label=result&val=error":              `dice_rolls_total{result="error"}`,
		"/metrics/find?metric=http_request_duration_seconds&by=job":                          `histogram_quantile(0.95, sum by (le, job) (rate(http_request_duration_seconds_bucket[60s])))`,
		"/metrics/find?metric=http_request_duration_seconds&fn=mean":                         `sum (rate(http_request_duration_seconds_sum[60s])) / sum (rate(http_request_duration_seconds_count[60s]))`,
		"/metrics/find?metric=http_request_duration_seconds&fn=p99&since=6h&by=job&by=other": `histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[1200s])))`,
	} {
		if got := query(target); got != want {
			t.Errorf("%s asks %s, want %s", target, got, want)
		}
	}
	p := page(t, l.handler, "/metrics/find?metric=http_request_duration_seconds&by=job&since=1h", 200)
	if n := len(p.all("path.line")); n != 2 {
		t.Errorf("%d lines, want one for each job", n)
	}
	if n := len(p.all(".c-exemplar")); n == 0 {
		t.Error("there are no exemplars")
	}
}

func TestSignalsAgree(t *testing.T) {
	l := start(t)
	agree := page(t, l.handler, "/", 200).one(t, "section[data-live]")
	if got := agree.attr("data-live"); got != "agree" {
		t.Fatalf("the first part is %s", got)
	}
	contains(t, agree.text(), "Do the signals agree?", "What each signal counts in the last 5m Service Spans Log lines with a trace ID")
	if got := agree.text(); strings.Contains(got, "Not compared") {
		t.Errorf("something was not compared: %s", got)
	}
	// Lines without IDs, of a service that sends spans, and lines whose time has not come.
	line := func(service string, at time.Time) map[string]any {
		return map[string]any{"stream": map[string]string{"service_name": service}, "values": [][]string{{strconv.FormatInt(at.UnixNano(), 10), "tick"}}}
	}
	l.push(t, map[string]any{"streams": []any{line("late", now().Add(90*time.Second))}})
	p := page(t, l.handler, "/", 200)
	contains(t, p.text(), "late writes log lines with times that have not come yet: the newest is 1 min 30 s ahead of this machine's clock. These lines")
	contains(t, page(t, l.handler, "/logs?service=late", 200).text(), "1 line is ahead of this machine's clock, by up to 1 min 30 s: late.")
	contains(t, page(t, l.handler, p.link(t, "These lines"), 200).text(), "tick")
}

func TestNoNotes(t *testing.T) {
	l := start(t)
	client := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err1 := query.NewPrometheus(query.Config{URL: l.prometheus.URL})
	lo, err2 := query.NewLoki(query.Config{URL: l.loki.URL})
	tm, err3 := query.NewTempo(query.Config{URL: l.tempo.URL})
	client(err1)
	client(err2)
	client(err3)
	h, err := explorer.NewHandler(explorer.Options{Prometheus: p, Loki: lo, Tempo: tm, Now: now, Dashboard: grafana.Stage2(), Checklist: newFakeChecks(), NoNotes: true})
	client(err)
	if got := page(t, h, "/", 200).text(); strings.Contains(got, "Do the signals agree?") {
		t.Error("notes are shown though they are off")
	}
	if asked := fmt.Sprint(l.prometheus.asked("/query", "query")); strings.Contains(asked, "_total\"") {
		t.Errorf("the counters were compared: %s", asked)
	}
}

// Each page leads to the documents and to what the keys do, and names what it shows first.
func TestFrame(t *testing.T) {
	l := start(t)
	for target, title := range map[string]string{
		"/": "Overview · dicelab", "/logs?service=dice-roller&level=ERROR": "dice-roller error · Logs · dicelab",
		"/traces?service=dice-roller&status=error": "dice-roller failed · Traces · dicelab", "/service?name=cart": "cart · service · dicelab",
		"/metrics/find?metric=up": "up · Metrics · dicelab",
	} {
		p := page(t, l.handler, target, 200)
		if got := p.one(t, "title").text(); got != title {
			t.Errorf("%s is titled %q, want %q", target, got, title)
		}
		if got := p.one(t, "footer").link(t, "Docs"); got != "/docs/" {
			t.Errorf("the documents are at %s", got)
		}
		about := p.one(t, "footer").link(t, "About this page")
		page(t, l.handler, about, 200)
		contains(t, p.one(t, "dialog#keys").text(), "auto refresh on and off")
		if icon := p.one(t, "link[rel]").attr("href"); !strings.HasPrefix(icon, "data:image/svg+xml,%3Csvg") {
			t.Errorf("the icon is %s", icon)
		}
	}
	docs := page(t, l.handler, "/docs/", 200)
	for _, a := range docs.one(t, "article.doc").all("a") {
		page(t, l.handler, a.attr("href"), 200)
	}
	if n := len(docs.one(t, "article.doc").all("a")); n < 10 {
		t.Errorf("%d documents", n)
	}
}

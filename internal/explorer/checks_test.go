package explorer_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/checklist"
	"dicelab/internal/web"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// fakeChecks is a checklist whose results the test gives.
type fakeChecks struct {
	rows    []checklist.Row
	servers []checklist.Server
	groups  chan string // that runs were started for
	results chan checklist.Result
	end     chan checklist.Report
	failure chan error    // why the next run cannot begin
	stopped chan struct{} // receives when a run's context has ended
}

func newFakeChecks() *fakeChecks {
	row := func(group, name, box string) checklist.Row {
		return checklist.Row{Group: group, Name: name, Box: box, Does: "does " + name, Expects: "expects " + name, Help: "clocks"}
	}
	return &fakeChecks{
		rows: []checklist.Row{row("Service Health", "starts", "Both start: `ps`"), row("Service Health", "answers", ""),
			row("Log Collection", "has-logs", "Logs in Loki")},
		servers: []checklist.Server{{Name: "front end", URL: "http://front.test:8102", Flag: "--frontend-url", Given: true},
			{Name: "dice roller", URL: "http://localhost:8101", Flag: "--roller-url"},
			{Name: "Tempo", URL: "http://localhost:3200", Flag: "--tempo-url"}, {Name: "Grafana", Flag: "--grafana-url", Optional: true}},
		groups: make(chan string, 9), results: make(chan checklist.Result), end: make(chan checklist.Report),
		failure: make(chan error, 1), stopped: make(chan struct{}, 9),
	}
}

func (f *fakeChecks) Rows() []checklist.Row       { return f.rows }
func (f *fakeChecks) Servers() []checklist.Server { return f.servers }

func (f *fakeChecks) Run(ctx context.Context, group string, began func(checklist.Start), each func(checklist.Result)) (
	checklist.Report, error) {
	f.groups <- group
	start := checklist.Start{Mode: "own", ModeWhy: "as a fake runs it"}
	for _, r := range f.rows {
		if group == "" || r.Group == group {
			start.Rows = append(start.Rows, r)
		}
	}
	select {
	case err := <-f.failure:
		return checklist.Report{}, err
	default:
		began(start)
	}
	for {
		select {
		case r := <-f.results:
			each(r)
		case report := <-f.end:
			return report, nil
		case <-ctx.Done():
			f.stopped <- struct{}{}
			return checklist.Report{}, ctx.Err()
		}
	}
}

const trace, other = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7a3ce929d0e0e4736"

// three returns a result of each kind.
func (f *fakeChecks) three() []checklist.Result {
	asked := []checklist.Exchange{
		{Request: "GET http://tempo/x", Command: "curl -s 'http://tempo/x'", Status: 404, Answer: "no <b>trace</b>"},
		{Request: "GET http://tempo/y", Command: "curl -s 'http://tempo/y'", Answer: strings.Repeat("é", 1001)}}
	return []checklist.Result{
		{Row: f.rows[0], Outcome: checklist.Pass, Evidence: "the child of " + trace + ", not of 00-" + other + "-00f067aa0ba902b7-01",
			Took: checklist.Seconds(12345 * time.Microsecond)},
		{Row: f.rows[1], Outcome: checklist.Fail, Why: "it says <script>alert(1)</script>", Page: "/traces/" + trace,
			Reproduce: `curl -s "http://tempo/x" & echo '<b>'`, Exchanges: asked},
		{Row: f.rows[2], Outcome: checklist.Fail, Why: "Tempo does not answer", BlockedBy: "answers"},
	}
}

func (f *fakeChecks) report() checklist.Report {
	report := checklist.Report{Rolls: 30, Faults: []string{"dice-roller:slow=2s"}, Took: checklist.Seconds(5234 * time.Millisecond)}
	for _, r := range f.three() {
		report.Add(r)
	}
	return report
}

// served returns an explorer behind a real server.
func served(t *testing.T) (lab, *httptest.Server) {
	t.Helper()
	l := alone(t)
	server := httptest.NewServer(web.GuardForms(l.handler))
	t.Cleanup(server.Close)
	server.Client().Timeout = patience // a page that does not come is a failure, not a wait
	return l, server
}

// post presses the button, and follows to the page of the run.
func post(t *testing.T, server *httptest.Server, group string) *http.Response {
	t.Helper()
	resp, err := server.Client().PostForm(server.URL+"/checklist", url.Values{"group": {group}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// pageWith loads the page until it has a text.
func pageWith(t *testing.T, l lab, text string) (p node) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if p = page(t, l.handler, "/checklist", 200); strings.Contains(p.text(), text) {
			return p
		}
	}
	t.Fatalf("the page does not come to say %q: %s", text, p.text())
	return p
}

// wait receives what must come.
func wait[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited %v in vain for %s", patience, what)
	}
	return v
}

func TestChecklistBeforeARun(t *testing.T) {
	p := page(t, alone(t).handler, "/checklist", 200)
	form := p.one(t, "form")
	if form.attr("method") != "post" || form.attr("action") != "/checklist" || form.one(t, "button").text() != "Run the checklist" {
		t.Errorf("the form is %v with %q", form.Attr, form.text())
	}
	contains(t, p.text(), "the 3 checks of dicelab verify", "up to 100 rolls")
	var groups []string
	for _, o := range form.all("option") {
		groups = append(groups, o.attr("value")+"="+o.text())
	}
	want := []string{"=all 3 checks", "Service Health=Service Health", "Log Collection=Log Collection"}
	if d := cmp.Diff(want, groups); d != "" {
		t.Errorf("choices (-want +got):\n%s", d)
	}
	var plan []string
	for _, g := range p.one(t, ".plan").all("details") {
		plan = append(plan, g.one(t, "summary").text())
		for _, row := range g.all("li") {
			plan = append(plan, row.text())
		}
	}
	want = []string{"Service Health 2 checks",
		"starts Does does starts Expects expects starts By hand Both start: ps", "answers Does does answers Expects expects answers",
		"Log Collection 1 check", "has-logs Does does has-logs Expects expects has-logs By hand Logs in Loki"}
	if d := cmp.Diff(want, plan); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
	contains(t, p.one(t, ".notice").text(), "To have it look elsewhere, start it with --roller-url URL --tempo-url URL")
	contains(t, p.one(t, ".places").text(), "front end http://front.test:8102 dice roller http://localhost:8101 by default; --roller-url changes it",
		"Grafana none by default; --grafana-url changes it")
	if len(p.all("noscript")) > 0 || len(p.all("#verdict")) > 0 {
		t.Error("the page shows a run, though there was none")
	}
	contains(t, page(t, alone(t).handler, "/checklist/report.json", 404).text(), "No run has come to its end")
}

// A run goes on while nothing loads its page, and each load shows how far it has come.
func TestChecklistRun(t *testing.T) {
	l, server := served(t)
	resp := post(t, server, "")
	if resp.StatusCode != 200 || resp.Request.Method != "GET" || resp.Request.URL.Path != "/checklist" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s answers %d, %v", resp.Request.Method, resp.Request.URL, resp.StatusCode, resp.Header)
	}
	if group := wait(t, "the run", l.checks.groups); group != "" {
		t.Errorf("the run is of %q", group)
	}
	p := pageWith(t, l, "The servers: own (as a fake runs it).")
	contains(t, p.one(t, "#verdict").text(), "Running: starts ✓ 0 passed ✗ 0 failed – 0 not applicable Started 12:00:00")
	if refresh := p.one(t, "noscript"); !strings.Contains(refresh.text(), `content="2;url=/checklist"`) {
		t.Errorf("without scripts the page is not loaded again: %s", refresh.text())
	}
	for i, r := range l.checks.three() {
		l.checks.results <- r
		p = pageWith(t, l, []string{"Running: answers", "Running: has-logs", "✗ 2 failed"}[i])
		if n := len(p.all("details.check")); n != i+1 || p.one(t, "#verdict").attr("data-again") != "/checklist?part=run" {
			t.Errorf("%d results are shown after %d; to be loaded again: %q", n, i+1, p.one(t, "#verdict").attr("data-again"))
		}
	}
	l.checks.end <- l.checks.report()
	p = pageWith(t, l, "30 rolls, 5.2 s .")
	if len(p.all("noscript")) > 0 || p.one(t, "#verdict").has("data-again") {
		t.Error("the page is loaded again, though the run has ended")
	}
	checkThree(t, l, p)
	part := get(t, l.handler, "/checklist?part=run")
	text, err := io.ReadAll(part.Body)
	if err != nil || strings.Contains(string(text), "<html") || !strings.Contains(string(text), `id="check-has-logs"`) {
		t.Errorf("the part about the run is not alone, or lacks results (%v): %s", err, text)
	}
}

// checkThree checks the results of three as a page shows them.
func checkThree(t *testing.T, l lab, p node) {
	var shown []string
	for _, n := range p.one(t, "#checks-run").all("h2, summary") {
		if text := n.text(); !strings.HasPrefix(text, "2 requests") {
			shown = append(shown, text+map[bool]string{true: " [open]"}[node{n.Parent}.has("open")])
		}
	}
	want := []string{"✗ 1 failed, 1 because of it", "Failed 1", "✗ answers failed: it says <script>alert(1)</script> 0 s [open]",
		"Failed because of it 1", "✗ has-logs failed: Tempo does not answer see answers 0 s",
		"By group", "Service Health ✓ 1 ✗ 1, above",
		"✓ starts passed: the child of " + trace + " , not of 00- " + other + " -00f067aa0ba902b7-01 12 ms", "Log Collection ✗ 1, above"}
	if d := cmp.Diff(want, shown); d != "" {
		t.Errorf("results (-want +got):\n%s", d)
	}
	passed, failed, blocked := p.one(t, "#check-starts"), p.one(t, "#check-answers"), p.one(t, "#check-has-logs")
	if got := passed.link(t, trace) + " " + passed.link(t, other); got != "/traces/"+trace+" /traces/"+other {
		t.Errorf("the trace IDs lead to %s", got)
	}
	if got := blocked.link(t, "answers"); got != "#check-answers" {
		t.Errorf("what explains it is at %s", got)
	}
	if see, help := failed.link(t, "See it"), failed.link(t, "What to do"); see != "/traces/"+trace || help != "/docs/troubleshooting.md#clocks" {
		t.Errorf("the failure is shown at %s, explained at %s", see, help)
	}
	detail := failed.one(t, ".check-detail")
	contains(t, detail.text(), "Does does answers Expects expects answers In a shell Copy "+`curl -s "http://tempo/x" & echo '<b>'`,
		"2 requests and answers", "curl -s 'http://tempo/x' 404 no <b>trace</b>", "no answer "+strings.Repeat("é", 1000)+" The answer is longer.")
	if got := detail.one(t, "[data-copy]").attr("data-copy"); got != `curl -s "http://tempo/x" & echo '<b>'` {
		t.Errorf("what is copied is %s", got)
	}
	contains(t, p.one(t, "#verdict").text(), "This fault is on: dice-roller:slow=2s . What it does")
	contains(t, p.one(t, ".faults-on").text(), "Faults on: dice-roller:slow=2s · streamlit-frontend:no-export What each does")
	resp := get(t, l.handler, p.one(t, "#verdict").link(t, "Download JSON"))
	var report struct {
		Passed, Failed, Rolls int
		Results               []struct{ Name, Page, Help string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil || resp.Header.Get("Content-Type") != "application/json" ||
		resp.Header.Get("Content-Disposition") != `attachment; filename="checklist-`+now().Format("20060102")+`T120000Z.json"` {
		t.Errorf("the download is %v (%v)", resp.Header, err)
	}
	if report.Passed != 1 || report.Failed != 2 || report.Rolls != 30 || report.Results[1].Page != "/traces/"+trace || report.Results[1].Help != "clocks" {
		t.Errorf("the report is %+v", report)
	}
}

// The sections that failures link to are on the page of the document.
func TestTroubleshootingPage(t *testing.T) {
	p := page(t, alone(t).handler, "/docs/troubleshooting.md", 200)
	if got := p.one(t, "#clocks").text(); got != "Clocks" {
		t.Errorf("the section is headed %q", got)
	}
	for _, a := range p.one(t, ".doc").all("a") {
		if strings.HasPrefix(a.attr("href"), "..") {
			t.Errorf("a link leads to %s, which is not served", a.attr("href"))
		}
	}
	contains(t, page(t, alone(t).handler, "/docs/nothing.md", 404).text(), "There is no document nothing.md")
}

func TestChecklistOfOneGroup(t *testing.T) {
	l, server := served(t)
	post(t, server, "Log Collection")
	if group := wait(t, "the run", l.checks.groups); group != "Log Collection" {
		t.Errorf("the run is of %q", group)
	}
	r := l.checks.three()[0]
	r.Row = l.checks.rows[2]
	l.checks.results <- r
	report := checklist.Report{Rolls: 10, Took: checklist.Seconds(time.Second)}
	report.Add(r)
	l.checks.end <- report
	p := pageWith(t, l, "All passed")
	contains(t, p.one(t, "#verdict").text(), "1 passed", "Log Collection alone. Started 12:00:00 , 10 rolls, 1 s .")
	contains(t, p.one(t, "form").text(), "Run again")
	if chosen := p.one(t, "option[selected]").text(); chosen != "Log Collection" {
		t.Errorf("running again means %s", chosen)
	}
	contains(t, p.one(t, "#group-service-health").text(), "Service Health 2 checks", "expects starts")
}

// There is one run at a time: to start another shows the one that is under way.
func TestOneRunAtATime(t *testing.T) {
	l, server := served(t)
	post(t, server, "Service Health")
	another := post(t, server, "Log Collection")
	contains(t, parsed(t, "/checklist", another, 200).one(t, "#verdict").text(), "Service Health alone.")
	l.checks.results <- l.checks.three()[0]
	l.checks.results <- l.checks.three()[1]
	l.checks.end <- l.checks.report()
	pageWith(t, l, "30 rolls")
	if n := len(l.checks.groups); n != 1 {
		t.Errorf("%d runs were started", n)
	}
	post(t, server, "Log Collection")
	wait(t, "the first run", l.checks.groups)
	if group := wait(t, "the next run", l.checks.groups); group != "Log Collection" {
		t.Errorf("the next run is of %q", group)
	}
	server.Close()
	l.checks.end <- l.checks.report()
}

// A server that shuts down stops the run.
func TestChecklistStopsWithTheServer(t *testing.T) {
	l := alone(t)
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewServer(listener, l.handler)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.PostForm(server.URL()+"/checklist", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(resp.Body.Close(), server.Shutdown(context.WithoutCancel(t.Context())), <-ended)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the end of the run", l.checks.stopped)
	contains(t, pageWith(t, l, "did not come to its end").text(), "context canceled")
}

func TestChecklistThatCannotBegin(t *testing.T) {
	l, server := served(t)
	post(t, server, "")
	for _, r := range l.checks.three() {
		l.checks.results <- r
	}
	l.checks.end <- l.checks.report()
	pageWith(t, l, "30 rolls") // a report that stays
	l.checks.failure <- &checklist.UnreachableError{URL: "http://x", Err: errors.New("refused"), Hint: "start the lab with: dicelab up"}
	post(t, server, "")
	p := pageWith(t, l, "Nothing could be checked")
	contains(t, p.one(t, ".notice[role]").text(), "the front end at http://x does not answer: refused What to do: start the lab with: dicelab up.")
	contains(t, p.one(t, "#verdict").text(), "1 passed")
}

func TestChecklistRefuses(t *testing.T) {
	l, server := served(t)
	contains(t, parsed(t, "/checklist", post(t, server, `"><b>`), 400).text(), `The checklist has no group "\"><b>".`)
	contains(t, parsed(t, "/checklist", post(t, server, strings.Repeat("x", 1<<17)), 413).text(), "The form is larger than 65536 bytes")
	req, err := http.NewRequest(http.MethodPost, server.URL+"/checklist", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://elsewhere.test")
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a post from another site: %d, %v", resp.StatusCode, err)
	}
	if n := len(l.checks.groups); n != 0 {
		t.Errorf("%d runs were started", n)
	}
}

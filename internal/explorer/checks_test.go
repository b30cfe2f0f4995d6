package explorer_test

import (
	"bufio"
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

	"dicelab/internal/explorer/checklist"
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
	stopped chan struct{} // told when a run's context has ended
}

func newFakeChecks() *fakeChecks {
	row := func(group, name, box string) checklist.Row {
		return checklist.Row{Group: group, Name: name, Box: box, Does: "does " + name, Expects: "expects " + name}
	}
	return &fakeChecks{
		rows: []checklist.Row{row("Service Health", "starts", "Both start: `ps`"), row("Service Health", "answers", ""), row("Log Collection", "has-logs", "Logs in Loki")},
		servers: []checklist.Server{{Name: "front end", URL: "http://front.test:8102", Flag: "--frontend-url", Told: true},
			{Name: "dice roller", URL: "http://localhost:8101", Flag: "--roller-url"}, {Name: "Tempo", URL: "http://localhost:3200", Flag: "--tempo-url"}, {Name: "Grafana", Flag: "--grafana-url", Optional: true}},
		groups: make(chan string, 9), results: make(chan checklist.Result), end: make(chan checklist.Report), failure: make(chan error, 1), stopped: make(chan struct{}, 9),
	}
}

func (f *fakeChecks) Rows() []checklist.Row       { return f.rows }
func (f *fakeChecks) Servers() []checklist.Server { return f.servers }

func (f *fakeChecks) Run(ctx context.Context, group string, began func(checklist.Start), each func(checklist.Result)) (checklist.Report, error) {
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

// three are a result of each outcome.
func (f *fakeChecks) three() []checklist.Result {
	asked := []checklist.Exchange{{Request: "GET http://tempo/x", Command: "curl -s 'http://tempo/x'", Status: 404, Answer: "no <b>trace</b>"},
		{Request: "GET http://tempo/y", Command: "curl -s 'http://tempo/y'", Answer: strings.Repeat("é", 1000), Cut: false}}
	return []checklist.Result{
		{Row: f.rows[0], Outcome: checklist.Pass, Evidence: "the child of " + trace + ", not of 00-" + other + "-00f067aa0ba902b7-01", Took: 12345 * time.Microsecond},
		{Row: f.rows[1], Outcome: checklist.Fail, Why: "it says <script>alert(1)</script>", Reproduce: `curl -s "http://tempo/x" & echo '<b>'`, Exchanges: asked},
		{Row: f.rows[2], Outcome: checklist.Fail, Why: "Tempo does not answer", BlockedBy: "answers"},
	}
}

func (f *fakeChecks) report() checklist.Report {
	return checklist.Report{Passed: 1, Failed: 2, Rolls: 30, Took: 5234 * time.Millisecond, JSON: []byte(`{"passed":1}` + "\n")}
}

// served is an explorer behind a real server.
func served(t *testing.T) (lab, *httptest.Server) {
	t.Helper()
	l := start(t)
	server := httptest.NewServer(web.GuardForms(l.handler))
	t.Cleanup(server.Close)
	server.Client().Timeout = patience // a page that does not come is a failure, not a wait
	return l, server
}

// servedLate is served, but the time that the server gives a page to be written
// is over when the page begins, as it may be in the middle of a run.
func servedLate(t *testing.T) (lab, *httptest.Server) {
	t.Helper()
	l := start(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)); err != nil {
				t.Error(err)
			}
		}
		l.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	server.Client().Timeout = patience // a page that does not come is a failure, not a wait
	return l, server
}

// post presses the button, and follows to the page of the run.
func post(t *testing.T, ctx context.Context, server *httptest.Server, group string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/checklist", strings.NewReader(url.Values{"group": {group}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// readTo reads a page that is still being written, up to a text.
func readTo(t *testing.T, r *bufio.Reader, text string) (read string) {
	t.Helper()
	for !strings.Contains(read, text) {
		line, err := r.ReadString('\n')
		read += line
		if err != nil {
			t.Fatalf("%v before %q in: %s", err, text, read)
		}
	}
	return read
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
	p := page(t, start(t).handler, "/checklist", 200)
	form := p.one(t, "form")
	if form.attr("method") != "post" || form.attr("action") != "/checklist" || form.one(t, "button").text() != "Run the checklist" {
		t.Errorf("the form is %v with %q", form.Attr, form.text())
	}
	contains(t, form.text(), "up to about 100")
	var groups []string
	for _, o := range form.all("option") {
		groups = append(groups, o.attr("value")+"="+o.text())
	}
	if d := cmp.Diff([]string{"=all 3 checks", "Service Health=Service Health", "Log Collection=Log Collection"}, groups); d != "" {
		t.Errorf("choices (-want +got):\n%s", d)
	}
	var plan []string
	for _, g := range p.one(t, ".plan").all("details") {
		plan = append(plan, g.one(t, "summary").text())
		for _, row := range g.all("li") {
			plan = append(plan, row.text())
		}
	}
	want := []string{"Service Health 2 checks, 1 box",
		"starts Box Both start: `ps` Does does starts Expects expects starts", "answers Does does answers Expects expects answers",
		"Log Collection 1 check, 1 box", "has-logs Box Logs in Loki Does does has-logs Expects expects has-logs"}
	if d := cmp.Diff(want, plan); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
	contains(t, p.one(t, ".notice").text(), "Start it with --roller-url URL --tempo-url URL to have it look elsewhere")
	contains(t, p.one(t, ".places").text(), "front end http://front.test:8102 dice roller http://localhost:8101 as --roller-url was not given Tempo http://localhost:3200 as --tempo-url was not given Grafana none as --grafana-url was not given")
	contains(t, page(t, start(t).handler, "/checklist/report.json", 404).text(), "No run has come to its end")
}

// The page of a run is written while it goes on: each result is there before the
// next is known.
func TestChecklistStreams(t *testing.T) {
	l, server := servedLate(t)
	resp := post(t, t.Context(), server, "")
	if resp.StatusCode != 200 || resp.Request.Method != "GET" || resp.Request.URL.Path != "/checklist" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s answers %d, %v", resp.Request.Method, resp.Request.URL, resp.StatusCode, resp.Header)
	}
	if group := wait(t, "the run", l.checks.groups); group != "" {
		t.Errorf("the run is of %q", group)
	}
	var all strings.Builder
	body := bufio.NewReader(io.TeeReader(resp.Body, &all))
	contains(t, readTo(t, body, "waiting for rolls"), "Mode: own (as a fake runs it).", "<b>0 of 3</b>")
	for i, r := range l.checks.three() {
		l.checks.results <- r
		contains(t, readTo(t, body, "<b>"+[]string{"1", "2", "3"}[i]+" of 3</b>"), `id="check-`+r.Name+`"`)
	}
	l.checks.end <- l.checks.report()
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(strings.NewReader(all.String()))
	live := parsed(t, "/checklist", resp, 200)
	log := live.one(t, ".checks")
	if log.attr("role") != "log" {
		t.Errorf("the results have the role %q", log.attr("role"))
	}
	var told []string
	for _, n := range log.all(".progress") {
		if n.attr("aria-live") != "off" {
			told = append(told, n.text())
		}
	}
	want := []string{"2 of 3 ✓ 1 hold ✗ 1 fail – 0 are not applicable answers fails. Service Health is checked. waiting for has-logs",
		"3 of 3 ✓ 1 hold ✗ 2 fail – 0 are not applicable has-logs fails. Log Collection is checked."}
	if d := cmp.Diff(want, told); d != "" {
		t.Errorf("what is told to those who hear the page (-want +got):\n%s", d)
	}
	if forms := live.all("form"); len(forms) != 1 || forms[0].Parent.Parent != log.Node {
		t.Errorf("%d forms, where one at the end should start the next run", len(forms))
	}
	for name, p := range map[string]node{"live": live, "afterwards": page(t, l.handler, "/checklist", 200)} {
		t.Run(name, func(t *testing.T) { checkThree(t, l, p) })
	}
}

// checkThree holds the results of three as a page shows them.
func checkThree(t *testing.T, l lab, p node) {
	var shown []string
	for n := range p.one(t, ".checks").ChildNodes() {
		switch m := (node{n}); m.Data {
		case "h2":
			shown = append(shown, m.text())
		case "details":
			shown = append(shown, m.one(t, "summary").text()+map[bool]string{true: " [open]"}[m.has("open")])
		}
	}
	want := []string{"Service Health 2 checks, 1 box",
		"✓ starts holds: the child of " + trace + " , not of 00- " + other + " -00f067aa0ba902b7-01 12 ms",
		"✗ answers fails: it says <script>alert(1)</script> 0 s [open]",
		"Log Collection 1 check, 1 box", "✗ has-logs fails: Tempo does not answer see answers 0 s"}
	if d := cmp.Diff(want, shown); d != "" {
		t.Errorf("results (-want +got):\n%s", d)
	}
	rows := p.all("details.check")
	if got := rows[0].link(t, trace) + " " + rows[0].link(t, other); got != "/traces/"+trace+" /traces/"+other {
		t.Errorf("the trace IDs lead to %s", got)
	}
	if got := rows[2].link(t, "answers"); got != "#"+rows[1].attr("id") {
		t.Errorf("what blocks leads to %s", got)
	}
	detail := rows[1].one(t, ".check-detail")
	contains(t, detail.text(), "Does does answers Expects expects answers To see it Copy "+`curl -s "http://tempo/x" & echo '<b>'`, "2 requests and answers",
		"curl -s 'http://tempo/x' 404 Not Found no <b>trace</b>", "no answer "+strings.Repeat("é", 500)+" The answer goes on.")
	if got := detail.one(t, "button").attr("data-copy"); got != `curl -s "http://tempo/x" & echo '<b>'` {
		t.Errorf("what is copied is %s", got)
	}
	verdict := p.one(t, ".verdict")
	contains(t, verdict.text(), "✗ 2 fail", "1 hold, 2 fail, 0 not applicable; 30 rolls; 5.2 s", "Look at this one first")
	if got := verdict.link(t, "answers"); got != "#check-answers" {
		t.Errorf("the cause is at %s", got)
	}
	resp := get(t, l.handler, verdict.link(t, "Download JSON"))
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != `{"passed":1}`+"\n" || resp.Header.Get("Content-Type") != "application/json" ||
		resp.Header.Get("Content-Disposition") != `attachment; filename="checklist-20260304T120000Z.json"` || !json.Valid(body) {
		t.Errorf("the download is %v %s (%v)", resp.Header, body, err)
	}
}

func TestChecklistOfOneGroup(t *testing.T) {
	l, server := served(t)
	resp := post(t, t.Context(), server, "Log Collection")
	if group := wait(t, "the run", l.checks.groups); group != "Log Collection" {
		t.Errorf("the run is of %q", group)
	}
	r := l.checks.three()[0]
	r.Row = l.checks.rows[2]
	l.checks.results <- r
	l.checks.end <- checklist.Report{Passed: 1, Rolls: 10, Took: time.Second}
	live := parsed(t, "/checklist", resp, 200)
	contains(t, live.text(), "The group Log Collection, since 12:00:00", "1 of 1", "All that applies holds")
	if again := live.one(t, "form").one(t, "input"); again.attr("name") != "group" || again.attr("value") != "Log Collection" {
		t.Errorf("running again means %v", again.Attr)
	}
	p := page(t, l.handler, "/checklist", 200)
	contains(t, p.one(t, ".verdict").text(), "1 hold, 0 fail, 0 not applicable; 10 rolls; 1 s The run of 12:00:00 , of the group Log Collection alone.")
	contains(t, p.one(t, "form").text(), "Run again")
	plan := p.one(t, ".plan").all("h3")
	if len(plan) != 1 || plan[0].text() != "Service Health" {
		t.Errorf("%d groups are named as not checked: %s", len(plan), p.one(t, ".plan").text())
	}
	contains(t, p.text(), "Not checked in this run")
}

// Whoever asks while a run is under way gets that one, and is told where it is
// not the one that was asked for.
func TestOneRunAtATime(t *testing.T) {
	l, server := served(t)
	first := post(t, t.Context(), server, "Service Health")
	same := post(t, t.Context(), server, "Service Health")
	another := post(t, t.Context(), server, "Log Collection")
	all := post(t, t.Context(), server, "")
	onlooker, err := server.Client().Get(server.URL + "/checklist?asked=nothing+that+there+is")
	if err != nil {
		t.Fatal(err)
	}
	l.checks.results <- l.checks.three()[0]
	l.checks.results <- l.checks.three()[1]
	l.checks.end <- l.checks.report()
	for _, c := range []struct {
		name string
		resp *http.Response
		told string
	}{{"first", first, ""}, {"same", same, ""}, {"another", another, "You asked for Log Collection"}, {"all", all, "You asked for all 3 checks"}, {"onlooker", onlooker, ""}} {
		p := parsed(t, "/checklist", c.resp, 200)
		contains(t, p.text(), "The group Service Health", "it says <script>", "1 hold, 2 fail")
		notices := p.all(".notice")
		if c.told == "" && len(notices) > 0 || c.told != "" && (len(notices) != 1 || !strings.HasPrefix(notices[0].text(), c.told)) {
			t.Errorf("%s is told %d things in: %s", c.name, len(notices), p.text())
		}
	}
	if n := len(l.checks.groups); n != 1 {
		t.Errorf("%d runs were started", n)
	}
}

// A run ends when nobody is there any more to see it, and the next may begin.
func TestChecklistStopsWhenAllHaveGone(t *testing.T) {
	l, server := served(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	body := bufio.NewReader(post(t, ctx, server, "").Body)
	l.checks.results <- l.checks.three()[0]
	readTo(t, body, "1 of 3")
	onlooker := post(t, t.Context(), server, "")
	readTo(t, bufio.NewReader(onlooker.Body), "1 of 3")
	leave()
	l.checks.results <- l.checks.three()[1] // the run goes on for the one who is left
	if err := onlooker.Body.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the end of the run", l.checks.stopped)
	p := page(t, l.handler, "/checklist", 200)
	for end := time.Now().Add(patience); len(p.all(".notice[role]")) == 0 && time.Now().Before(end); { // the run tells its end just after
		p = page(t, l.handler, "/checklist", 200)
	}
	contains(t, p.one(t, ".notice[role]").text(), "The run was stopped A run lasts while a page shows it, and nobody watched it any more. What to do: run it again, and leave its page open.")
	if len(p.all(".verdict")) != 0 {
		t.Error("a run that was stopped has a verdict")
	}
	post(t, t.Context(), server, "Log Collection")
	wait(t, "the first run", l.checks.groups)
	if group := wait(t, "the next run", l.checks.groups); group != "Log Collection" {
		t.Errorf("the next run is of %q", group)
	}
}

// A server that is being stopped does not wait for the run, and the page says it.
func TestChecklistStopsWithTheServer(t *testing.T) {
	l := start(t)
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
	if err := errors.Join(server.Shutdown(context.WithoutCancel(t.Context())), <-ended); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.checks.stopped:
	default:
		t.Error("the server stopped before the run had")
	}
	contains(t, parsed(t, "/checklist", resp, 200).text(), "The run was stopped The explorer is being stopped, and the run with it.")
}

func TestChecklistThatCannotBegin(t *testing.T) {
	l, server := served(t)
	resp := post(t, t.Context(), server, "")
	l.checks.results <- l.checks.three()[0]
	l.checks.end <- l.checks.report()
	parsed(t, "/checklist", resp, 200) // a report that stays
	l.checks.failure <- &checklist.BeginError{Err: errors.New("the front end at http://x does not answer: refused"), Hint: "start the lab with: dicelab up"}
	if p := parsed(t, "/checklist", post(t, t.Context(), server, ""), 200); len(p.all(".notice[role]")) != 1 {
		t.Errorf("it does not tell: %s", p.text())
	}
	p := page(t, l.handler, "/checklist", 200)
	contains(t, p.one(t, ".notice[role]").text(), "Nothing could be checked the front end at http://x does not answer: refused What to do: start the lab with: dicelab up.")
	contains(t, p.one(t, ".verdict").text(), "1 hold, 2 fail")
}

func TestChecklistRefuses(t *testing.T) {
	l, server := served(t)
	contains(t, parsed(t, "/checklist", post(t, t.Context(), server, `"><b>`), 400).text(), `The checklist has no group "\"><b>".`)
	contains(t, parsed(t, "/checklist", post(t, t.Context(), server, strings.Repeat("x", 1<<17)), 413).text(), "The form is larger than 65536 bytes")
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

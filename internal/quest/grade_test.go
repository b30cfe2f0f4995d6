package quest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/query"
	"dicelab/internal/quest"
	"dicelab/internal/wait"
)

// play starts a quest and waits for its questions.
func (l *lab) play(t *testing.T, name, seed string) quest.Journal {
	t.Helper()
	l.do(t, "start", "name", name, "seed", seed)
	l.state(t, quest.StateAsking)
	return l.journal(t)
}

// rollOf returns the first roll of a part that fits.
func rollOf(t *testing.T, j quest.Journal, part int, fits func(quest.Roll) bool) quest.Roll {
	t.Helper()
	for _, r := range j.Rolls {
		if r.Part == part && fits(r) {
			return r
		}
	}
	t.Fatalf("no roll of part %d fits among %+v", part, j.Rolls)
	return quest.Roll{}
}

func well(r quest.Roll) bool { return r.Status == http.StatusOK && !r.Harmless }

// withOddity returns a seed whose incident has an oddity of a kind.
func (l *lab) withOddity(t *testing.T, name string, has func(quest.Incident) bool) quest.Journal {
	t.Helper()
	for seed := range 20 {
		l.do(t, "start", "name", name, "seed", fmt.Sprint(seed))
		if has(*l.journal(t).Incident) {
			l.state(t, quest.StateAsking)
			return l.journal(t)
		}
		l.do(t, "stop")
	}
	t.Fatal("no seed has the oddity")
	return quest.Journal{}
}

// Wrong answers are refused with the reason, which does not give the right one away.
func (l *lab) wrongAnswers(t *testing.T) {
	j := l.withOddity(t, "failing-rolls", func(in quest.Incident) bool {
		return in.Stranger != "" && in.Die == contract.DieFair && in.Service == contract.ServiceRoller
	})
	in := *j.Incident
	hit := rollOf(t, j, 1, func(r quest.Roll) bool { return strings.Contains(strings.ToLower(r.Detail), "fell off the table") })
	other := map[string]string{contract.ServiceFrontend: contract.ServiceRoller, contract.ServiceRoller: contract.ServiceFrontend}[in.Service]

	l.wrong(t, "what", "slow", "If it were so, one span's own time")
	l.wrong(t, "what", "gremlins", "none of the list")
	l.wrong(t, "where", other, "Which one's own signals have changed?") // the right fault in the wrong place
	l.wrong(t, "who", contract.DieRisky, "this is not what tells them apart")
	l.wrong(t, "from", j.From.Add(-10*time.Second).Local().Format("15:04:05"), "it began later")
	l.wrong(t, "from", j.From.Add(10*time.Second).Local().Format("15:04:05"), "it began earlier")
	l.wrong(t, "to", j.To.Add(-10*time.Second).Local().Format("15:04:05"), "it ended later")
	l.wrong(t, "to", "noon", "that is no time")
	l.wrong(t, "trace", rollOf(t, j, 0, well).TraceID, "of before the incident")
	l.wrong(t, "trace", rollOf(t, j, 2, well).TraceID, "of after the incident")
	l.wrong(t, "trace", rollOf(t, j, 1, well).TraceID, "nothing failed in this trace")
	l.wrong(t, "trace", rollOf(t, j, 1, func(r quest.Roll) bool { return r.Harmless }).TraceID, "nothing failed in this trace") // a bystander
	l.wrong(t, "trace", strings.Repeat("ab", 16), "no trace is stored under this ID")
	l.wrong(t, "trace", hit.TraceID[:8], "32 hexadecimal digits")
	l.wrong(t, "span", strings.Repeat("ab", 8), "give the trace, too")
	l.do(t, "answer", "trace", hit.TraceID)
	trace := l.trace(t, hit.TraceID)
	l.wrong(t, "span", strings.Repeat("ab", 8), "has no such span")
	l.wrong(t, "span", trace.Tree().Roots[0].SpanID, "failed because another did")
	for _, q := range l.now(t).Questions {
		if strings.Contains(q.Why, in.Service) && !strings.Contains(q.Why, other) {
			t.Errorf("the reason %q gives the place away", q.Why)
		}
	}

	l.wrong(t, "query", "{}", "this query does not separate") // matches everything
	l.wrong(t, "query", `{ status=error && name="nothing" }`, "finds nothing")
	l.wrong(t, "query", `{ span.die.type="risky" && name="roll" && status!=error }`, "finds no affected roll, but others")
	l.wrong(t, "query", fmt.Sprintf("{ trace:id=%q }", hit.TraceID), "misses others")
	l.wrong(t, "query", "{ nonsense", "does not accept this query")
	l.wrong(t, "query", "promql: up", "cannot separate")
	l.wrong(t, "query", `logql: {service_name="dice-roller"}`, "this query does not separate")
	l.do(t, "answer", "query", `logql: {service_name="dice-roller"} |= "fell off the table"`) // another language will do
	if a := l.answered(t, "query"); !a.Right {
		t.Errorf("a query for lines: %s", a.Why)
	}
	l.do(t, "stop")
	if c := l.now(t); c.Why != "given up" || len(c.Explained) == 0 {
		t.Errorf("the quest has ended with %s, %v", c.Why, c.Explained)
	}
	l.clean(t)
}

func (l *lab) wrongQueries(t *testing.T) {
	l.play(t, "silent-lines", "4")
	l.wrong(t, "query", `{service_name=~".+"}`, "this query does not separate")
	l.wrong(t, "query", `traceql: {}`, "traces are as they should be")
	l.wrong(t, "line", "no such line", "copy the whole line")
	j := l.journal(t)
	lines := l.lines(t, query.LogFilter{TraceID: rollOf(t, j, 0, well).TraceID}.LogQL(), j.Began)
	l.wrong(t, "line", lines[0].Text, "this line")
	l.do(t, "stop")

	l.play(t, "calm-graph", "1")
	l.wrong(t, "query", `sum(rate(http_requests_total[5s]))`, "it is true before the incident, too")
	l.wrong(t, "query", `vector(0)`, "it would have warned nobody")
	l.wrong(t, "query", `nothing_at_all`, "has no result")
	l.wrong(t, "query", `sum(`, "does not accept this query")
	l.wrong(t, "metric", "http_requests_total", "moved as it should")
	l.do(t, "stop")
	l.clean(t)
}

func (l *lab) hintsCost(t *testing.T) {
	l.play(t, "two-traces", "1")
	for range 3 {
		l.do(t, "hint")
	}
	if err := l.try(t, "hint"); err == nil || !strings.Contains(err.Error(), "no more hints") {
		t.Errorf("a fourth hint: %v", err)
	}
	pairs := []string{}
	for id, text := range solvers["two-traces"](t, l.look(t)) {
		pairs = append(pairs, id, text)
	}
	l.do(t, "answer", pairs...)
	service, _, _ := strings.Cut(l.cause(t), ":")
	if err := l.try(t, "mend", "setting", service+":slow"); err == nil || !strings.Contains(err.Error(), "was not on: nothing has changed") {
		t.Errorf("mending what is not broken: %v", err)
	}
	if !l.faults[service].State().NoPropagation {
		t.Error("the cause is not back")
	}
	l.do(t, "mend", "setting", l.cause(t))
	if c := l.state(t, quest.StateEnded); c.Score != 70 || len(c.Hints) != 3 {
		t.Errorf("score %d after %d hints", c.Score, len(c.Hints))
	}
	l.clean(t)
}

func (l *lab) refused(t *testing.T) {
	for _, test := range []struct{ action, field, text, want string }{
		{"start", "name", "slow-roll", `there is no quest "slow-roll"`},
		{"answer", "what", "slow", "no quest is under way"},
		{"hint", "", "", "no quest is under way"},
		{"mend", "setting", "dice-roller:slow", "nothing to mend yet"},
		{"stop", "", "", "no quest is under way"},
		{"dance", "", "", `there is no action "dance"`},
	} {
		if err := l.try(t, test.action, test.field, test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.action, err, test.want)
		}
	}
	if err := l.try(t, "start", "name", "slow-rolls", "seed", "-1"); err == nil || !strings.Contains(err.Error(), `seed "-1"`) {
		t.Errorf("a seed below 0: %v", err)
	}
	l.do(t, "start", "name", "slow-rolls", "seed", "1")
	if err := l.try(t, "start", "name", "two-traces"); err == nil || !strings.Contains(err.Error(), "slow-rolls is under way") {
		t.Errorf("a second quest: %v", err)
	}
	if err := l.try(t, "answer", "what", "slow"); err == nil || !strings.Contains(err.Error(), "still going on") {
		t.Errorf("an early answer: %v", err)
	}
	l.do(t, "stop")
	l.clean(t)
}

// What a killed process left is closed by the next one, and services lose hidden faults
// without it.
func (l *lab) killed(t *testing.T) {
	l.do(t, "start", "name", "slow-rolls", "seed", "1")
	open, err := os.ReadFile(filepath.Join(l.options.Dir, "open.json"))
	if err != nil {
		t.Fatal(err)
	}
	l.do(t, "stop")
	dir := t.TempDir() // as it was at that moment
	if err := os.WriteFile(filepath.Join(dir, "open.json"), open, 0o600); err != nil {
		t.Fatal(err)
	}
	o := l.options
	o.Dir = dir
	e, err := quest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	list, err := quest.Journals(dir)
	if err != nil || len(list) != 1 || list[0].State != quest.StateEnded || list[0].Why != "the lab was killed" {
		t.Errorf("journals %+v, %v", list, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}

	set := l.faults[contract.ServiceRoller]
	if err := set.Hide(10*time.Millisecond, "slow=1s"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = wait.Until(ctx, func(context.Context) error {
		if set.State() != (fault.State{}) {
			return fmt.Errorf("still %+v", set.State())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	l.clean(t)
}

func (l *lab) closedInTheMiddle(t *testing.T) {
	l.do(t, "start", "name", "slow-rolls", "seed", "1")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.clean(t)
	if err := l.try(t, "start", "name", "slow-rolls"); err == nil || !strings.Contains(err.Error(), "the lab is being stopped") {
		t.Errorf("a quest after the end: %v", err)
	}
	list, err := quest.Journals(l.options.Dir)
	if last := list[len(list)-1]; err != nil || last.Why != "the lab was stopped" {
		t.Errorf("the last journal ended with %s, %v", last.Why, err)
	}
	if _, err := os.Stat(filepath.Join(l.options.Dir, "open.json")); !os.IsNotExist(err) {
		t.Errorf("the open journal: %v", err)
	}
	l.open(t)
}

// Neither the API nor the control of faults can be used without the token.
func (l *lab) tokenRefused(t *testing.T) {
	api := httptest.NewServer(l.API())
	defer api.Close()
	for _, target := range []string{api.URL + quest.Path + "/start", l.roller + "/faults/quest", l.frontend + "/faults/quest"} {
		for _, header := range []string{"", "Bearer", "Bearer wrong", "Basic " + token} {
			req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(url.Values{"name": {"slow-rolls"}, "fault": {"slow=1s"}, "lease": {"1m"}}.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Authorization", header)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with %q answers %s, %v", target, header, resp.Status, err)
			}
		}
	}
	l.clean(t)
}

func (l *lab) reported(t *testing.T) {
	api := httptest.NewServer(l.API())
	defer api.Close()
	get := func(accept string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodGet, quest.Path+"/report", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		l.API().ServeHTTP(w, req)
		return w
	}
	var list []quest.Journal
	if err := json.Unmarshal(get("application/json").Body.Bytes(), &list); err != nil || len(list) < 2 {
		t.Fatalf("%d reports, %v", len(list), err)
	}
	for _, j := range list {
		if j.State != quest.StateEnded || j.Ended.IsZero() || j.Why == "" || len(j.Rolls) > 0 {
			t.Errorf("the report %+v", j)
		}
	}
	page := get(quest.ReportHTML).Body.String()
	for _, want := range []string{"<h1>Report of quests</h1>", "failing-rolls", "this query does not separate", "given up"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(page, "src=") || strings.Contains(page, "href=") {
		t.Error("the page needs other files")
	}
}

// TestSeeds checks that a seed makes the same incident each time, and others make others.
func TestSeeds(t *testing.T) {
	for _, q := range quest.Quests() {
		if q.Level == quest.LevelExercise {
			continue
		}
		t.Run(q.Name, func(t *testing.T) {
			seen := map[string]bool{}
			for seed := range uint64(3) {
				a, b := q.Draw(seed+1), q.Draw(seed+1)
				if diff := cmp.Diff(a, b); diff != "" {
					t.Errorf("seed %d makes two incidents:\n%s", seed+1, diff)
				}
				a.Seed = 0
				seen[fmt.Sprintf("%+v", a)] = true
			}
			if len(seen) != 3 {
				t.Errorf("three seeds make %d incidents", len(seen))
			}
			if len(q.Hints) != 3 || q.Story == "" || q.Learn == "" || q.Assume == "" {
				t.Errorf("%+v is not complete", q)
			}
		})
	}
}

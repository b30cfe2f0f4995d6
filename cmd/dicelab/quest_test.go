package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
	"dicelab/internal/quest"
)

// quest runs "dicelab quest" against the lab, and returns what it prints and its exit status.
func (l *running) quest(t *testing.T, dir string, args ...string) (out string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "dicelab", append([]string{"quest", "--data", dir, "--explorer-url", l.url(t, "explorer")}, args...)...)
	cmd.Env = append(os.Environ(), envBook+"="+string(l.book))
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status, err = exit.ExitCode(), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return both.String(), status
}

// view runs an action and returns what is to be seen.
func (l *running) questView(t *testing.T, dir string, args ...string) *quest.Current {
	t.Helper()
	out, status := l.quest(t, dir, append([]string{"--format", "json"}, args...)...)
	var v quest.View
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: exit status %d, %v", args, status, out)
	}
	return v.Current
}

// asked waits until the questions of the quest are open.
func (l *running) asked(t *testing.T, dir string) (c *quest.Current) {
	t.Helper()
	eventually(t, "the incident", func() error {
		if c = l.questView(t, dir, "status"); c.State != quest.StateAsking {
			return fmt.Errorf("the quest is %s: %s", c.State, c.Why)
		}
		return nil
	})
	return c
}

// listed returns what both services list as on.
func (l *running) listed(t *testing.T) (names []string) {
	t.Helper()
	for _, service := range contract.Services() {
		_, body := l.get(t, l.url(t, service)+"/faults")
		var list []struct {
			Name string
			On   bool
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if f.On {
				names = append(names, service+":"+f.Name)
			}
		}
	}
	return names
}

// A quest is played on the command line and on the page, from its start to the proof of its
// repair; one that is under way when the lab is killed leaves nothing.
func TestQuest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := startLab(t, dir, nil, "--max-delay", "100ms")
	out, _ := l.quest(t, dir)
	for _, want := range []string{"The path of the first hour\n  two-sides ", "Further quests\n  slow-rolls ", "dicelab quest start NAME"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list has no %q:\n%s", want, out)
		}
	}
	l.refusesQuests(t, dir)
	t.Run("command line", func(t *testing.T) { l.questOfCommandLine(t, dir) })
	t.Run("page", func(t *testing.T) { l.questOfPage(t, dir) })

	if out, status := l.quest(t, dir, "start", "slow-rolls", "--seed", "1"); status != 0 {
		t.Fatal(out)
	}
	l.signal(t, syscall.SIGKILL)
	l.wait(t)
	eventually(t, "the end of the services", l.book.empty)
	again := startLab(t, dir, nil, "--max-delay", "100ms")
	if on := again.listed(t); len(on) > 0 {
		t.Errorf("faults are on: %v", on)
	}
	if out, _ := again.quest(t, dir, "report"); !strings.Contains(out, "slow-rolls") || !strings.Contains(out, "the lab was killed") {
		t.Errorf("the report says:\n%s", out)
	}
	if out, _ := again.quest(t, dir, "status"); !strings.Contains(out, "No quest was started yet") {
		t.Errorf("the status is:\n%s", out)
	}
	again.signal(t, os.Interrupt.(syscall.Signal)) // not stop: Prometheus warns of what the killed lab left
	if code := again.wait(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func (l *running) refusesQuests(t *testing.T, dir string) {
	t.Helper()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"start"}, "start needs the name of a quest"},
		{[]string{"start", "slow"}, `there is no quest "slow": dicelab quest lists them`},
		{[]string{"start", "slow-rolls", "--seed", "x"}, `seed "x": want a number`},
		{[]string{"answer", "slow"}, "slow is no answer: write it as ID=TEXT"},
		{[]string{"answer", "what=slow"}, "no quest is under way"},
		{[]string{"hint", "please"}, "unexpected argument please"},
		{[]string{"hint", "--seed", "1"}, "--seed has no effect without start"},
		{[]string{"status", "--format", "html"}, "--format=html has no effect without report"},
		{[]string{"status", "--data", t.TempDir()}, "no lab runs with the data directory"},
		{[]string{"status", "--explorer-url", "http://127.0.0.1:1"}, "asking the lab: "},
	} {
		if out, status := l.quest(t, dir, test.args...); status != 2 || !strings.Contains(out, test.want) {
			t.Errorf("%v: exit status %d, %s, want %s", test.args, status, out, test.want)
		}
	}
}

func (l *running) questOfCommandLine(t *testing.T, dir string) {
	began := time.Now()
	if out, status := l.quest(t, dir, "start", "slow-rolls", "--seed", "7"); status != 0 || !strings.Contains(out, "The incident is going on") {
		t.Fatal(out)
	}
	if on := l.listed(t); len(on) != 2 || on[0] != "streamlit-frontend:quest" || on[1] != "dice-roller:quest" {
		t.Errorf("the lists say %v", on)
	}
	if _, page := l.get(t, l.url(t, "explorer")+"/traces"); !strings.Contains(page, "A quest is under way") || strings.Contains(page, "Faults on") {
		t.Error("the page does not say that a quest is under way, or says more")
	}
	l.asked(t, dir)
	found, err := l.tempo(t).Search(t.Context(), query.Search{TraceQL: `{ name=~"roll|roll_button_click" && duration>1700ms }`,
		Start: began, End: time.Now().Add(time.Minute), Limit: 100})
	if err != nil || len(found.Traces) == 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	id := found.Traces[0].TraceID
	trace := l.trace(t, id, 5)
	where, span := "", ""
	trace.Tree().Walk(func(n *query.Node) bool {
		if n.SelfTime > 1700*time.Millisecond {
			where, span = n.Service, n.SpanID
		}
		return true
	})
	wrong := contract.Services()[0]
	if wrong == where {
		wrong = contract.Services()[1]
	}
	if out, status := l.quest(t, dir, "answer", "where="+wrong); status != 1 || !strings.Contains(out, "The other service is as it was") {
		t.Errorf("exit status %d: %s", status, out)
	}
	from, to := time.Now(), began
	for _, f := range found.Traces {
		if f.Start.Before(from) {
			from = f.Start
		}
		if end := f.Start.Add(f.Duration); end.After(to) {
			to = end
		}
	}
	name := map[string]string{contract.ServiceFrontend: "roll_button_click", contract.ServiceRoller: "roll"}[where]
	out, status := l.quest(t, dir, "answer", "what=slow", "where="+where, "trace="+id, "span="+span, "from="+from.Local().Format("15:04:05"),
		"to="+to.Local().Format("15:04:05"), fmt.Sprintf("query={ name=%q && duration>1700ms }", name))
	if status != 0 || !strings.Contains(out, "switch it off with: dicelab quest mend SERVICE:FAULT") {
		t.Fatalf("exit status %d: %s", status, out)
	}
	out, status = l.quest(t, dir, "mend", where+":slow")
	if status != 0 || !strings.Contains(out, "Ended: solved.") || !strings.Contains(out, "62 passed, 0 failed") {
		t.Errorf("exit status %d: %s", status, out)
	}
	if on := l.listed(t); len(on) > 0 {
		t.Errorf("faults are on: %v", on)
	}
	if html, _ := l.quest(t, dir, "report", "--format", "html"); !strings.Contains(html, "<h1>Report of quests</h1>") {
		t.Errorf("the report is %s", html)
	}
	if info, err := os.Stat(filepath.Join(dir, quest.TokenFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token: %v, %v", info, err)
	}
}

// questOfPage plays with forms alone, as a browser without JavaScript.
func (l *running) questOfPage(t *testing.T, dir string) {
	at := l.url(t, "explorer") + "/quests"
	_, page := l.get(t, at)
	key := regexp.MustCompile(`name="key" value="([^"]+)"`).FindStringSubmatch(page)
	if key == nil {
		t.Fatalf("the page has no form: %s", page)
	}
	post := func(action string, form url.Values) (int, string) {
		t.Helper()
		resp, err := l.client.PostForm(at+"/"+action, form)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, _ := post("start", url.Values{"name": {"slow-rolls"}}); status != http.StatusForbidden {
		t.Errorf("a form without the page's key is answered with %d", status)
	}
	status, page := post("start", url.Values{"key": {key[1]}, "name": {"two-traces"}, "seed": {"3"}})
	if status != http.StatusOK || !strings.Contains(page, "The incident is going on") || !strings.Contains(page, `http-equiv="refresh"`) {
		t.Fatalf("%d %s", status, page)
	}
	l.asked(t, dir)
	if status, page := post("answer", url.Values{"key": {key[1]}, "what": {"slow"}, "trace": {""}}); status != http.StatusOK || !strings.Contains(page, "✗ not yet") {
		t.Errorf("%d %s", status, page)
	}
	if status, page := post("hint", url.Values{"key": {key[1]}}); status != http.StatusOK || !strings.Contains(page, "five spans of two services") {
		t.Errorf("%d %s", status, page)
	}
	if status, page := post("mend", url.Values{"key": {key[1]}, "setting": {"dice-roller:slow"}}); status != http.StatusConflict || !strings.Contains(page, "there is nothing to mend yet") {
		t.Errorf("%d %s", status, page)
	}
	if status, page := post("stop", url.Values{"key": {key[1]}}); status != http.StatusOK || !strings.Contains(page, "Ended: given up") || !strings.Contains(page, "no-propagation") {
		t.Errorf("%d %s", status, page)
	}
	if status, page := l.get(t, at+"/report.html"); status != http.StatusOK || !strings.Contains(page, "given up") {
		t.Errorf("%d %s", status, page)
	}
	if on := l.listed(t); len(on) > 0 {
		t.Errorf("faults are on: %v", on)
	}
}

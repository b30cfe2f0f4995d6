package main_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"dicelab/internal/checklist"
	"dicelab/internal/contract"
	"dicelab/internal/verify"
)

// runChecklist presses the button of the explorer's page, and loads the part of the
// page about the run until the run has ended.
func (l *running) runChecklist(t *testing.T, group string) (page string) {
	t.Helper()
	resp, err := l.client.PostForm(l.url(t, "explorer")+"/checklist", url.Values{"group": {group}})
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the page of the run answers %d, %v", resp.StatusCode, err)
	}
	eventually(t, "the end of the run", func() error {
		_, page = l.get(t, l.url(t, "explorer")+"/checklist?part=run")
		if strings.Contains(page, "data-again") {
			return errors.New("it goes on")
		}
		return nil
	})
	return page
}

// checked finds the rows on the page: outcome and name.
var checked = regexp.MustCompile(`<details class="check (\S+)" id="check-([^"]+)"`)

// The page performs the same checks as "dicelab verify", on the lab that it
// belongs to, and its report reads the same.
func TestChecklistPage(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil, quickDice()...)
	page := l.runChecklist(t, "")
	var names, want []string
	for _, m := range checked.FindAllStringSubmatch(page, -1) {
		names = append(names, m[2])
		if m[1] == string(checklist.Fail) {
			t.Errorf("%s fails", m[2])
		}
	}
	for _, row := range verify.Table() {
		want = append(want, row.Name)
	}
	if diff := gocmp.Diff(want, names); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for _, text := range []string{"All passed", "The servers: embedded (as dicelab up runs it).", "traffic-generator &gt; streamlit-frontend &gt; dice-roller in"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	status, text := l.get(t, l.url(t, "explorer")+"/checklist/report.json")
	var v verified
	if err := json.Unmarshal([]byte(text), &v.report); err != nil || status != http.StatusOK {
		t.Fatalf("the report answers %d, %v", status, err)
	}
	found := v.row(t, "trace-found")
	trace := regexp.MustCompile(`[0-9a-f]{32}`).FindString(found.Evidence)
	if v.report.Mode != "embedded" || len(v.report.Results) != len(want) || found.Outcome != string(checklist.Pass) || !strings.Contains(page, `href="/traces/`+trace+`"`) {
		t.Errorf("mode %s, %d results; trace-found: %+v", v.report.Mode, len(v.report.Results), found)
	}
	printed, _ := l.verifyJSON(t, "--only", "service-health")
	if diff := gocmp.Diff(keys(t, []byte(text)), keys(t, printed)); diff != "" {
		t.Errorf("members of the two reports (-page +verify):\n%s", diff)
	}
	l.stop(t)
}

// keys returns the names of a report's members.
func keys(t *testing.T, report []byte) map[string]bool {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(report, &members); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for name := range members {
		names[name] = true
	}
	return names
}

// Without the flags that give the lab's addresses, the explorer tries the usual ones. If no server
// answers there, it prints what to do.
func TestChecklistPageWithoutALab(t *testing.T) {
	t.Parallel()
	const unreachable = "http://127.0.0.1:1"
	l := startLabArgs(t, nil, "explore", "--addr", "127.0.0.1:0", "--frontend-url", unreachable, "--roll-link", "http://rolls.test")
	_, page := l.get(t, l.url(t, "explorer")+"/checklist")
	for _, text := range []string{"start it with <code class=\"nowrap\">--roller-url URL</code>", "<code class=\"wrap-anywhere\">" + unreachable + "</code></dd>",
		"<code class=\"wrap-anywhere\">http://localhost:" + contract.PortRoller + "</code>", `href="http://rolls.test"`} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %s", text)
		}
	}
	if strings.Contains(page, "--frontend-url URL") {
		t.Error("the page asks for a flag that was given")
	}
	page = l.runChecklist(t, "Frontend UI")
	for _, text := range []string{"Nothing could be checked", "the front end at " + unreachable + " does not answer: ", "What to do: start the lab with: dicelab up; or give the URL of the front end: dicelab explore --frontend-url URL."} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %q:\n%s", text, page)
		}
	}
	l.stop(t)
}

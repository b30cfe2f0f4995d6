package verify

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/checklist"
)

// engineRun runs made-up checks with a front end that only answers.
func engineRun(t *testing.T, checks []Check, only ...string) (checklist.Report, []string) {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	v, err := newVerifier(Options{Frontend: server.URL, Roller: server.URL, Prometheus: server.URL, Loki: server.URL, Tempo: server.URL,
		Mode: checklist.Own, Only: only}, checks)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	report, err := v.Run(t.Context(), nil, func(r checklist.Result) { names = append(names, r.Name) })
	if err != nil {
		t.Fatal(err)
	}
	return report, names
}

var errBroken = errors.New("broken")

// A check runs after those that it comes after, and a failure is explained by the first
// that explains others.
func TestEngineOrdersAndExplains(t *testing.T) {
	var mu sync.Mutex
	var order []string
	made := func(name string, err error, after ...string) Check {
		return Check{Row: checklist.Row{Group: "G", Name: name}, After: after, Run: func(context.Context, *Probe) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return "it works", err
		}}
	}
	checks := []Check{
		made("last", errBroken, "fine", "middle"), made("middle", errBroken, "first"), made("first", errBroken),
		made("fine", nil, "first"), made("idle", skip("not here"), "first"), made("apart", errBroken, "idle"),
	}
	report, names := engineRun(t, checks)
	if want := []string{"last", "middle", "first", "fine", "idle", "apart"}; !slices.Equal(names, want) {
		t.Errorf("results come as %v, want %v", names, want)
	}
	before := func(a, b string) bool { return slices.Index(order, a) < slices.Index(order, b) }
	if !before("first", "middle") || !before("middle", "last") || !before("fine", "last") {
		t.Errorf("the checks ran as %v", order)
	}
	got := map[string]string{}
	for _, r := range report.Results {
		got[r.Name] = strings.TrimSpace(string(r.Outcome) + " " + r.BlockedBy)
	}
	want := map[string]string{"first": "fail", "middle": "fail first", "last": "fail first", "fine": "pass", "idle": "not-applicable", "apart": "fail"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"first", "apart"}, report.Causes()); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
	if report.Passed != 1 || report.Failed != 4 || report.NotApplicable != 1 {
		t.Errorf("%d passed, %d failed, %d not applicable", report.Passed, report.Failed, report.NotApplicable)
	}
}

// What a chosen check comes after runs, too, and is not shown.
func TestEngineRunsWhatWasNotAskedFor(t *testing.T) {
	checks := []Check{
		{Row: checklist.Row{Group: "G", Name: "root"}, Run: func(context.Context, *Probe) (string, error) { return "", errBroken }},
		{Row: checklist.Row{Group: "G", Name: "leaf"}, After: []string{"root"},
			Run: func(context.Context, *Probe) (string, error) { return "", errors.New("in consequence") }},
	}
	report, names := engineRun(t, checks, "leaf")
	if len(names) != 1 || report.Results[0].BlockedBy != "root" || report.Results[0].Why != "in consequence; root fails: broken" {
		t.Errorf("%v: %+v", names, report.Results)
	}
	if diff := cmp.Diff([]string{"root"}, report.Causes()); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
}

// After a failure that explains its own, a check looks once and does not wait.
func TestEngineDoesNotWaitForWhatIsBlocked(t *testing.T) {
	looks := 0
	checks := []Check{
		{Row: checklist.Row{Group: "G", Name: "root"}, Run: func(context.Context, *Probe) (string, error) { return "", errBroken }},
		{Row: checklist.Row{Group: "G", Name: "leaf"}, After: []string{"root"}, Run: func(ctx context.Context, p *Probe) (string, error) {
			return "", p.until(ctx, func() error { looks++; return errBroken })
		}},
	}
	engineRun(t, checks)
	if looks != 1 {
		t.Errorf("it looked %d times", looks)
	}
}

// The graph of the table has no circle, and no name that is not there.
func TestChecksComeAfterOthers(t *testing.T) {
	after := map[string][]string{}
	for _, c := range Checks() {
		after[c.Name] = c.After
	}
	var walk func(name string, path []string)
	walk = func(name string, path []string) {
		if slices.Contains(path, name) {
			t.Fatalf("%s comes after itself: %v", name, path)
		}
		if _, ok := after[name]; !ok {
			t.Fatalf("%s comes after %s, which is not there", path[len(path)-1], name)
		}
		for _, next := range after[name] {
			walk(next, append(slices.Clone(path), name))
		}
	}
	for name := range after {
		walk(name, nil)
	}
}

func TestTableIsRead(t *testing.T) {
	fine := func(context.Context, *Probe) (string, error) { return "", nil }
	for _, test := range []struct{ table, want string }{
		{"- group: G\n  checks:\n  - name: a\n", "the check a has no function"},
		{"- group: G\n  checks:\n  - nmae: a\n", "field nmae not found"},
	} {
		if _, err := load([]byte(test.table), nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
	all, err := load([]byte("- group: G\n  checks:\n  - {name: a, after: [b], late: true}\n"), map[string]Func{"a": fine})
	if err != nil || len(all) != 1 || all[0].Group != "G" || !all[0].Late || all[0].After[0] != "b" {
		t.Errorf("%+v, %v", all, err)
	}
}

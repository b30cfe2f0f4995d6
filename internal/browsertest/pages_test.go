package browsertest_test

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"

	"dicelab/internal/contract"
)

var screenshots = flag.String("screenshots", "", "`directory` for a picture of every page, wide and narrow, light and dark")

// contrastJS finds text that is hard to read on the page.
//
//go:embed testdata/contrast.js
var contrastJS string

// TestPages checks the rules for every page: it requests nothing from outside the lab, follows its
// Content-Security-Policy, logs no error, has one main heading, names each control, fits a phone
// and a desktop, and is readable light and dark.
func TestPages(t *testing.T) {
	l := startLab(t, "--max-delay", "300ms", "--error-rate", "1") // every risky roll fails, no fair one does
	switches := startLab(t, "--fault-switches")
	for range 6 {
		l.roll(t, contract.DieFair, http.StatusOK)
		l.roll(t, contract.DieRisky, http.StatusBadGateway)
	}
	good, failed := l.roll(t, contract.DieFair, http.StatusOK), l.roll(t, contract.DieRisky, http.StatusBadGateway)
	tab := startBrowser(t).tab(t, append(l.hosts(), switches.hosts()...)...)
	tab.watch.allowStatus(l.frontend + "/roll")

	rollOn := func(die string) func(*testing.T) {
		return func(t *testing.T) {
			tab.do(t, chromedp.SetValue(chromedp.ID("die"), die))
			tab.click(t, "#roll-button")
			tab.until(t, `!!document.querySelector("#result .result[data-die=`+die+`]")`)
		}
	}
	show := func(selector string) func(*testing.T) {
		return func(t *testing.T) { tab.until(t, `!!document.querySelector(`+quote(selector)+`)`, chromedp.Reload()) }
	}
	saved := l.download(t, failed, 5)
	openFile := func(text, ready string) func(*testing.T) {
		path := filepath.Join(t.TempDir(), "trace of a failed roll.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return func(t *testing.T) {
			tab.do(t, chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{path}))
			tab.click(t, "form[enctype] button")
			// Its style sheets, too, have loaded when it is complete.
			tab.until(t, `document.readyState === "complete" && !!document.querySelector(`+quote(ready)+`)`)
		}
	}
	tab.watch.allowStatus(l.explorer + "/traces/file") // posting a bad file
	run := func(group string) func(*testing.T) {
		return func(t *testing.T) {
			tab.do(t, chromedp.SetValue(chromedp.CSS("select[name=group]"), group))
			tab.click(t, "main form button")
			tab.until(t, `document.readyState === "complete" && !!document.getElementById("verdict")`)
		}
	}
	const missing = "abababababababababababababababab" // its page looks again by itself; after the last try it stays as it is
	explorer := func(path string) string { return l.explorer + path }
	for _, page := range []struct {
		name, url string
		status    int              // 0: 200
		ready     func(*testing.T) // brings the page into the state to look at
	}{
		{name: "frontend", url: l.frontend},
		{name: "frontend-rolled", url: l.frontend, ready: rollOn(contract.DieFair)},
		{name: "frontend-failed", url: l.frontend, ready: rollOn(contract.DieRisky)},
		{name: "frontend-faults", url: switches.frontend, ready: show("#faults li button")},
		{name: "roller-docs", url: l.roller + "/docs"},
		{name: "overview", url: explorer("/"), ready: show("table.traces .badge.bad")},
		{name: "overview-empty", url: switches.explorer},
		{name: "traces", url: explorer("/traces"), ready: show("table.traces .badge.bad")},
		{name: "traces-none", url: explorer("/traces?min=59s")},
		{name: "traces-refused", url: explorer("/traces?q=%7B"), status: http.StatusBadRequest},
		{name: "trace", url: explorer("/traces/" + good), ready: show(".span:nth-of-type(5)")},
		{name: "trace-failed", url: explorer("/traces/" + failed), ready: show(".span.failed:nth-of-type(5)")},
		{name: "trace-found", url: explorer("/traces/" + failed + "?find=status%3Dfailed&only=matches&from=0ms&to=1ms")},
		{name: "trace-flame", url: explorer("/traces/" + failed + "?view=flame")},
		{name: "traces-compared", url: explorer("/traces/" + good + "/compare?with=" + failed)},
		{name: "traces-compared-none", url: explorer("/traces/" + good + "/compare")},
		{name: "trace-missing", url: explorer("/traces/" + missing + "?try=5"), status: http.StatusNotFound},
		{name: "file", url: explorer("/traces/file")},
		{name: "file-trace", url: explorer("/traces/file"), ready: openFile(saved, ".span.failed:nth-of-type(5)")},
		{name: "file-traces", url: explorer("/traces/file"), ready: openFile(saved+l.download(t, good, 5), "tr[data-trace]:nth-of-type(2) button")},
		{name: "file-refused", url: explorer("/traces/file"), ready: openFile(saved[:200], ".notice.bad")},
		{name: "logs", url: explorer("/logs"), ready: show(".log .badge.bad")},
		{name: "logs-of-trace", url: explorer("/logs?trace_id=" + failed), ready: show(".log .badge.bad")},
		{name: "logs-none", url: explorer("/logs?text=nowhere")},
		{name: "logs-count", url: explorer("/logs?q=sum+by+(service_name)(count_over_time({service_name=~%22.%2B%22}[1m]))")},
		{name: "metrics", url: explorer("/metrics?since=5m"), ready: show(".panel .c-exemplar")},
		{name: "metrics-query", url: explorer("/metrics?q=dice_rolls_total"), ready: show("table.result")},
		{name: "metrics-refused", url: explorer("/metrics?q=sum("), status: http.StatusBadRequest},
		{name: "metrics-find", url: explorer("/metrics/find?find=die_type"), ready: show("table.found tr:nth-of-type(2)")},
		{name: "metrics-chart", url: explorer("/metrics/find?metric=http_request_duration_seconds&by=job"), ready: show(".c-exemplar")},
		{name: "logs-fields", url: explorer("/logs?count=die_type&f=die_type%3Drisky"), ready: show(".facet")},
		{name: "traces-condition", url: explorer("/traces?attr=span.die.type&op=%3D&val=risky"), ready: show("tr[data-trace]")},
		{name: "docs", url: explorer("/docs/")},
		{name: "targets", url: explorer("/targets"), ready: show("time")},
		{name: "checklist", url: switches.explorer + "/checklist"},
		{name: "checklist-run", url: switches.explorer + "/checklist", ready: run("")},
		{name: "checklist-failed", url: explorer("/checklist"), ready: run("Frontend UI")},
		{name: "checklist-failed-last", url: explorer("/checklist"), ready: show(".verdict.bad")},
		{name: "quests", url: switches.explorer + "/quests"},
		{name: "quest", url: switches.explorer + "/quests", ready: func(t *testing.T) {
			tab.click(t, ".quests li button")
			tab.until(t, `document.readyState === "complete" && !!document.getElementById("q-trace")`)
			tab.do(t, chromedp.SetValue(chromedp.CSS("#q-trace"), "no trace"))
			tab.click(t, ".answers button")
			tab.until(t, `document.readyState === "complete" && !!document.querySelector(".question.wrong")`)
		}},
		{name: "nothing-here", url: explorer("/nothing"), status: http.StatusNotFound},
	} {
		t.Run(page.name, func(t *testing.T) {
			tab.look(t, wide, light)
			if page.status != 0 {
				tab.watch.allowStatus(page.url)
			}
			load(t, tab, page.url, cmp.Or(page.status, http.StatusOK))
			if page.ready != nil {
				page.ready(t)
			}
			if problems, asked := tab.watch.take(); asked == 0 || len(problems) > 0 {
				t.Errorf("after %d requests: %s", asked, strings.Join(problems, "\n"))
			}
			basics(t, tab)
			for _, opened := range []bool{false, true} {
				state := "closed"
				if opened {
					if !eval[bool](t, tab, `(() => { const all = [...document.querySelectorAll("details:not([open])")]; for (const d of all) d.open = true; return all.length > 0 })()`) {
						break
					}
					state = "opened"
					basics(t, tab)
				}
				for _, width := range []int64{wide, narrow} {
					for _, scheme := range []string{light, dark} {
						tab.look(t, width, scheme)
						fits(t, tab, width)
						readable(t, tab, scheme)
						shoot(t, tab, fmt.Sprintf("%s.%s.%d.%s.png", page.name, state, width, scheme))
					}
				}
				tab.look(t, wide, light)
			}
		})
	}
}

// load opens a page and holds the status of the answer.
func load(t *testing.T, p *tab, url string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	resp, err := chromedp.Run(ctx, chromedp.NavigateResponse(url))
	if err != nil {
		t.Fatalf("opening %s: %v", url, err)
	}
	if int(resp.Status) != want {
		t.Errorf("%s answered %d, want %d", url, resp.Status, want)
	}
}

// basics checks for one main heading, a language, and a name for everything that
// can be operated, as Chromium computes it for a screen reader.
func basics(t *testing.T, p *tab) {
	t.Helper()
	if h := p.texts(t, "h1"); len(h) != 1 || h[0] == "" {
		t.Errorf("main headings %q, want one with text", h)
	}
	if lang := eval[string](t, p, `document.documentElement.lang`); lang != "en" {
		t.Errorf("language %q, want en", lang)
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatalf("reading the accessibility tree: %v", err)
	}
	operable := 0
	for _, n := range tree.Nodes {
		if n.Ignored || !slices.Contains([]string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "DisclosureTriangle", "image"}, axText(t, n.Role)) {
			continue
		}
		operable++
		if strings.TrimSpace(axText(t, n.Name)) == "" {
			t.Errorf("a %s has no name for a screen reader (node %d)", axText(t, n.Role), n.BackendDOMNodeID)
		}
	}
	if operable == 0 {
		t.Error("nothing on the page can be operated")
	}
}

// axText returns a value of the accessibility tree as text; absent is empty.
func axText(t *testing.T, v *accessibility.Value) string {
	t.Helper()
	if v == nil || len(v.Value) == 0 {
		return ""
	}
	var s string
	if err := json.Unmarshal(v.Value, &s); err != nil {
		t.Fatalf("reading the accessibility tree: %v", err)
	}
	return s
}

// fits checks that the page does not scroll sideways. What is wider by nature
// scrolls within itself.
func fits(t *testing.T, p *tab, width int64) {
	t.Helper()
	got := eval[int64](t, p, `document.documentElement.scrollWidth`)
	if got > width {
		t.Errorf("at %d px the page is %d px wide; too far right: %q", width, got, eval[[]string](t, p,
			`[...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 120))`))
	}
}

// readable checks the contrast of every text on the page against WCAG 2.2, 1.4.3,
// level AA: 4.5, and 3 for large text.
func readable(t *testing.T, p *tab, scheme string) {
	t.Helper()
	found := eval[struct {
		Texts int      `json:"texts"`
		Bad   []string `json:"bad"`
	}](t, p, contrastJS)
	if found.Texts == 0 {
		t.Error("the page shows no text")
	}
	for _, bad := range found.Bad {
		t.Errorf("%s: hard to read: %s", scheme, bad)
	}
}

// shoot writes a picture of the whole page, if asked to.
func shoot(t *testing.T, p *tab, name string) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("drawing %s: %v", name, err)
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		t.Fatalf("making the directory for pictures: %v", err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name), png, 0o644); err != nil {
		t.Fatalf("writing a picture: %v", err)
	}
}

package browsertest_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"dicelab/internal/contract"
)

// The tests of the front end roll with a roller whose risky die always fails
// and whose fair one never does.
var sure = []string{"--error-rate", "1", "--max-delay", "200ms"}

// traceID is a trace ID as the page shows it.
const traceID = `document.getElementById("trace-id").textContent`

// TestRollByKeyboard rolls without a mouse, as a user of a screen reader
// does: focus stays where it was, and what changes is announced.
func TestRollByKeyboard(t *testing.T) {
	l := startLab(t, sure...)
	tab := startBrowser(t).tab(t, l.hosts()...)
	tab.open(t, l.frontend)
	// Record the texts of the button, in order, and whether the live region is still the same
	// element: a screen reader would not announce a new one.
	eval[bool](t, tab, `(() => {
		window.region = document.getElementById("result");
		window.labels = [];
		const button = document.getElementById("roll-button");
		new MutationObserver(() => {
			const label = button.textContent.trim() + "/" + button.getAttribute("aria-disabled");
			if (labels.at(-1) !== label) labels.push(label);
		}).observe(button, { subtree: true, childList: true, characterData: true, attributes: true });
		return true;
	})()`)
	focused := func() string { return eval[string](t, tab, `document.activeElement.id`) }
	for range 30 {
		if focused() == "die" {
			break
		}
		tab.do(t, chromedp.KeyEvent(kb.Tab))
	}
	if got := focused(); got != "die" {
		t.Fatalf("Tab leads to %q, not to the die", got)
	}
	for _, c := range []struct{ name, key, chosen, title string }{
		{"enter rolls the fair die", kb.Enter, contract.DieFair, "You rolled"},
		{"space rolls the risky die", " ", contract.DieRisky, "502"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.chosen == contract.DieRisky {
				tab.watch.allowStatus(l.frontend + "/roll")
				tab.do(t, chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)), chromedp.KeyEvent(kb.ArrowDown))
			}
			if got := eval[string](t, tab, `document.getElementById("die").value`); got != c.chosen || focused() != "die" {
				t.Fatalf("the die is %q with the focus on %q, want %q on die", got, focused(), c.chosen)
			}
			tab.do(t, chromedp.KeyEvent(kb.Tab))
			if got := focused(); got != "roll-button" {
				t.Fatalf("after the die comes %q, want roll-button", got)
			}
			eval[int](t, tab, `labels.length = 0`)
			tab.do(t, chromedp.KeyEvent(c.key))
			tab.until(t, `!!document.querySelector("#result .result[data-die=`+c.chosen+`]") && labels.at(-1) === "Roll/false"`)
			if got := focused(); got != "roll-button" {
				t.Errorf("after the roll the focus is on %q, want roll-button", got)
			}
			if got := eval[[]string](t, tab, `labels`); !slices.Contains(got, "Rolling…/true") {
				t.Errorf("the button said %q, want Rolling… in between", got)
			}
			if !eval[bool](t, tab, `document.getElementById("result") === region && region.getAttribute("aria-live") === "polite"`) {
				t.Error("the result is not in the live region that the page began with")
			}
			if got := tab.texts(t, "#result h2"); len(got) != 1 || !strings.Contains(got[0], c.title) {
				t.Errorf("announced %q, want %q in it", got, c.title)
			}
		})
	}
}

// TestRollWithoutJavaScript rolls by an ordinary form.
func TestRollWithoutJavaScript(t *testing.T) {
	l := startLab(t, sure...)
	tab := startBrowser(t).tab(t, l.hosts()...)
	if _, err := chromedp.Call(tab.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	tab.open(t, l.frontend)
	for _, c := range []struct {
		die, title string
		status     int64
	}{
		{contract.DieFair, "You rolled", http.StatusOK},
		{contract.DieRisky, "502", http.StatusBadGateway},
	} {
		t.Run(c.die, func(t *testing.T) {
			if c.status != http.StatusOK {
				tab.watch.allowStatus(l.frontend + "/roll")
			}
			tab.do(t, chromedp.SetValue(chromedp.ID("die"), c.die))
			ctx, cancel := context.WithTimeout(tab.ctx, patience)
			defer cancel()
			resp, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS("#roll-button")))
			if err != nil {
				t.Fatalf("posting the form: %v", err)
			}
			if resp.Status != c.status {
				t.Errorf("status %d, want %d", resp.Status, c.status)
			}
			if got := tab.texts(t, "#result h2"); len(got) != 1 || !strings.Contains(got[0], c.title) {
				t.Errorf("the result is %q, want %q in it", got, c.title)
			}
			id := eval[string](t, tab, traceID)
			if sent := tab.texts(t, ".traceparent"); len(sent) != 1 || !strings.HasPrefix(sent[0], "00-"+id+"-") {
				t.Errorf("traceparent %q does not carry the trace ID %s", sent, id)
			}
			if got := eval[string](t, tab, `document.getElementById("die").value`); got != c.die {
				t.Errorf("the die is %q after the roll, want %q as it was chosen", got, c.die)
			}
			// What needs JavaScript is not offered.
			if eval[bool](t, tab, `document.querySelector(".copy").checkVisibility() || document.getElementById("history").checkVisibility()`) {
				t.Error("the page offers what does not work without JavaScript")
			}
		})
	}
}

// TestRollsOfAVisit follows rolls to their traces and back.
func TestRollsOfAVisit(t *testing.T) {
	l := startLab(t, sure...)
	chrome := startBrowser(t)
	tab := chrome.tab(t, l.hosts()...)
	tab.watch.allowStatus(l.frontend + "/roll")
	tab.open(t, l.frontend)
	rolled := map[string]string{}
	for _, die := range contract.Dice() {
		tab.do(t, chromedp.SetValue(chromedp.ID("die"), die))
		tab.click(t, "#roll-button")
		tab.until(t, `!!document.querySelector("#result .result[data-die=`+die+`]")`)
		rolled[die] = eval[string](t, tab, traceID)
	}

	t.Run("a failed roll has its trace info", func(t *testing.T) {
		if got := tab.texts(t, "#result h2"); !slices.Equal(got, []string{"Bad Gateway 502"}) {
			t.Errorf("the result is %q, want Bad Gateway 502", got)
		}
		if got := eval[string](t, tab, `document.getElementById("trace-link").href`); got != l.explorer+"/traces/"+rolled[contract.DieRisky] {
			t.Errorf("the trace is at %q", got)
		}
		if got := eval[string](t, tab, `document.getElementById("logs-link").href`); got != l.explorer+"/logs?trace_id="+rolled[contract.DieRisky] {
			t.Errorf("the logs are at %q", got)
		}
	})

	t.Run("the copy button copies the trace ID", func(t *testing.T) {
		for _, name := range []string{"clipboard-read", "clipboard-write"} {
			if _, err := chromedp.CallBrowser(chrome.ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
				Permission: &cdpbrowser.PermissionDescriptor{Name: name}, Setting: cdpbrowser.PermissionSettingGranted, Origin: l.frontend}); err != nil {
				t.Fatal(err)
			}
		}
		tab.click(t, "#result .copy")
		tab.until(t, `document.querySelector("#result .copy").textContent === "Copied"`)
		if got := eval[string](t, tab, `navigator.clipboard.readText()`, chromedp.EvalAwaitPromise); got != rolled[contract.DieRisky] {
			t.Errorf("copied %q, want %q", got, rolled[contract.DieRisky])
		}
	})

	want := []string{"failed · 502 risky " + rolled[contract.DieRisky][:8], "rolled fair " + rolled[contract.DieFair][:8]}
	list := func(t *testing.T) {
		t.Helper()
		got := eval[[]string](t, tab, `[...document.querySelectorAll("#history li")].map(li => [...li.children].slice(1).map(e => e.textContent).join(" ").replace(/rolled [1-6]/, "rolled"))`)
		if !slices.Equal(got, want) {
			t.Errorf("the rolls of this visit are %q, want %q", got, want)
		}
	}
	t.Run("rolls stay listed", func(t *testing.T) {
		list(t)
		l.download(t, rolled[contract.DieFair], 5)
		tab.follow(t, "#history li:last-child a", "/traces/"+rolled[contract.DieFair])
		tab.do(t, chromedp.NavigateBack())
		tab.until(t, `document.querySelectorAll("#history li").length > 0`)
		list(t)
		tab.do(t, chromedp.Reload())
		list(t)
	})

	t.Run("rolls are forgotten when asked", func(t *testing.T) {
		tab.click(t, "#forget")
		tab.until(t, `document.querySelectorAll("#history li").length === 0 && document.getElementById("history").hidden`)
		if got := eval[string](t, tab, `document.activeElement.id`); got != "die" {
			t.Errorf("the focus is on %q, want die: the button that had it is gone", got)
		}
	})
}

// TestFaultSwitch switches a fault on, on the page, sees it, and switches it
// off again.
func TestFaultSwitch(t *testing.T) {
	l := startLab(t, append([]string{"--fault-switches"}, sure...)...)
	tab := startBrowser(t).tab(t, l.hosts()...)
	tab.open(t, l.frontend)
	button := func(state string) string {
		return `[aria-label="Switch no-propagation of streamlit-frontend ` + state + `"]`
	}
	roll := func(t *testing.T) {
		tab.click(t, "#roll-button")
		tab.until(t, `!!document.querySelector("#result .result")`)
	}
	tab.click(t, button("on"))
	tab.until(t, `!!document.querySelector(`+quote(button("off"))+`)`)
	if got := tab.texts(t, "#faults li.on code"); !slices.Equal(got, []string{"no-propagation"}) {
		t.Errorf("switched on: %q, want no-propagation alone", got)
	}
	roll(t)
	if got := strings.Join(tab.texts(t, "#result .notice"), ""); !strings.Contains(got, "No traceparent went to the dice roller") {
		t.Errorf("the roll says %q, want that no traceparent went out", got)
	}
	id := eval[string](t, tab, traceID)
	l.download(t, id, 3) // the roller's two are a trace of their own
	tab.follow(t, "#trace-link", "/traces/"+id)
	if got := eval[int](t, tab, `document.querySelectorAll(".span").length`); got != 3 {
		t.Errorf("the page of the trace shows %d spans, want 3", got)
	}
	if got := tab.texts(t, ".hop .notice, .hops > p"); len(got) != 1 || !strings.Contains(got[0], "no traceparent was passed on") {
		t.Errorf("the trace says %q about its hops", got)
	}
	tab.open(t, l.frontend)
	tab.click(t, button("off"))
	tab.until(t, `!!document.querySelector(`+quote(button("on"))+`)`)
	roll(t)
	id = eval[string](t, tab, traceID)
	l.download(t, id, 5)
	tab.follow(t, "#trace-link", "/traces/"+id)
	if got := eval[int](t, tab, `document.querySelectorAll(".span").length`); got != 5 {
		t.Errorf("the page of the next trace shows %d spans, want 5", got)
	}
}

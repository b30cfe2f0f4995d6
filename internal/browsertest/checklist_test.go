package browsertest_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestChecklist runs the checklist from the keyboard, without JavaScript on the
// page and with it.
func TestChecklist(t *testing.T) {
	l := startLab(t, "--max-delay", "10ms", "--error-rate", "0.5")
	tab := startBrowser(t).tab(t, l.hosts()...)
	for _, c := range []struct {
		name     string
		scripted bool
		pressed  string
	}{{"without JavaScript", false, "Run the checklist"}, {"with JavaScript", true, "Run again"}} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := chromedp.Call(tab.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !c.scripted}); err != nil {
				t.Fatal(err)
			}
			tab.open(t, l.explorer+"/checklist")
			tab.do(t, chromedp.Focus(chromedp.CSS("main form select")))
			tab.do(t, chromedp.KeyEvent("Frontend UI"), chromedp.KeyEvent(kb.Tab)) // typing chooses, Tab goes to the button
			if got := eval[string](t, tab, `document.activeElement.textContent`); got != c.pressed {
				t.Fatalf("the focus is on %q", got)
			}
			tab.do(t, chromedp.KeyEvent(kb.Enter))
			tab.until(t, `document.readyState === "complete" && !!document.getElementById("verdict")`)
			// Of all that told how far the run had come the last is shown.
			shown := eval[[]string](t, tab, `[...document.querySelectorAll(".progress")].filter(e => e.checkVisibility()).map(e => e.querySelector("b").textContent)`)
			if got := strings.Join(shown, ", "); got != "5 of 5" {
				t.Errorf("shown as progress: %q", got)
			}
			if top, list := eval[float64](t, tab, `document.querySelector(".progress.ended").getBoundingClientRect().top`), eval[float64](t, tab, `document.querySelector(".checks h2").getBoundingClientRect().top`); top > list {
				t.Errorf("the progress stands at %v px, below the results at %v px", top, list)
			}
			if got := tab.texts(t, ".check.pass .check-name"); len(got) != 5 {
				t.Errorf("what holds: %q", got)
			}
			if got := eval[bool](t, tab, `document.querySelector(".check [data-copy]").hidden`); got == c.scripted {
				t.Errorf("that a button to copy is hidden is %v", got)
			}
			tab.open(t, l.explorer+"/checklist")
			if got := tab.texts(t, ".verdict h2"); len(got) != 1 || got[0] != "✓ All that applies holds" {
				t.Errorf("verdict %q", got)
			}
		})
	}
}

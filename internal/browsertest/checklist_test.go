package browsertest_test

import (
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
			eval[bool](t, tab, `document.body.dataset.before = "1", true`) // until the next page
			tab.do(t, chromedp.KeyEvent(kb.Enter))
			tab.until(t, `!document.body.dataset.before && document.readyState === "complete" && !!document.querySelector("#verdict:not([data-again])")`)
			if got := tab.texts(t, "#verdict h2"); len(got) != 1 || got[0] != "✓ All passed" {
				t.Errorf("verdict %q", got)
			}
			if got := tab.texts(t, "#verdict .counts .n"); len(got) != 3 || got[0] != "✓ 5 passed" || got[1] != "✗ 0 failed" {
				t.Errorf("counts %q", got)
			}
			top := func(selector string) float64 {
				return eval[float64](t, tab, `document.querySelector("`+selector+`").getBoundingClientRect().top`)
			}
			if verdict, list := top("#verdict"), top("#checks-run > .plan"); verdict > list {
				t.Errorf("the verdict stands at %v px, below the results at %v px", verdict, list)
			}
			if got := tab.texts(t, ".check.pass .check-name"); len(got) != 5 {
				t.Errorf("checks that passed: %q", got)
			}
			if got := eval[bool](t, tab, `document.querySelector(".check [data-copy]").hidden`); got == c.scripted {
				t.Errorf("that a button to copy is hidden is %v", got)
			}
		})
	}
}

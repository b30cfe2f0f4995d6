package browsertest_test

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"dicelab/internal/contract"
)

// TestReading checks what the script adds to the data pages: lines that are pushed, a
// refresh that does not move what is read, a range of time chosen in a chart, and keys.
func TestReading(t *testing.T) {
	l := startLab(t, sure...)
	for range 12 {
		l.roll(t, contract.DieFair, http.StatusOK)
	}
	tab := startBrowser(t).tab(t, l.hosts()...)
	tab.open(t, l.explorer+"/logs")
	tab.until(t, `document.querySelectorAll(".log").length >= 40`, chromedp.Reload())
	const count = `document.querySelectorAll(".log").length`

	t.Run("live tail", func(t *testing.T) {
		tab.click(t, "[data-tail]")
		tab.until(t, `document.querySelector("[data-tail]").textContent === "Live tail: on"`)
		before := eval[int](t, tab, count)
		l.roll(t, contract.DieFair, http.StatusOK)
		tab.until(t, count+` === `+jsNumber(float64(before+4)))
		first := eval[string](t, tab, `document.querySelector(".log").id`)

		// While a line is open, what comes waits, and the page says how much.
		tab.click(t, ".log:nth-of-type(3) > summary")
		l.roll(t, contract.DieFair, http.StatusOK)
		tab.until(t, `document.querySelector(".news").textContent.startsWith("4 new lines")`)
		if got := eval[string](t, tab, `document.querySelector(".log").id`); got != first {
			t.Errorf("the list has moved: it begins with %s, not with %s", got, first)
		}
		tab.click(t, ".news")
		tab.until(t, count+` === `+jsNumber(float64(before+8)))
		tab.click(t, "[data-tail]")
	})

	t.Run("refresh", func(t *testing.T) {
		tab.open(t, l.explorer+"/logs")
		tab.until(t, `document.readyState === "complete"`)
		before := eval[int](t, tab, count)
		at := eval[float64](t, tab, `(() => { scrollTo(0, 600); return scrollY })()`)
		l.roll(t, contract.DieFair, http.StatusOK)
		tab.do(t, chromedp.KeyEvent("r"))
		tab.until(t, `document.querySelector(".news").textContent.includes("new line")`, chromedp.KeyEvent("r"))
		if got := eval[float64](t, tab, `scrollY`); got != at || eval[int](t, tab, count) != before {
			t.Errorf("the page has moved from %v to %v, or has other lines", at, got)
		}
		tab.until(t, `document.querySelector(".news").textContent.startsWith("4 new lines")`, chromedp.KeyEvent("r"))
		tab.click(t, ".news")
		tab.until(t, count+` === `+jsNumber(float64(before+4)))
	})

	t.Run("keys", func(t *testing.T) {
		tab.do(t, chromedp.KeyEvent("?"))
		tab.until(t, `document.getElementById("keys").open`)
		tab.do(t, chromedp.KeyEvent(kb.Escape))
		tab.until(t, `!document.getElementById("keys").open`)
		tab.do(t, chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.KeyEvent(kb.Enter))
		tab.until(t, `document.querySelector(".log:nth-of-type(2)").open`)
		tab.do(t, chromedp.KeyEvent("/"))
		if got := eval[string](t, tab, `document.activeElement.name`); got != "text" {
			t.Errorf("/ leads to %q", got)
		}
		tab.do(t, chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("m"))
		tab.until(t, `document.querySelectorAll(".mark-row").length === 1 && document.readyState === "complete"`)
		tab.do(t, chromedp.KeyEvent("g"), chromedp.KeyEvent("t"))
		tab.until(t, `location.pathname === "/traces" && document.readyState === "complete"`)
	})

	t.Run("range in a chart", func(t *testing.T) {
		tab.do(t, chromedp.Focus(chromedp.CSS(".chart-plot[tabindex]")))
		start := eval[float64](t, tab, `Number(document.querySelector(".chart-plot").dataset.start)`)
		end := eval[float64](t, tab, `Number(document.querySelector(".chart-plot").dataset.end)`)
		for range 3 {
			tab.do(t, chromedp.KeyEvent(kb.ArrowLeft, chromedp.KeyModifiers(chromedp.ModifierShift)))
		}
		tab.do(t, chromedp.KeyEvent(kb.Enter))
		const asked = `(Date.parse(new URLSearchParams(location.search).get("end")) - Date.parse(new URLSearchParams(location.search).get("start")))`
		tab.until(t, `location.search.includes("start=") && document.readyState === "complete"`)
		if got, want := eval[float64](t, tab, asked), (end-start)*.06; got < want-2 || got > want+2 {
			t.Errorf("three steps are %v ms, want %v", got, want)
		}
		// The same with the pointer: from a quarter to the half of the chart.
		tab.open(t, l.explorer+"/logs")
		tab.until(t, `!!document.querySelector(".chart-plot[tabindex]")`)
		box := eval[[4]float64](t, tab, `(() => { const r = document.querySelector(".chart-plot").getBoundingClientRect(); return [r.left, r.top, r.width, r.height] })()`)
		y := box[1] + box[3]/4
		eval[bool](t, tab, `(() => {
			const plot = document.querySelector(".chart-plot"), at = (x) => ({ clientX: x, clientY: `+jsNumber(y)+`, button: 0, pointerType: "mouse", bubbles: true, cancelable: true });
			plot.dispatchEvent(new PointerEvent("pointerdown", at(`+jsNumber(box[0]+box[2]/4)+`)));
			window.dispatchEvent(new PointerEvent("pointermove", at(`+jsNumber(box[0]+box[2]/2)+`)));
			window.dispatchEvent(new PointerEvent("pointerup", at(`+jsNumber(box[0]+box[2]/2)+`)));
			return true })()`)
		tab.until(t, `location.search.includes("start=") && document.readyState === "complete"`)
		if got := eval[float64](t, tab, asked) / 60_000; got < 3.7 || got > 3.8 {
			t.Errorf("a quarter of 15 minutes is %v minutes", got)
		}
	})
}

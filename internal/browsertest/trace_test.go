package browsertest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"dicelab/internal/contract"
)

// order sends the trace of an order, whose 40 queries are alike and whose charge failed, and returns its ID.
func (l *lab) order(t *testing.T) string {
	t.Helper()
	const id = "0af7651916cd43dd8448eb211c80319c"
	base := time.Now().Add(-time.Minute)
	at := func(ms int) string { return fmt.Sprint(base.Add(time.Duration(ms) * time.Millisecond).UnixNano()) }
	span := func(n, parent int, name string, kind, from, to int, failed string) map[string]any {
		s := map[string]any{"traceId": id, "spanId": fmt.Sprintf("%016x", n), "name": name, "kind": kind,
			"startTimeUnixNano": at(from), "endTimeUnixNano": at(to),
			"attributes": []any{map[string]any{"key": "shop",
				"value": map[string]any{"stringValue": fmt.Sprint("number ", n)}}}}
		if parent > 0 {
			s["parentSpanId"] = fmt.Sprintf("%016x", parent)
		}
		if failed != "" {
			s["status"] = map[string]any{"code": 2, "message": failed}
		}
		return s
	}
	spans := []any{span(1, 0, "POST /order", 2, 0, 1000, ""), span(2, 1, "prices", 1, 50, 350, ""), span(3, 1, "charge",
		1, 400, 900, "no answer")}
	for i := range 40 {
		spans = append(spans, span(100+i, 2, "SELECT price", 3, 60+7*i, 65+7*i, ""))
	}
	body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource": map[string]any{"attributes": []any{map[string]any{"key": "service.name",
			"value": map[string]any{"stringValue": "shop"}}}},
		"scopeSpans": []any{map[string]any{"spans": spans}}}}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(l.parts["otlp http"]+"/v1/traces", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("sending a trace: %s, %v", resp.Status, err)
	}
	l.download(t, id, len(spans))
	return id
}

// rowsJS lists the rows that are seen, by the name and what follows it.
const rowsJS = `[...document.querySelectorAll(".waterfall :is(.span, .group)")].filter(r => r.checkVisibility()).map(r => r.querySelector(".wf-label b").textContent)`

// TestTraceKeys walks a waterfall with the keyboard: rows, folding, details beside them, failed spans.
func TestTraceKeys(t *testing.T) {
	l := startLab(t, sure...)
	id := l.order(t)
	tab := startBrowser(t).tab(t, l.hosts()...)
	tab.open(t, l.explorer+"/traces/"+id)
	rows := func(want ...string) {
		t.Helper()
		if got := eval[[]string](t, tab, rowsJS); strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("rows %q, want %q", got, want)
		}
	}
	press := func(keys ...string) {
		t.Helper()
		for _, k := range keys {
			tab.do(t, chromedp.KeyEvent(k))
		}
	}
	at := func(want string) {
		t.Helper()
		tab.until(t,
			`(document.activeElement.closest(".span, .group")?.querySelector(".wf-label b").textContent ?? "") === `+quote(want))
	}
	rows("POST /order", "prices", "40 × SELECT price", "charge")
	if got := eval[int](t, tab,
		`document.querySelectorAll(".waterfall summary.wf-row:not([tabindex='-1'])").length`); got != 1 {
		t.Errorf("the tab key stops at %d rows, want 1", got)
	}
	press("j")
	at("POST /order")
	press(kb.ArrowDown)
	at("prices")
	press(kb.ArrowLeft)
	rows("POST /order", "prices", "charge")
	if got := tab.texts(t, ".badge.folded"); len(got) != 1 || got[0] != "▸ 40" {
		t.Errorf("the folded row says %q", got)
	}
	press(kb.ArrowRight)
	rows("POST /order", "prices", "40 × SELECT price", "charge")
	press("]")
	at("charge")
	press(kb.Enter)
	tab.until(t,
		`document.querySelector("#drawer h2")?.textContent === "charge" && document.querySelector("#drawer").textContent.includes("number 3")`)
	press("k", "k") // the details follow
	tab.until(t,
		`document.querySelector("#drawer h2").textContent === "prices" && new URLSearchParams(location.search).get("span") === "0000000000000002"`)
	press(kb.Escape)
	tab.until(t, `document.querySelector("#drawer").hidden`)
	at("prices")
}

// TestTraceSearch types a search, which marks spans at once, and zooms by dragging.
func TestTraceSearch(t *testing.T) {
	l := startLab(t, sure...)
	id := l.order(t)
	tab := startBrowser(t).tab(t, l.hosts()...)
	tab.open(t, l.explorer+"/traces/"+id)
	// A key event of the protocol would also write the key's character into the field.
	eval[bool](t, tab,
		`document.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true, cancelable: true }))`)
	tab.until(t, `document.activeElement.matches("[data-find]")`)
	tab.do(t, chromedp.SendKeys(chromedp.CSS("[data-find]"), "number 1"))
	tab.until(t,
		`document.querySelector(".wf-found")?.textContent.trim().startsWith("41 of 43 spans") && document.querySelectorAll(".span.match").length === 41`)
	if got := eval[bool](t, tab,
		`document.activeElement.matches("[data-find]") && document.activeElement.value === "number 1"`); !got {
		t.Error("the field has lost the focus or its text")
	}
	tab.do(t, chromedp.KeyEvent(kb.Enter))
	tab.until(t,
		`new URLSearchParams(location.search).get("span") === "0000000000000001" && !document.querySelector("#drawer").hidden`)
	box := eval[struct{ X, Y, W float64 }](t, tab, `(() => { const m = document.querySelector(".map"); m.scrollIntoView({ block: "center" });
		const b = m.getBoundingClientRect(); return { X: b.x, Y: b.y + 20, W: b.width } })()`)
	tab.do(t, chromedp.MouseEvent(chromedp.MousePressed, box.X+box.W*.4, box.Y, chromedp.ButtonLeft,
		chromedp.ClickCount(1)),
		chromedp.MouseEvent(chromedp.MouseMoved, box.X+box.W*.9, box.Y, chromedp.ButtonLeft),
		chromedp.MouseEvent(chromedp.MouseReleased, box.X+box.W*.9, box.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	tab.until(t, `(document.querySelector(".map-moves span")?.textContent ?? "").startsWith("400 ms to 900 ms")`)
}

// TestWaterfallContrast checks the drawing of a waterfall against WCAG 2.2, 1.4.11: 3.
func TestWaterfallContrast(t *testing.T) {
	l := startLab(t, sure...)
	id := l.roll(t, contract.DieFair, http.StatusOK)
	l.download(t, id, 5)
	tab := startBrowser(t).tab(t, l.hosts()...)
	tab.open(t, l.explorer+"/traces/"+id)
	tab.until(t, `document.querySelectorAll(".span").length === 5`, chromedp.Reload())
	for _, scheme := range []string{light, dark} {
		tab.look(t, wide, scheme)
		ground := parseRGB(t, eval[string](t, tab,
			`getComputedStyle(document.querySelector(".waterfall")).backgroundColor`))
		for _, selector := range []string{".waterfall .bar", ".waterfall .path", ".mark path", ".map-lines path",
			".pills .pill", "[data-find]"} {
			property := "fill"
			switch {
			case strings.HasPrefix(selector, ".map"):
				property = "stroke"
			case selector == ".pills .pill" || selector == "[data-find]":
				property = "borderTopColor"
			}
			for _, colour := range eval[[]string](t, tab,
				`[...document.querySelectorAll(`+quote(selector)+`)].map(e => getComputedStyle(e).`+property+`)`) {
				if got := contrast(parseRGB(t, colour), ground); got < 3 {
					t.Errorf("%s: %s of %s has a contrast of %.2f, want at least 3", scheme, property, selector, got)
				}
			}
		}
	}
}

// parseRGB reads rgb(r, g, b) into parts from 0 to 1.
func parseRGB(t *testing.T, s string) (c [3]float64) {
	t.Helper()
	var n [3]int
	if _, err := fmt.Sscanf(s, "rgb(%d, %d, %d)", &n[0], &n[1], &n[2]); err != nil {
		t.Fatalf("a colour %q, want rgb(r, g, b): %v", s, err)
	}
	for i := range c {
		c[i] = float64(n[i]) / 255
	}
	return c
}

package browsertest_test

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is a running Chromium with a fresh profile.
type browser struct{ ctx context.Context }

// startBrowser starts Chromium and ends it with the test.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.Flag("headless", "new"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		// Whatever a page should want from elsewhere, it does not get it.
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
	)...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); cancelAlloc() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return &browser{ctx}
}

// chromium finds the browser.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell",
		"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("the page tests need Chromium; on Debian: sudo apt-get install chromium; on macOS: brew install --cask chromium")
	return ""
}

// tab is a page of the browser. Its methods end the test when they fail.
type tab struct {
	ctx   context.Context
	watch *watch
}

// tab opens a tab that may ask the given hosts, and holds at the end of the
// test that it did nothing that a page may not do.
func (b *browser) tab(t *testing.T, hosts ...string) *tab {
	t.Helper()
	w := &watch{hosts: hosts}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(w.event))
	t.Cleanup(cancel)
	t.Cleanup(func() {
		complaints, _ := w.take()
		for _, c := range complaints {
			t.Error(c)
		}
	})
	// The first run opens the tab, which lives as long as the context of that run.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	p := &tab{ctx, w}
	p.look(t, wide, light)
	return p
}

// The sizes, in CSS pixels, and colour schemes that pages are looked at in.
const (
	wide   = 1400
	narrow = 400
	light  = "light"
	dark   = "dark"
)

// look sets width and colour scheme. Nothing moves, so that what is measured or
// drawn next is final.
func (p *tab) look(t *testing.T, width int64, scheme string) {
	t.Helper()
	p.do(t, chromedp.EmulateViewport(width, 900))
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err != nil {
		t.Fatalf("choosing the colour scheme: %v", err)
	}
}

// do runs actions, each within patience.
func (p *tab) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for _, a := range actions {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		err := chromedp.Do(ctx, a)
		cancel()
		if err != nil {
			t.Fatalf("%v, at %s", err, p.where())
		}
	}
}

// open loads a page. It tries again where Chromium aborts that for another page
// which the tab was about to load.
func (p *tab) open(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	for {
		err := chromedp.Do(ctx, chromedp.Navigate(url))
		if err == nil {
			return
		}
		if ctx.Err() != nil || !strings.Contains(err.Error(), "net::ERR_ABORTED") {
			t.Fatalf("opening %s: %v, at %s", url, err, p.where())
		}
	}
}

// click clicks the one element that a CSS selector finds.
func (p *tab) click(t *testing.T, selector string) {
	t.Helper()
	if n := eval[int](t, p, `document.querySelectorAll(`+quote(selector)+`).length`); n == 0 {
		t.Fatalf("nothing to click: no element matches %s at %s", selector, p.where())
	}
	p.do(t, chromedp.Click(chromedp.CSS(selector)))
}

// eval reads a value out of the page.
func eval[T any](t *testing.T, p *tab, js string, options ...chromedp.EvaluateOption) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, options...))
	if err != nil {
		t.Fatalf("evaluating %s at %s: %v", js, p.where(), err)
	}
	return v
}

// follow clicks a link and waits until the page at its path has loaded.
func (p *tab) follow(t *testing.T, selector, path string) {
	t.Helper()
	p.click(t, selector)
	p.until(t, `location.pathname === `+quote(path)+` && document.readyState === "complete"`)
}

// until waits until a JavaScript condition holds, across navigations. Between
// the tries it does again, such as loading a page that else stays as it is.
func (p *tab) until(t *testing.T, js string, again ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](js))
		if ok && err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v in vain for %s at %s (%v); the page says:\n%s", patience, js, p.where(), err, p.text())
		case <-tick.C:
			// A failure shows in the next try, or the one after: pages come and go.
			_ = chromedp.Do(ctx, again...)
		}
	}
}

// where returns the address, for an error message.
func (p *tab) where() string { return p.say(chromedp.Location()) }

// text returns the text of the page, for an error message.
func (p *tab) text() string { return p.say(chromedp.Evaluate[string](`document.body.innerText`)) }

func (p *tab) say(what chromedp.Action[string]) string {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	s, err := chromedp.Run(ctx, what)
	if err != nil {
		return "(unknown: " + err.Error() + ")"
	}
	return s
}

// texts returns the texts of all elements that a selector finds, each on one line.
func (p *tab) texts(t *testing.T, selector string) []string {
	t.Helper()
	return eval[[]string](t, p, `[...document.querySelectorAll(`+quote(selector)+`)].map(e => e.textContent.replace(/\s+/g, " ").trim())`)
}

// jsNumber writes a number as JavaScript does.
func jsNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// quote writes s as a JavaScript string.
func quote(s string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`", "${", "\\${").Replace(s) + "`"
}

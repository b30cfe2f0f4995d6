package browsertest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dicelab/internal/contract"
)

// logLine is a line as the logs page lists it.
type logLine struct {
	Service string `json:"service"`
	Message string `json:"message"`
	Level   string `json:"level"`
	Marked  bool   `json:"marked"`
}

// lines returns the lines that the logs page lists, the oldest first.
func lines(t *testing.T, p *tab) []logLine {
	t.Helper()
	return eval[[]logLine](t, p, `[...document.querySelectorAll(".log")].map(l => ({
		service: l.querySelector(".log-service").textContent.trim(),
		message: l.querySelector(".log-message").firstChild.data.trim(),
		level: l.querySelector(".log-level").textContent.trim(),
		marked: l.classList.contains("marked"),
	}))`)
}

// TestLinks walks every way that leads from one signal to another.
func TestLinks(t *testing.T) {
	l := startLab(t, sure...)
	tab := startBrowser(t).tab(t, l.hosts()...)
	tab.open(t, l.frontend)
	tab.click(t, "#roll-button")
	tab.until(t, `!!document.querySelector("#trace-link")`)
	id := eval[string](t, tab, traceID)
	l.download(t, id, 5)

	t.Run("roll to trace", func(t *testing.T) {
		tab.follow(t, "#trace-link", "/traces/"+id)
		tab.until(t, `document.querySelectorAll(".span").length === 5`, chromedp.Reload())
		if got := eval[string](t, tab, `location.href`); got != l.explorer+"/traces/"+id {
			t.Errorf("the link leads to %s", got)
		}
		want := []string{contract.SpanFrontendRoll + " " + contract.ServiceFrontend, contract.SpanButtonClick + " " + contract.ServiceFrontend,
			contract.SpanClient + " " + contract.ServiceFrontend, contract.SpanRollerRoll + " " + contract.ServiceRoller, contract.SpanRoll + " " + contract.ServiceRoller}
		if got := tab.texts(t, ".span .wf-label"); !slices.Equal(got, want) {
			t.Errorf("spans %q, want %q", got, want)
		}
		if got := eval[[]string](t, tab, `[...document.querySelectorAll(".span")].map(s => s.dataset.depth)`); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
			t.Errorf("depths %q: each span is the parent of the next", got)
		}
	})

	roll := `.span:nth-of-type(5)`
	rollerLines := []logLine{
		{contract.ServiceRoller, contract.MsgRollReceived, contract.LevelInfo, false},
		{contract.ServiceRoller, contract.MsgRollCompleted, contract.LevelInfo, true},
	}
	t.Run("span to its logs", func(t *testing.T) {
		span := eval[string](t, tab, `document.querySelector(`+quote(roll)+`).dataset.span`)
		tab.click(t, roll+" > summary")
		tab.follow(t, "#drawer .actions a", "/logs")
		tab.until(t, `document.querySelectorAll(".log").length === 2`, chromedp.Reload())
		if got := lines(t, tab); !slices.Equal(got, rollerLines) {
			t.Errorf("lines %+v, want %+v", got, rollerLines)
		}
		if got := tab.texts(t, ".head h2 .badge"); !slices.Equal(got, []string{"1 of span " + span}) {
			t.Errorf("marked: %q", got)
		}
	})

	t.Run("log line to its span", func(t *testing.T) {
		tab.click(t, ".log.marked .log-trace a")
		tab.until(t, `document.querySelector("#drawer h2")?.textContent === "roll" && !!document.querySelector(`+quote(roll+".selected")+`)`)
		if got := eval[string](t, tab, `location.pathname + location.search`); got != "/traces/"+id+"?span="+eval[string](t, tab, `document.querySelector(`+quote(roll)+`).dataset.span`) {
			t.Errorf("the link leads to %s", got)
		}
	})

	t.Run("trace to its logs", func(t *testing.T) {
		tab.follow(t, ".head .actions a", "/logs")
		tab.until(t, `document.querySelectorAll(".log").length === 4`, chromedp.Reload())
		want := []logLine{
			{contract.ServiceFrontend, contract.MsgButtonClicked, contract.LevelInfo, false},
			{contract.ServiceRoller, contract.MsgRollReceived, contract.LevelInfo, false},
			{contract.ServiceRoller, contract.MsgRollCompleted, contract.LevelInfo, false},
			{contract.ServiceFrontend, contract.MsgBackendResponse, contract.LevelInfo, false},
		}
		if got := lines(t, tab); !slices.Equal(got, want) {
			t.Errorf("lines %+v, want %+v", got, want)
		}
		tab.follow(t, ".head h2 + a", "/traces/"+id)
	})

	t.Run("exemplar to trace", func(t *testing.T) {
		failed := l.roll(t, contract.DieRisky, http.StatusBadGateway)
		tab.open(t, l.explorer+"/metrics?since=5m")
		tab.click(t, "[data-auto]") // dots come with the next scrape, and the page shows them by itself
		tab.until(t, `!!document.querySelector('a[href="/traces/`+failed+`"] .c-exemplar')`)
		tab.click(t, "[data-auto]")  // what is clicked next should stay where it is,
		tab.do(t, chromedp.Reload()) // and a refresh may still be under way
		at := eval[struct{ X, Y float64 }](t, tab, `(() => {
			const dot = document.querySelector('a[href="/traces/`+failed+`"] .c-exemplar .mark');
			dot.scrollIntoView({ block: "center" });
			const box = dot.getBoundingClientRect();
			return { X: box.x + box.width / 2, Y: box.y + box.height / 2 };
		})()`)
		// Dots may lie on each other: the uppermost one is clicked.
		hit := eval[string](t, tab, `document.elementFromPoint(`+jsNumber(at.X)+`, `+jsNumber(at.Y)+`).closest("a").getAttribute("href")`)
		tab.do(t, chromedp.MouseClickXY(at.X, at.Y))
		tab.until(t, `location.pathname === `+quote(hit)+` && document.querySelectorAll(".span").length === 5`)
		if got := strings.TrimPrefix(hit, "/traces/"); got != failed && got != id {
			t.Errorf("the dot opens the trace %s, which no roll has; want %s or %s", got, failed, id)
		}
	})

	t.Run("trace to metrics", func(t *testing.T) {
		tab.open(t, l.explorer+"/traces/"+id)
		tab.follow(t, ".head .actions a:nth-of-type(2)", "/metrics")
		tab.until(t, `!!document.querySelector('a[href="/traces/`+id+`"] .c-exemplar')`)
	})

	t.Run("a trace that is not there yet", func(t *testing.T) {
		missing := l.explorer + "/traces/" + strings.Repeat("ab", 16)
		for _, try := range []string{"", "?try=1", "?try=2"} {
			tab.watch.allowStatus(missing + try)
		}
		tab.open(t, missing)
		tab.until(t, `location.search === "?try=1" && document.querySelector("h1").textContent === "Trace not found"`)
	})
}

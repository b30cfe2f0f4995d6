package explorer_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/grafana"
)

// panels returns those of a page by their titles.
func panels(t *testing.T, p node) map[string]node {
	t.Helper()
	out := map[string]node{}
	for _, s := range p.all("section.panel") {
		out[s.one(t, "h3").text()] = s
	}
	return out
}

// The page has every panel of Grafana's file, below the same headings and in the
// same order, and something in each.
func TestMetrics(t *testing.T) {
	p := page(t, start(t).handler, "/metrics?since=1h", 200)
	var want, got []string
	for _, panel := range grafana.Stage2().Panels {
		want = append(want, panel.Title)
	}
	for _, row := range p.all("section.panel-row") {
		got = append(got, row.one(t, "h2").text())
		for _, s := range row.all("section.panel") {
			got = append(got, s.one(t, "h3").text())
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("panels (-file +page):\n%s", d)
	}
	for title, s := range panels(t, p) {
		if len(s.all(".panel-empty")) > 0 || len(s.all(".notice")) > 0 {
			t.Errorf("%s: %s", title, s.text())
		}
		if s.one(t, ".about").one(t, "p").text() == "" || s.one(t, "summary").attr("aria-label") != "About "+title {
			t.Errorf("%s does not say what to look for", title)
		}
	}
}

func TestMetricsPanels(t *testing.T) {
	l := start(t)
	p := panels(t, page(t, l.handler, "/metrics?since=1h", 200))
	var exemplars []string
	for _, a := range p["Latency"].one(t, ".chart-plot").all("a") {
		exemplars = append(exemplars, a.attr("href"))
	}
	for _, id := range []string{traceFair, traceFailed, traceZeros} {
		if !slices.Contains(exemplars, "/traces/"+id) {
			t.Errorf("no exemplar leads to %s: %v", id, exemplars)
		}
	}
	if got := len(p["Latency"].all("path.line")); got != 3 {
		t.Errorf("%d quantiles", got)
	}
	if !p["Button clicks by die"].one(t, "path.line").hasClass("g-blue") {
		t.Error("the fair die is not blue, as in the file")
	}
	var bars []string
	for _, r := range p["Values of the risky die"].all("rect.bar") {
		bars = append(bars, r.text())
	}
	if d := cmp.Diff([]string{"2: 4 times", "3: 3 times", "4: 5 times", "5: 2 times", "6: 4 times", "7: 3 times"}, bars); d != "" {
		t.Errorf("values of the risky die:\n%s", d)
	}
	contains(t, p["Success rate"].text(), "93 %")
	contains(t, p["Rolls by die"].text(), "fair success 20", "risky success 20")
	contains(t, p["Traces"].one(t, ".stat").text(), "40")
	contains(t, p["Alerts firing"].one(t, ".stat").text(), "0")
	contains(t, p["Alerts"].text(), "quiet RollErrorRatioHigh firing TargetDown dice-roller at localhost:8101 does not answer, for 1 min 30 s")
	contains(t, p["Service graph"].text(), "user calls streamlit-frontend", "traffic-generator calls streamlit-frontend", "streamlit-frontend calls dice-roller: 0.0111 /s, 478 ms on average, 7.5 % failed")
	params(t, p["Service graph"].one(t, ".graph").one(t, "a").attr("href"), "/service")
	contains(t, p["Latency"].one(t, ".about").text(), `histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{job="dice-roller",handler="/roll"}[75s])))`)
	if got := params(t, p["Error logs"].one(t, ".about").link(t, "LogQL"), "/logs").Get("q"); !strings.Contains(got, `level="ERROR"`) {
		t.Errorf("the query leads to %s", got)
	}
	if steps := l.prometheus.asked("/query_range", "step"); !slices.Contains(steps, "60") {
		t.Errorf("steps are %v", steps)
	}
}

func TestMetricsLists(t *testing.T) {
	p := panels(t, page(t, start(t).handler, "/metrics?since=1h", 200))
	errors := p["Error logs"].one(t, ".panel-logs")
	for _, li := range errors.all("li") {
		contains(t, li.text(), "ERROR")
	}
	if got := errors.one(t, "a").attr("href"); !strings.HasPrefix(got, "/traces/"+traceFailed+"?span=") {
		t.Errorf("the first error leads to %s", got)
	}
	if got := p["Recent distributed traces"].one(t, ".traces").one(t, "a").attr("href"); got != "/traces/"+traceFair {
		t.Errorf("the first trace leads to %s", got)
	}
}

// What is chosen reaches every query that knows it, and stays chosen.
func TestMetricsVariables(t *testing.T) {
	l := start(t)
	p := page(t, l.handler, "/metrics?since=1h&var-die_type=risky&var-synthetic=traffic-generator", 200)
	for _, q := range append(l.prometheus.asked("/query_range", "query"), l.loki.asked("/query_range", "query")...) {
		if strings.Contains(q, "die_type=~") && !strings.Contains(q, `die_type=~"risky"`) {
			t.Errorf("not the chosen die: %s", q)
		}
	}
	got := panels(t, p)
	if text := got["Recent distributed traces"].one(t, ".traces").text(); strings.Contains(text, "traffic-generator") || strings.Contains(text, "fair") {
		t.Errorf("traces that were left out: %s", text)
	}
	if text := got["Service graph"].one(t, ".graph").text(); strings.Contains(text, "traffic-generator") {
		t.Errorf("calls that were left out: %s", text)
	}
	for _, o := range p.all("option[selected]") {
		if v := o.attr("value"); v != "risky" && v != "traffic-generator" {
			t.Errorf("%q is chosen", v)
		}
	}
	if q := params(t, p.one(t, "nav.ranges").link(t, "6h"), "/metrics"); q.Get("var-die_type") != "risky" {
		t.Errorf("6h leads to %v", q)
	}
	bad := page(t, l.handler, "/metrics?var-die_type="+url.QueryEscape(`"} or up`), 400)
	contains(t, bad.one(t, ".notice").text(), `variable die_type cannot be "\"} or up": choose one of $__all, fair, risky`)
}

// Each server that does not respond is reported once; the data of the others is shown.
func TestMetricsWithoutLoki(t *testing.T) {
	s := start(t)
	p := page(t, handler(t, s.prometheus.URL, unreachable, s.tempo.URL), "/metrics?since=1h", 200)
	if got := p.all(".notice"); len(got) != 1 {
		t.Errorf("%d notices", len(got))
	}
	contains(t, p.text(), "Loki cannot be reached")
	got := panels(t, p)
	contains(t, got["Recent logs"].one(t, ".panel-empty").text(), "Loki cannot be reached.")
	if len(got["Latency"].all("path.line")) != 3 {
		t.Error("no metrics")
	}
}

func (n node) hasClass(class string) bool {
	return slices.Contains(strings.Fields(n.attr("class")), class)
}

package chart_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dicelab/internal/explorer/chart"

	"github.com/google/go-cmp/cmp"
)

// found returns the first groups of a pattern's matches.
func found(text, pattern string) (out []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Join(m[1:], " "))
	}
	return out
}

func TestGauge(t *testing.T) {
	g := chart.Gauge{Label: "Success", Max: 1, Value: .93, Text: "93 %", Class: "good",
		Zones: []chart.Zone{{UpTo: .75, Class: "low"}, {UpTo: 1, Class: "high"}}}
	got := found(string(g.HTML()), `class="(gauge-\S+)(?: (\w+))?" d="[^"]*" pathLength="100" fill="none" stroke-dasharray="([\d.]+) 200" stroke-dashoffset="(-?[\d.]+)"`)
	if d := cmp.Diff([]string{"gauge-zone low 75.00 0.00", "gauge-zone high 25.00 -75.00", "gauge-track  100.00 0.00", "gauge-value good 93.00 0.00"}, got); d != "" {
		t.Errorf("arcs (-want +got):\n%s", d)
	}
	for value, want := range map[float64]string{-1: "gauge-track", 7: "100.00"} {
		g.Value = value
		arcs := found(string(g.HTML()), `class="(gauge-\w+)[^"]*" d="[^"]*" pathLength="100" fill="none" stroke-dasharray="([\d.]+)`)
		if last := arcs[len(arcs)-1]; !strings.Contains(last, want) {
			t.Errorf("%g is drawn as %s", value, last)
		}
	}
}

func TestMeters(t *testing.T) {
	m := chart.Meters{Label: "Rolls", Rows: []chart.Meter{{Name: "fair <1>", Text: "30", Value: 30, Class: "a"}, {Name: "risky", Text: "15", Value: 15, Class: "b"}, {Name: "none", Text: "0"}}}
	html := string(m.HTML())
	if d := cmp.Diff([]string{"a 100%", "b 50%"}, found(html, `class="bar (\w)" x="0" width="([\d.]+%)"`)); d != "" {
		t.Errorf("bars (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"fair &lt;1&gt;", "30", "risky", "15", "none", "0"}, found(html, `<text[^>]*>([^<]*)</text>`)); d != "" {
		t.Errorf("texts (-want +got):\n%s", d)
	}
}

// Callers stand to the left of what they call; two that are alike stand below each
// other, and a circle of calls is drawn, too.
func TestGraph(t *testing.T) {
	node := func(name string) chart.Node { return chart.Node{Name: name, Class: "c"} }
	edge := func(from, to string) chart.Edge {
		return chart.Edge{From: from, To: to, Text: "1 /s", Title: from + " to " + to}
	}
	g := chart.Graph{Label: "calls", Nodes: []chart.Node{node("roller"), node("user"), node("frontend"), node("traffic")},
		Edges: []chart.Edge{edge("user", "frontend"), edge("traffic", "frontend"), edge("frontend", "roller"), edge("roller", "frontend")}}
	html := string(g.HTML())
	if d := cmp.Diff([]string{"user 16.667%", "traffic 16.667%"}, places(html, "user", "traffic")); d != "" {
		t.Errorf("callers (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"frontend 50%", "roller 83.333%"}, places(html, "frontend", "roller")); d != "" {
		t.Errorf("called (-want +got):\n%s", d)
	}
	ys := found(html, `<circle cx="16.667%" cy="([\d.]+)"`)
	if len(ys) != 2 || ys[0] == ys[1] {
		t.Errorf("the callers are at %v", ys)
	}
	if got := found(html, `<title>([^<]*)</title>`); len(got) != 8 || got[3] != "roller to frontend" {
		t.Errorf("edges %v", got)
	}
	g.Nodes[0].Failed = .25
	if got := found(string(g.HTML()), `class="node-failed"[^>]* stroke-dasharray="([\d.]+) 100"`); len(got) != 1 || got[0] != "25.0" {
		t.Errorf("failed share %v", got)
	}
}

// TestGraphShowsEveryCall checks that calls of a service to itself, and those in both
// directions, are seen apart.
func TestGraphShowsEveryCall(t *testing.T) {
	html := string(chart.Graph{Nodes: []chart.Node{{Name: "a"}, {Name: "b"}},
		Edges: []chart.Edge{{From: "a", To: "b", Text: "there"}, {From: "b", To: "a", Text: "back"}, {From: "b", To: "b", Text: "itself"}}}.HTML())
	lines := found(html, `<line x1="[^"]*" y1="([^"]*)"`)
	if len(lines) != 2 || lines[0] == lines[1] {
		t.Errorf("both directions are at %v", lines)
	}
	if got := found(html, `<path (class="loop")`); len(got) != 1 {
		t.Errorf("%d loops", len(got))
	}
	contains := func(text string) {
		if len(found(html, `text-anchor="middle">(`+text+`)<`)) != 1 {
			t.Errorf("no text %q", text)
		}
	}
	contains("there")
	contains("back")
	contains("itself")
}

// TestGraphOfMany checks that hundreds of services do not make one column, and that long
// names are cut and whole on hover.
func TestGraphOfMany(t *testing.T) {
	g := chart.Graph{Nodes: []chart.Node{{Name: "gateway"}}}
	for i := range 100 {
		name := fmt.Sprintf("service with a long name, number %03d", i)
		g.Nodes = append(g.Nodes, chart.Node{Name: name})
		g.Edges = append(g.Edges, chart.Edge{From: "gateway", To: name})
	}
	html := string(g.HTML())
	columns := map[string]int{}
	for _, x := range found(html, `<circle cx="([^"]*)"`) {
		columns[x]++
	}
	for x, n := range columns {
		if n > 8 {
			t.Errorf("%d nodes stand at %s", n, x)
		}
	}
	if got := found(html, `class="node-name"[^>]*>(service[^<]*)<`); len(got) != 100 || got[0] != "service wit…" {
		t.Errorf("%d names, the first %q", len(got), got[:1])
	}
	if got := found(html, `<title>(service with a long name, number 099)</title>`); len(got) != 1 {
		t.Error("a whole name is missing")
	}
	if html := string(chart.Graph{}.HTML()); !strings.Contains(html, "<svg") {
		t.Error("a graph without nodes is not drawn")
	}
}

// TestAxisIsAsWideAsItsLabels checks that no label of the value axis is cut.
func TestAxisIsAsWideAsItsLabels(t *testing.T) {
	for format, least := range map[string]int{"%g": 52, "%.0f /min and more": 15 * 7} {
		html := string(chart.Bars{Format: func(v float64) string { return fmt.Sprintf(format, v) },
			Groups: []chart.Group{{Label: "a", Bars: []chart.Bar{{Value: 1}}}}}.HTML())
		width, err := strconv.Atoi(found(html, `class="chart-values" width="(\d+)"`)[0])
		if err != nil || width < least {
			t.Errorf("%s: %d pixels, want %d at least", format, width, least)
		}
		for _, x := range found(html, `<text x="(\d+)"[^>]*text-anchor="end"`) {
			if x != strconv.Itoa(width-8) {
				t.Errorf("%s: a label ends at %s of %d", format, x, width)
			}
		}
	}
}

// places returns the positions of nodes, from left to right.
func places(html string, names ...string) (out []string) {
	for _, n := range names {
		for _, x := range found(html, `class="node-name" x="([\d.]+%)"[^>]*>`+n+`<`) {
			out = append(out, n+" "+x)
		}
	}
	return out
}

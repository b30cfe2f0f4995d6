package grafana

import (
	"cmp"
	"net/url"
	"strings"

	"dicelab/internal/contract"
)

// The dashboard's names. The file is beside stack.go.
const (
	Stage2UID   = "dice-roller-stage2"
	Stage2Title = "Dice Roller - Stage 2 (with Frontend)"
	Stage2Path  = "grafana/dashboards/stage2-dashboard.json"
)

// Variables of the dashboard, besides those for data sources.
const (
	// VariableDie picks one die, or all.
	VariableDie = "die_type"
	// VariableSynthetic is a service that no trace shown may begin at: the traffic
	// generator, or none.
	VariableSynthetic = "synthetic"

	syntheticShown = "none" // no service is called so
)

// Stage2 returns the dashboard.
func Stage2() Dashboard {
	var g grid
	g.row("Front end", contract.ServiceFrontend, frontendPanels()...)
	g.row("Between the services", contract.ServiceRoller, betweenPanels()...)
	g.row("Dice roller", contract.ServiceRoller, rollerPanels()...)
	g.row("Logs", contract.ServiceRoller, logPanels()...)
	g.row("Health", contract.ServiceRoller, healthPanels()...)
	return Dashboard{
		UID: Stage2UID, Title: Stage2Title, Tags: []string{"dicelab"},
		Description: "Rolls of a die through two services: what each of them measures, what the way between them costs, and the traces and log lines behind the numbers.",
		Timezone:    "browser", GraphTooltip: 1, Time: TimeRange{From: "now-15m", To: "now"}, Refresh: "5s",
		SchemaVersion: 41, // Grafana 12.0; later ones bring older files up to date as they load them
		Annotations:   Annotations{List: []struct{}{}},
		Templating:    Templating{List: variables()},
		Links: []Link{
			link("Roll a die", "http://localhost:"+contract.PortFrontend, "The front end, where a roll begins"),
			link("Explorer", "http://localhost:"+contract.PortExplorer, "The lab's own pages over the same data"),
			drilldown("Traces Drilldown", "exploretraces-app/explore", url.Values{
				"var-ds": {UIDTempo}, "var-primarySignal": {"true"}, "var-metric": {"rate"}, "var-groupBy": {"resource.service.name"}, "actionView": {"breakdown"},
			}, "Rates, errors and durations of spans by any attribute, from TraceQL metrics"),
			drilldown("Logs Drilldown", "lokiexplore-app/explore", url.Values{"var-ds": {UIDLoki}}, "Log lines by service, label and field, without a query"),
			drilldown("Metrics Drilldown", "metricsdrilldown-app/drilldown", url.Values{"var-ds": {UIDPrometheus}}, "Every metric, by name and label, without a query"),
		},
		Panels: g.panels,
	}
}

func link(title, url, tooltip string) Link {
	return Link{Title: title, Type: "link", Icon: "external link", Tooltip: tooltip, URL: url, Tags: []string{}, TargetBlank: true}
}

// drilldown links to an app that Grafana 13 installs at its first start, over the
// dashboard's time range. path follows "/a/grafana-".
func drilldown(title, path string, query url.Values, tooltip string) Link {
	l := link(title, "/a/grafana-"+path+"?"+query.Encode(), tooltip)
	l.TargetBlank, l.KeepTime = false, true
	return l
}

func variables() []Variable {
	die := Variable{
		Type: variableCustom, Name: VariableDie, Label: "Die", Description: "The die whose rolls are shown. Panels that count requests of any kind do not know the die.",
		Query: strings.Join(contract.Dice(), ","), IncludeAll: true, AllValue: ".*",
		Current: Choice{Selected: true, Text: "All", Value: allChoice}, Options: []Choice{{Selected: true, Text: "All", Value: allChoice}},
	}
	for _, d := range contract.Dice() {
		die.Options = append(die.Options, Choice{Text: d, Value: d})
	}
	shown, leftOut := Choice{Selected: true, Text: "shown", Value: syntheticShown}, Choice{Text: "left out", Value: contract.ServiceTraffic}
	synthetic := Variable{
		Type: variableCustom, Name: VariableSynthetic, Label: "Synthetic traffic",
		Description: "Whether traces that the traffic generator began, and its log lines, are shown. The services' own metrics do not know the caller.",
		Query:       shown.Text + " : " + shown.Value + "," + leftOut.Text + " : " + leftOut.Value,
		Current:     shown, Options: []Choice{shown, leftOut},
	}
	return []Variable{
		dataSource(prometheus(), "Metrics", UIDPrometheus, "Prometheus"),
		dataSource(loki(), "Logs", UIDLoki, "Loki"),
		dataSource(tempo(), "Traces", UIDTempo, "Tempo"),
		die, synthetic,
	}
}

func dataSource(ref DataSourceRef, label, uid, name string) Variable {
	return Variable{
		Type: variableDataSource, Name: strings.Trim(ref.UID, "${}"), Label: label, Description: "The data source that " + strings.ToLower(label) + " are read from.",
		Query: ref.Type, Current: Choice{Selected: true, Text: name, Value: uid}, Options: []Choice{}, Refresh: 1,
	}
}

// The data sources as panels name them: through variables, so that another one of
// the same type can be chosen.
func prometheus() DataSourceRef { return DataSourceRef{TypePrometheus, "${prometheus}"} }
func loki() DataSourceRef       { return DataSourceRef{TypeLoki, "${loki}"} }
func tempo() DataSourceRef      { return DataSourceRef{TypeTempo, "${tempo}"} }

// grid places panels from left to right and from top to bottom, as text is.
type grid struct {
	panels []Panel
	x, y   int
	line   int // height of what stands at y
}

// row adds a row and its panels. They are about the service, unless they say
// otherwise.
func (g *grid) row(title, service string, panels ...Panel) {
	g.newLine()
	collapsed := false
	g.add(Panel{Type: PanelRow, Title: title, Collapsed: &collapsed, GridPos: GridPos{W: gridColumns, H: 1}})
	for _, p := range panels {
		p.Service = cmp.Or(p.Service, service)
		g.add(p)
	}
}

func (g *grid) add(p Panel) {
	if g.x+p.GridPos.W > gridColumns {
		g.newLine()
	}
	p.ID, p.GridPos.X, p.GridPos.Y = len(g.panels)+1, g.x, g.y
	g.panels = append(g.panels, p)
	g.x += p.GridPos.W
	g.line = max(g.line, p.GridPos.H)
}

func (g *grid) newLine() { g.x, g.y, g.line = 0, g.y+g.line, 0 }

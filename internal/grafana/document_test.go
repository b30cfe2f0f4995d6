package grafana_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dicelab/internal/grafana"
)

// writeDocument returns docs/dashboard.md. Each panel's row is made from its queries and
// its description.
func writeDocument(t *testing.T) string {
	t.Helper()
	d := grafana.Stage2()
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# The dashboard\n")
	p("Generated from the code by `make dashboards`; a test compares it. The dashboard “%s” is defined in", d.Title)
	p("[internal/grafana](../internal/grafana/panels.go) and written to [stack/%s](../stack/%s),", grafana.Stage2Path, grafana.Stage2Path)
	p("the one file that Grafana is provisioned with and that the explorer's page Metrics renders. To change a panel,")
	p("change the Go and run `make dashboards`; a change made in Grafana's browser cannot be saved.\n")
	p("![The page Metrics of the explorer, with the rows of the front end and of what is between the services](images/metrics.png)\n")

	p("## Variables\n")
	p("| variable | choices | what it does |\n|---|---|---|")
	for _, v := range d.Templating.List {
		choices := "any of type " + v.Query
		if len(v.Options) > 0 {
			var texts []string
			for _, o := range v.Options {
				texts = append(texts, o.Text)
			}
			choices = strings.Join(texts, ", ")
		}
		p("| %s (`%s`) | %s | %s |", v.Label, v.Name, choices, v.Description)
	}
	p("\n**Leaving synthetic traffic out** works where the data has the caller: traces by their root service, the")
	p("service graph by its client, and the generator's own log lines. The services' metrics count every caller's")
	p("rolls alike: a label for it would double every series and repeat what the traces have already. So panels over")
	p("these metrics, and the log lines that a service writes during a synthetic roll, are shown either way; the")
	p("panel “Rolls by caller” shows the part of each caller.\n")

	p("## Panels\n")
	p("Rates cover a minute at least, so that a person's rolls make a line. In the queries, `$…` are variables.\n")
	for _, panel := range d.Panels {
		if panel.Type == grafana.PanelRow {
			p("### %s\n", panel.Title)
			p("| panel | query | what to look for |\n|---|---|---|")
			continue
		}
		var queries []string
		for _, target := range panel.Targets {
			queries = append(queries, "`"+cell(asked(t, d, panel, target))+"`")
		}
		if panel.Type == grafana.PanelAlerts {
			queries = []string{"Prometheus' own list of alerts, `/api/v1/rules`"}
		}
		p("| %s | %s | %s |", panel.Title, strings.Join(queries, "<br>"), cell(panel.Description))
		if last(d, panel) {
			p("")
		}
	}

	p("## Links\n")
	p("Set in [the data source file](../stack/grafana/provisioning/datasources/dicelab.yaml), with the fixed uids")
	p("`prometheus`, `loki` and `tempo`.\n")
	p("| from | to | how |\n|---|---|---|")
	p("| a span | log lines | *Logs for this span*: lines of the span's service with its trace ID, five minutes around the span |")
	p("| a span | metrics | rate and p95 of all spans of that service and name, from the span metrics |")
	p("| a log line | its trace | the structured metadata `trace_id`, whatever the text of the line |")
	p("| an exemplar | its trace | the exemplar's label `trace_id` |")
	p("| the Tempo data source | the service map | the service graph metrics in Prometheus |\n")
	p("A trace ID that begins with zeros leads where any other does. Tempo drops these zeros from search results and")
	p("from the exemplars that it generates, and takes an ID without them. Grafana shows a trace's ID with them,")
	p("unless the first sixteen digits are all zeros (64-bit IDs of older tracers): for such a trace, *Logs for this")
	p("span* finds nothing.\n")

	p("## What was run, and what was not\n")
	p("Grafana itself was never run with these files: it is not a Go module, and was not available otherwise. Instead, tests")
	p("compare the files with its public documents and its source:\n")
	p("- every query of every panel, with its variables filled in, was run on the embedded stack and on the real servers, and returned data after rolls;")
	p("- every link was applied to real spans, log lines and exemplars, one of a trace that begins with `00` among them, and found what it should;")
	p("- the dashboard's JSON is made from Go types with Grafana's field names, and the provisioning files are read strictly into others, with units, colours and")
	p("  panel types that Grafana has, no panel over another, and a title, a description, a unit (where a panel draws numbers of its own) and an empty state on each;")
	p("- the explorer renders the same file.\n")
	p("Not checked: how Grafana draws it, and whether settings interact in ways that its documents do not mention.")
	return b.String()
}

// asked returns the query of a target as it stands in the file. For a service graph it returns a
// query that Grafana makes of it.
func asked(t *testing.T, d grafana.Dashboard, panel grafana.Panel, target grafana.Target) string {
	t.Helper()
	if target.Expr != "" {
		return target.Expr
	}
	if target.Query != "" {
		return target.Query
	}
	queries, err := d.PanelQueries(panel, grafana.Settings{Range: 15 * time.Minute, Step: 15 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return queries[0].Expr + " and the like, with the filter " + target.ServiceMapQuery
}

// cell keeps a text in one cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// last reports whether a panel is the last one below its heading.
func last(d grafana.Dashboard, panel grafana.Panel) bool {
	for i, p := range d.Panels {
		if p.ID == panel.ID {
			return i+1 == len(d.Panels) || d.Panels[i+1].Type == grafana.PanelRow
		}
	}
	return false
}

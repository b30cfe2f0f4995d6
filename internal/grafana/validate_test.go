package grafana_test

import (
	"strings"
	"testing"

	"dicelab/internal/grafana"
)

// Each of these would be a mistake in a dashboard that still is JSON.
func TestValidate(t *testing.T) {
	panel := func(d grafana.Dashboard, title string) *grafana.Panel {
		for i := range d.Panels {
			if d.Panels[i].Title == title {
				return &d.Panels[i]
			}
		}
		t.Fatalf("no panel %q", title)
		return nil
	}
	for _, tt := range []struct {
		name   string
		change func(d *grafana.Dashboard)
		want   string // "": nothing is wrong
	}{
		{"as it is", func(*grafana.Dashboard) {}, ""},
		{"no uid", func(d *grafana.Dashboard) { d.UID = "" }, "the uid must have 1 to 40 characters"},
		{"an old schema", func(d *grafana.Dashboard) { d.SchemaVersion = 16 }, "schema before 36"},
		{"a misspelt unit", func(d *grafana.Dashboard) { panel(*d, "Latency").FieldConfig.Defaults.Unit = "seconds" }, `unit "seconds" is not one of`},
		{"a unit on a table", func(d *grafana.Dashboard) { panel(*d, "Recent distributed traces").FieldConfig.Defaults.Unit = "s" }, "a table has no unit of its own"},
		{"no description", func(d *grafana.Dashboard) { panel(*d, "Latency").Description = "" }, "it has no description"},
		{"no empty state", func(d *grafana.Dashboard) { panel(*d, "Recent logs").FieldConfig.Defaults.NoValue = "" }, "it has no empty state"},
		{"an id twice", func(d *grafana.Dashboard) { d.Panels[3].ID = d.Panels[2].ID }, "its id must be above 0 and its own"},
		{"a title twice", func(d *grafana.Dashboard) { panel(*d, "Latency").Title = "Traces" }, "its title must be there and its own"},
		{"overlapping", func(d *grafana.Dashboard) { panel(*d, "Latency").GridPos.X = 4 }, "overlap"},
		{"too wide", func(d *grafana.Dashboard) { panel(*d, "Latency").GridPos.W = 25 }, "it does not fit into the grid"},
		{"another data source", func(d *grafana.Dashboard) { panel(*d, "Latency").Datasource.UID = "PBFA97CFB590B2093" }, "is none of the provisioned ones"},
		{"a variable of another type", func(d *grafana.Dashboard) { panel(*d, "Latency").Targets[0].Datasource.UID = "${loki}" }, "is no variable for data sources of type prometheus"},
		{"an unknown colour", func(d *grafana.Dashboard) {
			panel(*d, "Latency").FieldConfig.Overrides[0].Properties[0].Value.FixedColor = "bleu"
		}, "colour {Mode:fixed FixedColor:bleu} is not known"},
		{"falling thresholds", func(d *grafana.Dashboard) {
			steps := panel(*d, "Success rate").FieldConfig.Defaults.Thresholds.Steps
			steps[1], steps[2] = steps[2], steps[1]
		}, "the thresholds do not rise"},
		{"no query", func(d *grafana.Dashboard) { panel(*d, "Latency").Targets = nil }, "it has no query"},
		{"a refId twice", func(d *grafana.Dashboard) { panel(*d, "Latency").Targets[1].RefID = "A" }, "its refId must be there and its own"},
		{"neither instant nor range", func(d *grafana.Dashboard) { panel(*d, "Latency").Targets[1].Range = false }, "is either instant or range"},
		{"TraceQL for Loki", func(d *grafana.Dashboard) { panel(*d, "Recent logs").Targets[0].Query = "{}" }, "a query of loki does not have"},
		{"a table of nothing", func(d *grafana.Dashboard) { panel(*d, "Recent distributed traces").Targets[0].TableType = "" }, "a query of Tempo is TraceQL for a table of traces, or a service map"},
		{"an undefined variable", func(d *grafana.Dashboard) { panel(*d, "Latency").Targets[1].Expr = "up[$__intervall]" }, "undefined variable $__intervall in up[$__intervall]"},
		{"a variable that is something else at first", func(d *grafana.Dashboard) { d.Templating.List[3].Current.Value = "loaded" }, `variable "die_type" is "loaded" at first, which cannot be chosen`},
		{"a variable without a description", func(d *grafana.Dashboard) { d.Templating.List[3].Description = "" }, "has no name, label or description"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := grafana.Stage2()
			tt.change(&d)
			err := validate(d)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("%v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

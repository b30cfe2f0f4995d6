package grafana_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/grafana"
	"dicelab/stack"
)

var update = flag.Bool("update", false, "write the dashboard and docs/dashboard.md anew")

const (
	root      = "../.."
	dashboard = root + "/stack/" + grafana.Stage2Path
	document  = root + "/docs/dashboard.md"
)

// The committed files equal those that the Go code generates.
func TestCommittedFilesAreCurrent(t *testing.T) {
	text, err := grafana.Stage2().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dashboard: string(text), document: writeDocument(t)} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not current (-want +got); write it anew with: make dashboards\n%s", filepath.Base(path), diff)
		}
	}
}

// load reads the files that are in the binary.
func load(t *testing.T) grafana.Files {
	t.Helper()
	files, err := grafana.Load(stack.Configs)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A dashboard that was written is read with the same panels, queries and variables.
func TestDashboardIsReadAsItWasWritten(t *testing.T) {
	made, read := grafana.Stage2(), load(t).Dashboard
	for _, d := range []grafana.Dashboard{made, read} {
		for i := range d.Panels {
			d.Panels[i].Options = nil // whose Go types JSON does not keep
		}
	}
	if diff := cmp.Diff(made, read); diff != "" {
		t.Errorf("made and read (-made +read):\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"panels": [`:        "unexpected end of JSON input",
		`{"title": "mine"}`:   "it has no panels",
		`{"panels": "many"}`:  "cannot unmarshal string",
		`[{"panels": [{}]}]`:  "cannot unmarshal array",
		`{"panels": [{}]} {}`: "after top-level value",
	} {
		if _, err := grafana.Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestFiles(t *testing.T) {
	files := load(t)
	d := files.Dashboard
	if d.Title != "Dice Roller - Stage 2 (with Frontend)" || d.UID != "dice-roller-stage2" {
		t.Errorf("the dashboard is %q, %q", d.Title, d.UID)
	}
	var rows, titles []string
	for _, p := range d.Panels {
		if p.Type == grafana.PanelRow {
			rows = append(rows, p.Title)
			continue
		}
		titles = append(titles, p.Title)
	}
	if diff := cmp.Diff([]string{"Front end", "Between the services", "Dice roller", "Logs", "Health"}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"Frontend request rate", "Frontend success rate", "Button clicks by die", "Answers from the dice roller",
		"Frontend → backend latency", "Average response time by die", "Frontend latency",
		"Latency of both services", "Network time", "Rolls by caller", "Traces", "Service graph", "Recent distributed traces",
		"Request rate", "Success rate", "Error rate by die", "Rolls by die", "Latency", "Values of the fair die", "Values of the risky die",
		"Recent logs", "Frontend logs", "Error logs", "Alerts firing", "Alerts", "Spans dropped",
	}, titles); diff != "" {
		t.Errorf("panels (-want +got):\n%s", diff)
	}
	s := files.DataSources
	if diff := cmp.Diff([][]string{{"Prometheus", "prometheus", "http://prometheus:9090"}, {"Loki", "loki", "http://loki:3100"}, {"Tempo", "tempo", "http://tempo:3200"}},
		[][]string{{s.Prometheus.Name, s.Prometheus.UID, s.Prometheus.URL}, {s.Loki.Name, s.Loki.UID, s.Loki.URL}, {s.Tempo.Name, s.Tempo.UID, s.Tempo.URL}}); diff != "" {
		t.Errorf("data sources (-want +got):\n%s", diff)
	}
	if got := files.Provider.Options.Path; got != "/var/lib/grafana/dashboards" {
		t.Errorf("dashboards are looked for in %s", got)
	}
}

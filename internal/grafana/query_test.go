package grafana_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/grafana"
)

// quarter returns the dashboard's first settings, with room for sixty points.
func quarter() grafana.Settings {
	return grafana.Settings{Range: 15 * time.Minute, Step: 15 * time.Second}
}

// queries returns those of a panel, by its title.
func queries(t *testing.T, title string, s grafana.Settings) []grafana.Query {
	t.Helper()
	all, err := grafana.Stage2().Queries(s)
	if err != nil {
		t.Fatal(err)
	}
	var out []grafana.Query
	for _, q := range all {
		if q.Panel.Title == title {
			out = append(out, q)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no panel %q", title)
	}
	return out
}

func TestQueries(t *testing.T) {
	risky := quarter()
	risky.Values = map[string]string{grafana.VariableDie: "risky", grafana.VariableSynthetic: "traffic-generator"}
	hours := grafana.Settings{Range: 6 * time.Hour, Step: 10 * time.Minute}
	for _, tt := range []struct {
		panel    string
		settings grafana.Settings
		want     string // of the first query
	}{
		{"Button clicks by die", quarter(), `60 * sum by (die_type) (rate(streamlit_button_clicks_total{die_type=~".*"}[60s]))`},
		{"Button clicks by die", risky, `60 * sum by (die_type) (rate(streamlit_button_clicks_total{die_type=~"risky"}[60s]))`},
		{"Button clicks by die", hours, `60 * sum by (die_type) (rate(streamlit_button_clicks_total{die_type=~".*"}[615s]))`},
		{"Rolls by die", quarter(), `sum by (die_type, result) (increase(dice_rolls_total{die_type=~".*"}[900s]))`},
		{"Values of the risky die", quarter(), `sum by (le) (increase(dice_roll_value_bucket{die_type="risky",le=~"[1-7]|[1-7][.]0"}[900s]))`},
		{"Recent logs", risky, `{service_name=~".+", service_name!="traffic-generator"} | json | die_type=~"risky"`},
		{"Error logs", quarter(), `{service_name=~".+", service_name!="none", level="ERROR"} | json | die_type=~".*"`},
		{"Recent distributed traces", risky,
			`{resource.service.name="dice-roller" && name="GET /roll" && span.die.type=~"risky" && rootServiceName!="dice-roller" && rootServiceName!="traffic-generator"}`},
		{"Service graph", risky, `sum by (client, server) (rate(traces_service_graph_request_total{client!="traffic-generator"}[900s]))`},
		{"Traces", quarter(), `sum(increase(traces_spanmetrics_calls_total{service="streamlit-frontend",span_name="POST /roll"}[900s]))`},
	} {
		if got := queries(t, tt.panel, tt.settings)[0].Expr; got != tt.want {
			t.Errorf("%s asks\n%s, want\n%s", tt.panel, got, tt.want)
		}
	}
}

// What a query is besides its text.
func TestQueryKinds(t *testing.T) {
	type kind struct {
		Server            string
		Instant, Exemplar bool
		Step              time.Duration
		Limit             int
		Legend, Format    string
		Graph             grafana.GraphPart
	}
	for panel, want := range map[string][]kind{
		"Latency": {{Server: "prometheus", Exemplar: true, Step: 15 * time.Second, Legend: "p50"},
			{Server: "prometheus", Step: 15 * time.Second, Legend: "p95"}, {Server: "prometheus", Step: 15 * time.Second, Legend: "p99"}},
		"Success rate":              {{Server: "prometheus", Instant: true, Step: 2 * time.Second, Legend: "success"}},
		"Values of the fair die":    {{Server: "prometheus", Step: 15 * time.Second, Legend: "{{le}}", Format: "heatmap"}},
		"Error logs":                {{Server: "loki", Limit: 100}},
		"Recent distributed traces": {{Server: "tempo", Limit: 20}},
		"Service graph": {{Server: "prometheus", Instant: true, Graph: grafana.GraphRequests},
			{Server: "prometheus", Instant: true, Graph: grafana.GraphSeconds}, {Server: "prometheus", Instant: true, Graph: grafana.GraphFailed}},
	} {
		var got []kind
		for _, q := range queries(t, panel, grafana.Settings{Range: time.Minute, Step: 2 * time.Second}) {
			got = append(got, kind{q.Server, q.Instant, q.Exemplar, q.Step, q.Limit, q.Legend, q.Format, q.Graph})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", panel, diff)
		}
	}
}

func TestQueriesRefuse(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{grafana.VariableDie, "loaded", `variable die_type cannot be "loaded": choose one of $__all, fair, risky`},
		{grafana.VariableDie, `"} or vector(1)`, `choose one of`},
		{"colour", "red", `there is no variable "colour"`},
	} {
		_, err := grafana.Stage2().Queries(grafana.Settings{Range: time.Hour, Step: time.Minute, Values: map[string]string{tt.name: tt.value}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%s: %v, want %s", tt.name, tt.value, err, tt.want)
		}
	}
}

// A query that an edited dashboard spells in another way is not left out in silence.
func TestQueriesRefuseWhatIsNotThere(t *testing.T) {
	for text, want := range map[string]string{
		`{"datasource": {"type": "prometheus"}, "refId": "A", "exprs": "up"}`: `panel "P", query A: it is empty`,
		`{"datasource": {"type": "elastic"}, "refId": "A", "query": "up"}`:    `panel "P", query A: data source type "elastic" is not known`,
	} {
		d, err := grafana.Decode([]byte(`{"panels": [{"title": "P", "targets": [` + text + `]}]}`))
		if err == nil {
			_, err = d.Queries(grafana.Settings{Range: time.Hour, Step: time.Minute})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// Rate intervals are made from the scrape interval that the data source has, which is the one that
// Prometheus uses.
func TestRateIntervalFollowsTheScrapeInterval(t *testing.T) {
	if got := load(t).DataSources.Prometheus.Data.TimeInterval; got != "2s" {
		t.Errorf("timeInterval: %s", got)
	}
	d := grafana.Stage2()
	d.Panels[1].Targets[0].Interval, d.Panels[1].Targets[0].Expr = "", "rate(up[$__rate_interval]) + $__range_s"
	for step, want := range map[time.Duration]string{time.Second: "rate(up[8s]) + 60", 30 * time.Second: "rate(up[32s]) + 60"} {
		got, err := d.PanelQueries(d.Panels[1], grafana.Settings{Range: time.Minute, Step: step})
		if err != nil || got[0].Expr != want {
			t.Errorf("step %s: %v %v, want %s", step, got, err, want)
		}
	}
}

package grafana_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	zerosID = "00a1b2c377b34da6a3ce929d0e0e4755" // begins with zeros
	shortID = "0000000000000000a3ce929d0e0e4736" // of a tracer with 64-bit IDs
)

// span returns the roller's, in a trace.
func span(id string) query.Span {
	return query.Span{
		TraceID: id, SpanID: "00f067aa0ba902b7", Service: contract.ServiceRoller, Name: contract.SpanRollerRoll,
		Start: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), Duration: 400 * time.Millisecond,
		Resource:   query.Attributes{{Key: "service.name", Value: contract.ServiceRoller}, {Key: "service.namespace", Value: contract.Namespace}},
		Attributes: query.Attributes{{Key: contract.AttrDieType, Value: contract.DieFair}, {Key: "http.response.status_code", Value: int64(200)}},
	}
}

func TestTraceToLogs(t *testing.T) {
	for id, shown := range map[string]string{traceID: traceID, zerosID: zerosID, shortID: "a3ce929d0e0e4736"} {
		got, err := load(t).DataSources.TraceToLogs(span(id))
		want := grafana.LinkedQuery{
			DatasourceUID: "loki", Expr: `{service_name="dice-roller"} | trace_id="` + shown + `"`,
			Start: time.Date(2026, 3, 4, 11, 55, 0, 0, time.UTC), End: time.Date(2026, 3, 4, 12, 5, 0, 400e6, time.UTC),
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", id, err, diff)
		}
	}
}

func TestTraceToMetrics(t *testing.T) {
	links, err := load(t).DataSources.TraceToMetrics(span(traceID))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	from := span(traceID)
	for _, l := range links {
		got[l.Name] = l.Expr
		if l.DatasourceUID != "prometheus" || !l.Start.Equal(from.Start.Add(-5*time.Minute)) || !l.End.Equal(from.End().Add(5*time.Minute)) {
			t.Errorf("%q asks %s from %s to %s", l.Name, l.DatasourceUID, l.Start, l.End)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"Rate of such spans":           `sum by (status_code) (rate(traces_spanmetrics_calls_total{service="dice-roller", span_name="GET /roll"}[1m]))`,
		"Duration of such spans (p95)": `histogram_quantile(0.95, sum by (le) (rate(traces_spanmetrics_latency_bucket{service="dice-roller", span_name="GET /roll"}[1m])))`,
	}, got); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestLogToTrace(t *testing.T) {
	sources := load(t).DataSources
	line := func(metadata map[string]string) query.LogLine {
		return query.LogLine{Labels: map[string]string{contract.StreamService: contract.ServiceRoller, "my_trace_id": "wrong"}, Metadata: metadata, Text: "no JSON at all"}
	}
	for _, id := range []string{traceID, zerosID} {
		if got, err := sources.LogToTrace(line(map[string]string{"span_id": "00f067aa0ba902b7", "trace_id": id})); got != id || err != nil {
			t.Errorf("%s leads to %q, %v", id, got, err)
		}
	}
	if got, err := sources.LogToTrace(line(map[string]string{"traceID": traceID})); !errors.Is(err, grafana.ErrNoLink) {
		t.Errorf("a line of another spelling leads to %q, %v", got, err)
	}
	wrong := sources
	wrong.Loki.Data.DerivedFields = []grafana.DerivedField{{Name: "Trace", MatcherRegex: `trace_id=(\w+)`, URL: "${__value.raw}", DatasourceUID: "tempo"}}
	if got, err := wrong.LogToTrace(query.LogLine{Text: `{"trace_id":"` + traceID + `"}`}); !errors.Is(err, grafana.ErrNoLink) {
		t.Errorf("a regular expression that does not fit leads to %q, %v", got, err)
	}
	wrong.Loki.Data.DerivedFields[0].MatcherRegex = `"trace_id":"(\w+)"`
	if got, err := wrong.LogToTrace(query.LogLine{Text: `{"trace_id":"` + zerosID + `"}`}); got != zerosID || err != nil {
		t.Errorf("a regular expression over the line leads to %q, %v", got, err)
	}
	wrong.Loki.Data.DerivedFields[0].MatcherRegex = `(`
	if _, err := wrong.LogToTrace(query.LogLine{}); err == nil || errors.Is(err, grafana.ErrNoLink) {
		t.Errorf("a broken regular expression: %v", err)
	}
}

func TestExemplarToTrace(t *testing.T) {
	sources := load(t).DataSources
	// As Tempo's generator writes an ID that begins with zeros.
	if got, err := sources.ExemplarToTrace(query.Exemplar{Labels: map[string]string{"trace_id": "a1b2c377b34da6a3ce929d0e0e4755"}}); got != "a1b2c377b34da6a3ce929d0e0e4755" || err != nil {
		t.Errorf("leads to %q, %v", got, err)
	}
	if _, err := sources.ExemplarToTrace(query.Exemplar{Labels: map[string]string{"traceID": traceID}}); !errors.Is(err, grafana.ErrNoLink) || !strings.Contains(err.Error(), "it has traceID") {
		t.Errorf("another label: %v", err)
	}
}

func TestServiceMapLink(t *testing.T) {
	links, err := load(t).DataSources.ServiceGraph(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range links {
		got = append(got, fmt.Sprintf("%s %s: %s", l.DatasourceUID, l.Name, l.Expr))
	}
	if diff := cmp.Diff([]string{
		`prometheus requests: sum by (client, server) (rate(traces_service_graph_request_total[60s]))`,
		`prometheus seconds: sum by (client, server) (rate(traces_service_graph_request_server_seconds_sum[60s]))`,
		`prometheus failed: sum by (client, server) (rate(traces_service_graph_request_failed_total[60s]))`,
	}, got); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}

// A link that is not set, or cannot be filled in, is none.
func TestNoLink(t *testing.T) {
	for name, follow := range map[string]func(s grafana.DataSources) error{
		"logs":    func(s grafana.DataSources) error { _, err := s.TraceToLogs(span(traceID)); return err },
		"metrics": func(s grafana.DataSources) error { _, err := s.TraceToMetrics(span(traceID)); return err },
		"map":     func(s grafana.DataSources) error { _, err := s.ServiceGraph(time.Minute); return err },
		"variable": func(s grafana.DataSources) error {
			s.Tempo.Data.TracesToLogs = grafana.TracesToLogs{DatasourceUID: "loki", CustomQuery: true, Query: `{} |= "${__span.tags.nobody}"`}
			_, err := s.TraceToLogs(span(traceID))
			return err
		},
	} {
		if err := follow(grafana.DataSources{}); !errors.Is(err, grafana.ErrNoLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The data source files are read strictly.
func TestDecodeDataSources(t *testing.T) {
	const good = `
apiVersion: 1
datasources:
  - {name: P, uid: prometheus, type: prometheus, access: proxy, url: "http://p", jsonData: {timeInterval: 2s}}
  - {name: L, uid: loki, type: loki, access: proxy, url: "http://l", jsonData: {maxLines: 10}}
  - {name: T, uid: tempo, type: tempo, access: proxy, url: "http://t", jsonData: {tracesToLogsV2: {query: "$${__tags}"}}}
`
	for _, tt := range []struct{ name, old, new, want string }{
		{"as it is", "", "", ""},
		{"a field of nobody", "access: proxy, url: \"http://p\"", "access: proxy, uri: \"http://p\"", "field uri not found"},
		{"a setting of nobody", "timeInterval", "scrapeInterval", "field scrapeInterval not found"},
		{"a setting of another", "maxLines: 10", "timeInterval: 2s", "field timeInterval not found"},
		{"a setting within", "query:", "tagz: [], query:", "field tagz not found"},
		{"another uid", "uid: loki", "uid: logs", `data source "logs" of type "loki": want prometheus, loki or tempo, with a uid like its type`},
		{"a lone dollar", "$${", "${", "line 6: Grafana would put a variable of the environment in place of ${__tags}: write $$"},
		{"one of them missing", "  - {name: L, uid: loki, type: loki, access: proxy, url: \"http://l\", jsonData: {maxLines: 10}}\n", "", "want one each of prometheus, loki and tempo"},
		{"no YAML", "apiVersion", "\t", "found character that cannot start any token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := grafana.DecodeDataSources([]byte(strings.Replace(good, tt.old, tt.new, 1)))
			switch {
			case tt.want == "" && (err != nil || s.Tempo.Data.TracesToLogs.Query != "${__tags}" || s.Loki.Data.MaxLines != 10):
				t.Errorf("%+v, %v", s, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

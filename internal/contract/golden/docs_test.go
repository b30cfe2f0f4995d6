package golden_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
)

var update = flag.Bool("update", false, "write docs/telemetry.md anew")

const catalogue = "../../../docs/telemetry.md"

// serverErrorType is why SERVER spans have no error.type.
const serverErrorType = "it sets `error.type` on CLIENT spans alone"

// The catalogue in docs is generated from what the services emit and from the golden telemetry, so
// that it cannot differ from them.
func TestCatalogueIsCurrent(t *testing.T) {
	want := writeCatalogue(t)
	if *update {
		if err := os.WriteFile(catalogue, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/telemetry.md is not what the services emit (-want +got); update it with: go test ./internal/contract/golden -update\n%s", diff)
	}
}

func writeCatalogue(t *testing.T) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# What the services emit\n")
	p("Generated from the code by `go test ./internal/contract/golden -update`; a test compares it.")
	p("Names are defined in [internal/contract](../internal/contract/contract.go) alone, and the telemetry of one roll is data in")
	p("[internal/contract/golden](../internal/contract/golden). Values that differ from roll to roll are in angle brackets.")
	p("[traffic.md](traffic.md) lists what the traffic generator adds.\n")

	p("## Spans\n")
	p("One trace a roll. A span's status is Unset unless it failed; of two values the second is a failed roll's.\n")
	success, failure := load(t, golden.Success), load(t, golden.Failure)
	for i, span := range success.Spans {
		p("### %s `%s` (%s)\n", span.Service, span.Name, span.Kind)
		if span.Parent != "" {
			p("Parent: `%s`\n", span.Parent)
		}
		p("| attribute | rolled | failed |\n|---|---|---|")
		failed := failure.Spans[i]
		keys := map[string]bool{}
		for k := range span.Attributes {
			keys[k] = true
		}
		for k := range failed.Attributes {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			p("| `%s` | %s | %s |", k, cell(span.Attributes, k), cell(failed.Attributes, k))
		}
		p("| status | %s | %s |\n", span.Status, strings.TrimSpace(failed.Status+" "+failed.Message))
	}

	p("### Where the spans follow otelhttp\n")
	p("The HTTP attributes of SERVER and CLIENT spans are those that [otelhttp](https://pkg.go.dev/go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp)")
	p("sets, also where the semantic conventions or this lab would have chosen otherwise:\n")
	p("| span | what | otelhttp's reason |\n|---|---|---|")
	for _, row := range [][3]string{
		{"`POST /roll`, failed", "no `error.type`; the status 502 is in `http.response.status_code`", serverErrorType},
		{"`GET /roll`, failed", "no `error.type`; the span `roll` below it has one", serverErrorType},
		{"`GET /roll` and `POST /roll`, caller gone", "no `error.type` = `canceled`; the span below has it, and the status is 499",
			serverErrorType + "; a status below 500 is no error of a server"},
		{"`GET /` of the roller", "`http.route` is `/{$}`; the span's name and the metrics' label `handler` stay `/`",
			"it takes the route from the pattern of `http.ServeMux`, where `{$}` is the end of the path"},
		{"an answer that breaks off", "no `http.response.status_code`; an event `exception` with `net/http: abort Handler`",
			"it sets the attributes of an answer after the handler has returned, and the SDK records a panic that ends a span"},
		{"all SERVER spans", "the scope is `go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp`",
			"it makes the span; `roll` and `roll_button_click` are of the scope `dicelab/internal/telemetry`"},
	} {
		p("| %s | %s | %s |", row[0], row[1], row[2])
	}
	p("")
	p("## Log lines\n")
	p("One JSON object a line on stdout. Each begins with `%s`, `%s`, `%s`, `%s`, `%s`, `%s`.\n", contract.FieldTimestamp,
		contract.FieldLevel, contract.FieldMessage, contract.FieldLogger, contract.FieldTraceID, contract.FieldSpanID)
	p("| service | level | message | span | fields |\n|---|---|---|---|---|")
	p("| %s | INFO | %s | – | `url` `version` |", contract.ServiceFrontend, contract.MsgFrontendStarted)
	p("| %s | INFO | %s | – | `url` `version` |", contract.ServiceRoller, contract.MsgRollerStarted)
	seen := map[string]bool{}
	for _, scenario := range golden.Scenarios() {
		for _, line := range load(t, scenario).Lines {
			if seen[line.Service+line.Message] {
				continue
			}
			seen[line.Service+line.Message] = true
			p("| %s | %s | %s | `%s` | `%s` |", line.Service, line.Level, line.Message, line.Span,
				strings.Join(slices.Sorted(maps.Keys(line.Fields)), "` `"))
		}
	}

	p("\n## Metrics\n")
	p("`/metrics` of each service, as Prometheus text or OpenMetrics. In OpenMetrics, counters and histograms carry exemplars")
	p("with `%s`. The Go runtime's and the process's metrics are added.\n", contract.FieldTraceID)
	p("| service | metric | type | labels | meaning |\n|---|---|---|---|---|")
	s := newStage(t, 0, 0)
	for _, service := range contract.Services() {
		families, err := s.telemetry[service].Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_") {
				continue
			}
			p("| %s | `%s` | %s | %s | %s |", service, f.GetName(), strings.ToLower(f.GetType().String()), labelNames(f), f.GetHelp())
		}
	}

	p("\n## Metrics made from spans\n")
	p("Made by the stack, not by the services: by Tempo's metrics generator, or by the embedded stack under the same names. Their")
	p("histograms carry exemplars with `%s`. `%s` is absent for a plain request; `%s` is a call of which one side sends", contract.FieldTraceID,
		contract.LabelConnection, contract.ConnectionVirtual)
	p("no spans, among them the one that begins a trace, whose `%s` is `%s`.\n", contract.LabelClient, contract.ClientUser)
	p("| metric | type | labels | meaning |\n|---|---|---|---|")
	bySpan := fmt.Sprintf("`%s` `%s` `%s` `%s`", contract.LabelService, contract.LabelSpanName, contract.LabelSpanKind, contract.LabelStatusCode)
	byCall := fmt.Sprintf("`%s` `%s` `%s`", contract.LabelClient, contract.LabelServer, contract.LabelConnection)
	for _, m := range []struct{ name, kind, labels, meaning string }{
		{contract.MetricSpanCalls, "counter", bySpan, "Spans."},
		{contract.MetricSpanLatency, "histogram", bySpan, "Duration of spans, in seconds."},
		{contract.MetricSpanSize, "counter", bySpan, "Size of spans as protobuf, in bytes."},
		{contract.MetricGraphRequests, "counter", byCall, "Calls from one service to another."},
		{contract.MetricGraphFailed, "counter", byCall, "Those of which a side has status Error."},
		{contract.MetricGraphClientSeconds, "histogram", byCall, "Duration of the caller's span, in seconds."},
		{contract.MetricGraphServerSeconds, "histogram", byCall, "Duration of the callee's span, in seconds."},
	} {
		p("| `%s` | %s | %s | %s |", m.name, m.kind, m.labels, m.meaning)
	}

	p("\n## Labels of the stored signals\n")
	p("The same in every mode.\n")
	p("| service | Prometheus `job` | `%s` | `%s` | `%s` | `%s` |\n|---|---|---|---|---|---|",
		contract.StreamContainer, contract.StreamService, contract.StreamJob, contract.StreamLevel)
	for _, service := range contract.Services() {
		p("| %s | `%s` | `%s` | `%s` | `%s` | as in the line |", service, service, contract.ContainerName(service), service, service)
	}
	p("| %s | – | `%s` | `%s` | `%s` | as in the line |", contract.ServiceTraffic, contract.ContainerName(contract.ServiceTraffic),
		contract.ServiceTraffic, contract.ServiceTraffic)
	p("\n`%s` and `%s` are structured metadata of the line, not labels: `{%s=\"%s\"} | %s=\"…\"`.", contract.FieldTraceID,
		contract.FieldSpanID, contract.StreamService, contract.ServiceRoller, contract.FieldTraceID)
	return b.String()
}

func load(t *testing.T, scenario string) golden.Telemetry {
	g, err := golden.Load(scenario)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// cell returns an attribute's value in a table, or a dash.
func cell(attributes map[string]any, key string) string {
	v, ok := attributes[key]
	switch v := v.(type) {
	case float64:
		return "`" + strconv.FormatFloat(v, 'f', -1, 64) + "`"
	default:
		if !ok {
			return "–"
		}
		return fmt.Sprintf("`%v`", v)
	}
}

func labelNames(f *dto.MetricFamily) string {
	if len(f.GetMetric()) == 0 {
		return ""
	}
	var names []string
	for _, l := range f.GetMetric()[0].GetLabel() {
		names = append(names, "`"+l.GetName()+"`")
	}
	return strings.Join(names, " ")
}

package main_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/query"
)

// One roll, in the wire, in Tempo, Loki, Prometheus and the explorer: exactly
// what the golden telemetry says, with one trace ID.
func TestARollIsFollowed(t *testing.T) {
	for _, tt := range []struct {
		name, scenario, errorRate string
		status                    int // of the front end
		failed                    int // spans
	}{
		{"one that brings a value", golden.Success, "0", http.StatusOK, 0},
		{"one that fails", golden.Failure, "1", http.StatusBadGateway, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want, err := golden.Load(tt.scenario)
			if err != nil {
				t.Fatal(err)
			}
			l := startLab(t, t.TempDir(), nil, "--max-delay", "0s", "--error-rate", tt.errorRate)
			a := l.roll(t, contract.DieRisky)
			if a.Status != tt.status || a.Die != contract.DieRisky || (a.Roll >= 2 && a.Roll <= 7) != (tt.failed == 0) {
				t.Errorf("answer %+v", a)
			}
			if id := strings.Split(a.Traceresponse, "-"); len(id) != 4 || id[1] != a.TraceID {
				t.Errorf("traceresponse %q, trace_id %q", a.Traceresponse, a.TraceID)
			}
			trace := l.trace(t, a.TraceID, len(want.Spans))
			if diff := gocmp.Diff(want.Spans, goldenSpans(trace)); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
			if parts := strings.Split(a.Traceparent, "-"); len(parts) != 4 || parts[2] != named(trace, contract.SpanClient).SpanID {
				t.Errorf("traceparent %q is not that of %+v", a.Traceparent, named(trace, contract.SpanClient))
			}
			checkSearch(t, l, a.TraceID, len(want.Spans), tt.failed)
			checkLines(t, l, trace, want.Lines)
			checkMetrics(t, l, a.TraceID, want.Metrics)
			checkGenerated(t, l, a.TraceID, want.Spans)
			checkPages(t, l, a)
			l.stop(t)
		})
	}
}

func named(trace *query.Trace, name string) query.Span {
	i := slices.IndexFunc(trace.Spans, func(s query.Span) bool { return s.Name == name })
	if i < 0 {
		return query.Span{}
	}
	return trace.Spans[i]
}

// goldenSpans puts a trace into the form of the golden telemetry.
func goldenSpans(trace *query.Trace) []golden.Span {
	names := map[string]string{}
	for _, s := range trace.Spans {
		names[s.SpanID] = s.Name
	}
	var spans []golden.Span
	for _, s := range trace.Spans {
		g := golden.Span{
			Service: s.Service, Name: s.Name, Kind: strings.ToUpper(s.Kind), Parent: names[s.ParentID],
			Status: strings.ToUpper(s.Status[:1]) + s.Status[1:], Message: s.StatusMessage,
		}
		attributes := map[string]any{}
		for _, a := range s.Attributes {
			attributes[a.Key] = a.Value
		}
		g.Attributes = golden.Blank(attributes)
		for _, e := range s.Events {
			g.Exceptions = append(g.Exceptions, e.Attributes.Text("exception.message"))
		}
		spans = append(spans, g)
	}
	return spans
}

// checkSearch checks that a search by each service finds the trace, with all of
// its spans.
func checkSearch(t *testing.T, l *running, id string, spans, failed int) {
	t.Helper()
	for _, service := range contract.Services() {
		traceQL := fmt.Sprintf("{resource.service.name=%q && status%s}", service, map[bool]string{true: "=error", false: "!=error"}[failed > 0])
		eventually(t, "searching "+traceQL, func() error {
			now := time.Now()
			r, err := l.tempo(t).Search(t.Context(), query.Search{TraceQL: traceQL, Start: now.Add(-time.Hour), End: now.Add(time.Minute)})
			if err != nil {
				return err
			}
			if len(r.Traces) != 1 {
				return fmt.Errorf("%d traces", len(r.Traces))
			}
			f := r.Traces[0]
			got := []any{f.TraceID, f.RootService, f.RootName, f.Spans(), f.Errors()}
			want := []any{id, contract.ServiceFrontend, contract.SpanFrontendRoll, spans, failed}
			if diff := gocmp.Diff(want, got); diff != "" {
				return fmt.Errorf("found (-want +got):\n%s", diff)
			}
			return nil
		})
	}
}

// checkLines checks that both services' lines are found, by container and by
// service and trace ID, each once and with the right span's ID.
func checkLines(t *testing.T, l *running, trace *query.Trace, want []golden.Line) {
	t.Helper()
	names := map[string]string{}
	for _, s := range trace.Spans {
		names[s.SpanID] = s.Name
	}
	var byTrace, byContainer []golden.Line
	for _, service := range contract.Services() {
		n := 0
		for _, line := range want {
			if line.Service == service {
				n++
			}
		}
		for _, line := range l.lines(t, fmt.Sprintf("{%s=%q} | %s=%q", contract.StreamService, service, contract.FieldTraceID, trace.ID), n) {
			byTrace = append(byTrace, goldenLine(t, line, names))
		}
		for _, line := range l.lines(t, fmt.Sprintf("{%s=%q}", contract.StreamContainer, contract.ContainerName(service)), n+1) { // and its start
			if line.TraceID() == trace.ID {
				byContainer = append(byContainer, goldenLine(t, line, names))
			}
		}
	}
	order := func(a, b golden.Line) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Message, b.Message))
	}
	for _, lines := range [][]golden.Line{want, byTrace, byContainer} {
		slices.SortStableFunc(lines, order)
	}
	if diff := gocmp.Diff(want, byTrace); diff != "" {
		t.Errorf("lines by trace ID (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(want, byContainer); diff != "" {
		t.Errorf("lines by container (-want +got):\n%s", diff)
	}
}

func goldenLine(t *testing.T, line query.LogLine, spans map[string]string) golden.Line {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(line.Text), &fields); err != nil {
		t.Fatalf("line %s: %v", line.Text, err)
	}
	g := golden.Line{
		Service: line.Labels[contract.StreamService], Level: line.Labels[contract.StreamLevel],
		Message: fmt.Sprint(fields[contract.FieldMessage]), Span: spans[line.SpanID()],
	}
	if fields[contract.FieldTraceID] != line.TraceID() || fields[contract.FieldSpanID] != line.SpanID() ||
		fields[contract.FieldLevel] != g.Level || fields[contract.FieldLogger] != g.Service {
		t.Errorf("labels %v and metadata %v contradict the line %s", line.Labels, line.Metadata, line.Text)
	}
	for _, name := range []string{contract.FieldTimestamp, contract.FieldLevel, contract.FieldMessage,
		contract.FieldLogger, contract.FieldTraceID, contract.FieldSpanID} {
		delete(fields, name)
	}
	g.Fields = golden.Blank(fields)
	return g
}

// checkMetrics checks that every sample has moved by the expected amount from nothing,
// and that exemplars of the counters lead to the trace.
func checkMetrics(t *testing.T, l *running, id string, want map[string]map[string]float64) {
	t.Helper()
	for service, samples := range want {
		for sample, n := range samples {
			promQL := strings.TrimSuffix(sample, "}") + fmt.Sprintf(",job=%q}", service)
			l.value(t, promQL, n)
			if name, _, _ := strings.Cut(sample, "{"); strings.HasSuffix(name, "_total") {
				l.exemplar(t, promQL, id)
			}
		}
	}
	l.exemplar(t, contract.MetricBackendDuration+"_bucket", id)
}

// checkGenerated checks that every span, and the call between the services, is in
// the metrics that are made from spans.
func checkGenerated(t *testing.T, l *running, id string, spans []golden.Span) {
	t.Helper()
	for _, s := range spans {
		l.value(t, fmt.Sprintf(`%s{%s=%q,%s=%q,%s="SPAN_KIND_%s",%s="STATUS_CODE_%s"}`, contract.MetricSpanCalls, contract.LabelService, s.Service,
			contract.LabelSpanName, s.Name, contract.LabelSpanKind, s.Kind, contract.LabelStatusCode, strings.ToUpper(s.Status)), 1)
	}
	between := fmt.Sprintf("{%s=%q,%s=%q}", contract.LabelClient, contract.ServiceFrontend, contract.LabelServer, contract.ServiceRoller)
	l.value(t, contract.MetricGraphRequests+between, 1)
	l.exemplar(t, contract.MetricGraphClientSeconds+"_bucket"+between, id)
	l.exemplar(t, contract.MetricSpanLatency+"_bucket", id)
}

// checkPages checks that the links of the answer lead to the roll.
func checkPages(t *testing.T, l *running, a answer) {
	t.Helper()
	if want := l.url(t, "explorer") + "/traces/" + a.TraceID; a.Links.Trace != want {
		t.Errorf("link to the trace %q, want %q", a.Links.Trace, want)
	}
	for _, page := range []struct {
		url  string
		want []string
	}{
		{a.Links.Trace, []string{a.TraceID, contract.ServiceFrontend, contract.ServiceRoller, contract.SpanFrontendRoll,
			contract.SpanButtonClick, contract.SpanRollerRoll}},
		{a.Links.Logs, []string{a.TraceID, contract.MsgButtonClicked, contract.MsgRollReceived}},
	} {
		status, body := l.get(t, page.url)
		if status != http.StatusOK {
			t.Errorf("%s answered %d: %s", page.url, status, body)
		}
		for _, text := range page.want {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not show %q", page.url, text)
			}
		}
	}
}

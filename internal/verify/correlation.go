package verify

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/query"
)

// correlation are the rows of Trace-to-Logs Correlation.
func correlation() []check {
	return []check{
		{Row: Row{Name: "open-trace", Box: "Open a trace in Tempo",
			Does: "GET /api/v2/traces/ID of Tempo, for a failed roll", Expects: "its spans, some with status error"},
			needs: needTempo | aFailure, run: openTrace},
		{Row: Row{Name: rowFrontendSpanLogs, Box: "Click on frontend span → \"Logs for this span\"",
			Does: query.LogFilter{Service: contract.ServiceFrontend, TraceID: "ID"}.LogQL(), Expects: "lines, some of them with the span's ID"},
			needs: needLoki | needTempo | aSuccess, run: spanLogs(contract.ServiceFrontend, contract.SpanButtonClick)},
		{Row: Row{Name: "frontend-logs-match", Box: "Verify frontend logs appear with matching trace_id",
			Does: "these lines", Expects: "exactly those that a roll leaves, each with the trace's ID and the right span's"},
			needs: needLoki | needTempo | aSuccess, run: logsMatch(contract.ServiceFrontend)},
		{Row: Row{Name: rowBackendSpanLogs, Box: "Click on backend span → \"Logs for this span\"",
			Does: query.LogFilter{Service: contract.ServiceRoller, TraceID: "ID"}.LogQL(), Expects: "lines, some of them with the span's ID"},
			needs: needLoki | needTempo | aSuccess, run: spanLogs(contract.ServiceRoller, contract.SpanRollerRoll)},
		{Row: Row{Name: "backend-logs-match", Box: "Verify backend logs appear with matching trace_id",
			Does: "these lines", Expects: "exactly those that a roll leaves, each with the trace's ID and the right span's"},
			needs: needLoki | needTempo | aSuccess, run: logsMatch(contract.ServiceRoller)},
		{Row: Row{Name: "logs-same-trace", Box: "Both sets of logs have the same trace_id",
			Does: query.LogFilter{TraceID: "ID"}.LogQL(), Expects: "lines of both services"},
			needs: needLoki | aSuccess, run: logsSameTrace},
		{Row: Row{Name: "log-to-trace", Does: "GET /api/v2/traces/ID of Tempo, with the trace_id of a line of each service",
			Expects: "a trace that has the span of the line's span_id"},
			needs: needLoki | needTempo | aSuccess, run: logToTrace},
		{Row: Row{Name: "exemplar-to-trace", Does: "query_exemplars of Prometheus for a counter and a histogram of each service, and the trace of one",
			Expects: "exemplars since the rolls began, which lead to traces"},
			needs: needPrometheus | needTempo | aSuccess, run: exemplarToTrace},
		{Row: Row{Name: "status-agrees", Does: "what answer, spans, lines and counters say of a failed roll",
			Expects: "one own status of each service, and one of the dice roller as the front end saw it"},
			needs: needLoki | needTempo | aFailure, run: statusAgrees},
	}
}

func openTrace(ctx context.Context, p *probe) finding {
	t, f := p.traceOf(ctx, p.rolls.failure)
	switch {
	case f != nil:
		return *f
	case t.Errors() == 0:
		return fail("no span of the failed roll's trace %s has status error", t.ID)
	}
	return pass("%s, %s, %d failed", t.ID, plural(len(t.Spans), "span"), t.Errors())
}

func spanLogs(service, span string) func(context.Context, *probe) finding {
	return func(ctx context.Context, p *probe) finding {
		t, f := p.traceOf(ctx, p.rolls.success)
		if f != nil {
			return *f
		}
		s := spanOf(t, service, span)
		if s == nil {
			return p.oneSided(t)
		}
		lines, err := p.logsOf(ctx, service, t.ID)
		if err != nil {
			return fail("%v", err)
		}
		own := 0
		for _, l := range lines {
			if l.SpanID() == s.SpanID {
				own++
			}
		}
		switch {
		case len(lines) == 0:
			return p.unfound(ctx, service, t.ID)
		case own == 0:
			return fail("none of the %d lines of %s with the trace_id %s has the span_id %s of %q", len(lines), service, t.ID, s.SpanID, span)
		}
		return pass("%s, %d with the ID of %q", plural(len(lines), "line"), own, span)
	}
}

func logsMatch(service string) func(context.Context, *probe) finding {
	return func(ctx context.Context, p *probe) finding {
		t, f := p.traceOf(ctx, p.rolls.success)
		if f != nil {
			return *f
		}
		if !slices.Contains(t.Services(), service) {
			return p.oneSided(t)
		}
		lines, err := p.logsOf(ctx, service, t.ID)
		if err != nil {
			return fail("%v", err)
		}
		want, err := golden.Load(golden.Success)
		if err != nil {
			return fail("%v", err)
		}
		if len(lines) == 0 {
			return p.behindSpanLogs(p.unfound(ctx, service, t.ID), service)
		}
		for _, l := range lines {
			if l.Field(contract.FieldTraceID) != t.ID {
				return fail("the trace_id that Loki has of a line is %s, the line says %q", t.ID, l.Field(contract.FieldTraceID))
			}
		}
		if diffs := lineDiffs(want, service, t, lines); len(diffs) > 0 {
			return fail("trace %s: %s", t.ID, listed(diffs))
		}
		var messages []string
		for _, l := range lines {
			messages = append(messages, strconv.Quote(l.Message()))
		}
		return pass("%s", strings.Join(messages, ", "))
	}
}

func logsSameTrace(ctx context.Context, p *probe) finding {
	id := p.rolls.success.trace.TraceID
	count := map[string]int{}
	lines, err := p.lines(ctx, query.LogFilter{TraceID: id}.LogQL(), atLeast(linesOfRoll))
	if err != nil {
		return fail("%v", err)
	}
	for _, l := range lines {
		count[l.Service()]++
	}
	var parts []string
	for _, service := range contract.Services() {
		if count[service] == 0 {
			return p.behindSpanLogs(p.unfound(ctx, service, id), service)
		}
		parts = append(parts, fmt.Sprintf("%d of %s", count[service], service))
	}
	return pass("%s with %s", strings.Join(parts, ", "), id)
}

func logToTrace(ctx context.Context, p *probe) finding {
	lines, err := p.linesOfRolls(ctx)
	if err != nil {
		return fail("%v", err)
	}
	own := p.rolls.ids()
	var evidence []string
	for _, service := range contract.Services() {
		i := slices.IndexFunc(lines, func(l query.LogLine) bool { return l.Service() == service && own[l.TraceID()] != nil })
		if i < 0 {
			return p.withoutLine(service, lines)
		}
		t, err := p.trace(ctx, lines[i].TraceID(), spansOfRoll)
		if err != nil {
			return fail("the line %q of %s leads to no trace, %s: %s", lines[i].Message(), service, lines[i].TraceID(), missing(err))
		}
		s := slices.IndexFunc(t.Spans, func(s query.Span) bool { return s.SpanID == lines[i].SpanID() })
		if s < 0 && !twoSided(t) {
			return p.oneSided(t)
		}
		if s < 0 {
			return fail("the line %q of %s names span %s, which trace %s does not have", lines[i].Message(), service, lines[i].SpanID(), t.ID)
		}
		evidence = append(evidence, fmt.Sprintf("%q to %q in %s", lines[i].Message(), t.Spans[s].Name, t.ID))
	}
	return pass("%s", strings.Join(evidence, "; "))
}

// withoutLine is the finding of a row that wants a line of a service that names
// the trace of a roll, where there is none.
func (p *probe) withoutLine(service string, lines []query.LogLine) finding {
	for _, l := range lines {
		if l.Service() == service && l.TraceID() != "" {
			return p.because(rowBoth, "lines of "+service+" name other traces", "such as "+l.TraceID())
		}
	}
	return p.because(rowContext, "no line of "+service+" names a trace", "looked among "+plural(len(lines), "line"))
}

// unfound is the finding of a row that finds no line of a service by the trace ID
// of a roll: the lines name none, or another, or Loki does not know what they say.
// The query that finds none stays the command that shows it.
func (p *probe) unfound(ctx context.Context, service, id string) finding {
	lines, err := (&probe{run: p.run}).linesOfRolls(ctx)
	if err != nil {
		return fail("%v", err)
	}
	own, others := p.rolls.ids(), false
	for _, l := range lines {
		if l.Service() != service {
			continue
		}
		if l.Field(contract.FieldTraceID) == id {
			return fail("Loki has lines of %s that say %s %s, but does not find them by it: what ships them does not make it structured metadata", service, contract.FieldTraceID, id)
		}
		others = others || own[l.TraceID()] != nil
	}
	if others {
		return fail("Loki has no line of %s with the %s %s, but of other rolls", service, contract.FieldTraceID, id)
	}
	return p.withoutLine(service, lines)
}

// behindSpanLogs leaves it to the row of "Logs for this span" to tell why no line
// is found, unless that is another row's to tell.
func (p *probe) behindSpanLogs(f finding, service string) finding {
	if f.blockedBy != "" {
		return f
	}
	row := map[string]string{contract.ServiceFrontend: rowFrontendSpanLogs, contract.ServiceRoller: rowBackendSpanLogs}[service]
	return p.because(row, "no line of "+service+" is found by its trace ID", f.why)
}

// exemplarsOf select series of each service whose exemplars name the traces of
// rolls: a counter's and a histogram's.
func exemplarsOf(service string) []string {
	requests := fmt.Sprintf("%s{%s=%q,%s=%q}", contract.MetricHTTPRequests, contract.StreamJob, service, contract.LabelHandler, "/roll")
	if service == contract.ServiceFrontend {
		return []string{requests, contract.MetricBackendDuration + "_bucket"}
	}
	return []string{requests, contract.MetricDiceRollValue + "_bucket"}
}

// exemplarToTrace takes any roll's exemplar since the rolls began: a counter
// keeps only its last one, which may be somebody else's.
func exemplarToTrace(ctx context.Context, p *probe) finding {
	var evidence, problems []string
	for _, service := range contract.Services() {
		for _, series := range exemplarsOf(service) {
			e, err := p.exemplar(ctx, series)
			if err != nil {
				problems = append(problems, err.Error())
				continue
			}
			t, err := p.trace(ctx, e.TraceID, spansOfRoll)
			if err != nil {
				return fail("the exemplar %s of %s leads to no trace: %s", e.TraceID, series, missing(err))
			}
			evidence = append(evidence, e.Series["__name__"]+" to "+t.ID)
		}
	}
	if len(problems) > 0 {
		return fail("%s", listed(problems))
	}
	return pass("%s", strings.Join(evidence, ", "))
}

// exemplar is an exemplar of a series that names a trace, of the time of this run.
func (p *probe) exemplar(ctx context.Context, series string) (query.Exemplar, error) {
	return p.seen.exemplars.of(series).get(ctx, p, func(ctx context.Context, p *probe) (query.Exemplar, error) {
		return until(ctx, p, func(ctx context.Context) (query.Exemplar, error) {
			found, err := p.prometheus().Exemplars(ctx, series, p.since(), p.till())
			if err != nil {
				return query.Exemplar{}, err
			}
			for _, e := range found {
				if e.TraceID != "" {
					return e, nil
				}
			}
			return query.Exemplar{}, fmt.Errorf("%s has %s since the rolls began, none with a %s", series, plural(len(found), "exemplar"), contract.FieldTraceID)
		})
	})
}

// said is what one witness says of a status.
type said struct{ who, what string }

// statusAgrees compares the two statuses of a failed roll wherever they are told:
// what each service answered, and what the front end saw of the dice roller's.
func statusAgrees(ctx context.Context, p *probe) finding {
	one := p.rolls.failure
	p.keep(one)
	t, f := p.traceOf(ctx, one)
	if f != nil {
		return *f
	}
	lines, err := p.linesOfRolls(ctx)
	if err != nil {
		return fail("%v", err)
	}
	line := func(service string, messages ...string) *query.LogLine {
		for i, l := range lines {
			if l.Service() == service && l.TraceID() == t.ID && slices.Contains(messages, l.Message()) {
				return &lines[i]
			}
		}
		return nil
	}
	front := spanOf(t, contract.ServiceFrontend, contract.SpanFrontendRoll)
	click := spanOf(t, contract.ServiceFrontend, contract.SpanButtonClick)
	client := spanOf(t, contract.ServiceFrontend, contract.SpanClient)
	server := spanOf(t, contract.ServiceRoller, contract.SpanRollerRoll)
	if front == nil || click == nil || client == nil || server == nil {
		return p.because(rowBoth, "spans of the failed roll are missing", "trace "+t.ID)
	}
	frontLine := line(contract.ServiceFrontend, contract.MsgBackendFailed)
	rollerLine := line(contract.ServiceRoller, contract.MsgRiskyFailed, contract.MsgFaultInjected)
	if frontLine == nil || rollerLine == nil {
		return p.because(rowContext, "lines of the failed roll are not found by its trace ID", "trace "+t.ID)
	}
	status := func(s *query.Span) string { return s.Attributes.Text("http.response.status_code") }
	for _, group := range []struct {
		of   string
		said []said
	}{
		{"the front end's own status", []said{
			{"the answer", strconv.Itoa(one.status)}, {"its page", one.page.status}, {"its span", status(front)},
			{"its log line", frontLine.Field(contract.FieldStatus)},
		}},
		{"the dice roller's status", []said{
			{"its span", status(server)}, {"its log line", rollerLine.Field(contract.FieldStatus)}, {"the front end's GET span", status(client)},
			{"the front end's " + contract.AttrBackendStatusCode, click.Attributes.Text(contract.AttrBackendStatusCode)},
			{"the front end's log line", frontLine.Field(contract.FieldBackendStatus)},
		}},
	} {
		if diff := disagreement(group.said); diff != "" {
			return fail("%s: %s (trace %s)", group.of, diff, t.ID)
		}
	}
	for _, s := range []*query.Span{front, click, client, server} {
		if !s.Failed() {
			return fail("the status of %s %q is %s, though the roll failed (trace %s)", s.Service, s.Name, s.Status, t.ID)
		}
	}
	counted := []struct{ service, sample string }{
		{contract.ServiceFrontend, fmt.Sprintf("%s{%s=%q,%s=%q}", contract.MetricBackendRequests, contract.LabelDieType, contract.DieRisky, contract.LabelStatusCode, status(server))},
		{contract.ServiceFrontend, requestsSample("/roll", http.MethodPost, status(front))},
		{contract.ServiceRoller, requestsSample("/roll", http.MethodGet, status(server))},
	}
	for _, c := range counted {
		if p.rolls.countErr == nil && p.rolls.after[c.service][c.sample] <= p.rolls.before[c.service][c.sample] {
			return fail("%s of %s has not counted the roll that the spans say so of (trace %s)", c.sample, c.service, t.ID)
		}
	}
	return pass("front end %s, dice roller %s, on the wire, in spans, lines and counters of %s", status(front), status(server), t.ID)
}

func requestsSample(handler, method, status string) string {
	return fmt.Sprintf("%s{%s=%q,%s=%q,%s=%q}", contract.MetricHTTPRequests, contract.LabelHandler, handler, contract.LabelMethod, method,
		contract.LabelStatus, status[:min(1, len(status))]+"xx")
}

// disagreement is "" where all say the same.
func disagreement(all []said) string {
	var parts []string
	same := true
	for _, s := range all {
		same = same && s.what == all[0].what
		what := s.what
		if what == "" {
			what = "nothing"
		}
		parts = append(parts, s.who+" says "+what)
	}
	if same {
		return ""
	}
	return strings.Join(parts, ", ")
}

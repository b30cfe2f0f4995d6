package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/query"
	"dicelab/internal/verify/compare"
)

func openTrace(_ context.Context, _ *Probe, t *query.Trace) (string, error) {
	if t.Errors() == 0 {
		return "", fmt.Errorf("no span of the failed roll's trace %s has status error", t.ID)
	}
	return fmt.Sprintf("%s, %s, %d failed", t.ID, plural(len(t.Spans), "span"), t.Errors()), nil
}

// onSpan makes a check of what "Logs for this span" shows for a span of the roll: the
// lines of its service with its trace ID.
func onSpan(service, name string, look func(*query.Trace, *query.Span, []query.LogLine) (string, error)) Func {
	return onTrace((*rolls).succeeded, func(ctx context.Context, p *Probe, t *query.Trace) (string, error) {
		s, err := spanOf(t, service, name)
		if err != nil {
			return "", err
		}
		lines, err := p.logLines(ctx, query.LogFilter{Service: service, TraceID: t.ID}.LogQL(), atLeast(linesOfEach))
		if err == nil && len(lines) == 0 {
			err = p.notFound(ctx, service, t.ID)
		}
		if err != nil {
			return "", err
		}
		return look(t, s, lines)
	})
}

func spanLogs(t *query.Trace, s *query.Span, lines []query.LogLine) (string, error) {
	own := 0
	for _, l := range lines {
		if l.SpanID() == s.SpanID {
			own++
		}
	}
	if own == 0 {
		return "", fmt.Errorf("none of the %d lines of %s with the trace_id %s has the span_id %s of %q",
			len(lines), s.Service, t.ID, s.SpanID, s.Name)
	}
	return fmt.Sprintf("%s, %d of them with the ID of %q", plural(len(lines), "line"), own, s.Name), nil
}

func logsMatch(t *query.Trace, s *query.Span, lines []query.LogLine) (string, error) {
	want, err := golden.Load(golden.Success)
	if err != nil {
		return "", err
	}
	var messages []string
	for _, l := range lines {
		if id := l.Field(contract.FieldTraceID); id != t.ID {
			return "", fmt.Errorf("Loki has the trace_id %s for a line whose text has %q", t.ID, id)
		}
		messages = append(messages, strconv.Quote(l.Message()))
	}
	if diffs := compare.Lines(want, s.Service, t, lines); len(diffs) > 0 {
		return "", fmt.Errorf("trace %s: %s", t.ID, compare.List(diffs))
	}
	return strings.Join(messages, ", "), nil
}

// notFound explains that a service's lines are not found by the trace ID of a roll:
// no line has it, or Loki does not know that a line has it.
func (p *Probe) notFound(ctx context.Context, service, id string) error {
	// The query that finds none stays the page, and the command, that shows it.
	own := &Probe{run: p.run, deadline: p.deadline}
	if _, err := own.lineWith(ctx, service, id); err != nil {
		return err
	}
	return fmt.Errorf("Loki has lines of %s whose text has the %s %s, but does not find them by it: "+
		"what ships them does not make it structured metadata", service, contract.FieldTraceID, id)
}

func logsSameTrace(ctx context.Context, p *Probe) (string, error) {
	o, err := p.rolls.succeeded()
	if err != nil {
		return "", err
	}
	id := o.Trace.TraceID
	lines, err := p.logLines(ctx, query.LogFilter{TraceID: id}.LogQL(), atLeast(len(contract.Services())*linesOfEach))
	if err != nil {
		return "", err
	}
	count := map[string]int{}
	for _, l := range lines {
		count[l.Service()]++
	}
	var parts []string
	for _, service := range contract.Services() {
		if count[service] == 0 {
			return "", p.notFound(ctx, service, id)
		}
		parts = append(parts, fmt.Sprintf("%d of %s", count[service], service))
	}
	return fmt.Sprintf("%s with %s", strings.Join(parts, ", "), id), nil
}

func logToTrace(ctx context.Context, p *Probe, t *query.Trace) (string, error) {
	var evidence []string
	for _, service := range contract.Services() {
		line, err := p.lineWith(ctx, service, t.ID)
		if err != nil {
			return "", err
		}
		s := slices.IndexFunc(t.Spans, func(s query.Span) bool { return s.SpanID == line.SpanID() })
		if s < 0 {
			return "", fmt.Errorf("the line %q of %s names the span %s, which trace %s does not have",
				line.Message(), service, line.SpanID(), t.ID)
		}
		evidence = append(evidence, fmt.Sprintf("%q to %q", line.Message(), t.Spans[s].Name))
	}
	return strings.Join(evidence, ", ") + " in " + t.ID, nil
}

// exemplarsOf selects series of a service whose exemplars name the traces of rolls: a
// counter's and a histogram's.
func exemplarsOf(service string) []string {
	histogram := map[string]string{
		contract.ServiceFrontend: contract.MetricBackendDuration, contract.ServiceRoller: contract.MetricDiceRollValue,
	}[service]
	return []string{fmt.Sprintf(`%s{job=%q,handler="/roll"}`, contract.MetricHTTPRequests, service), histogram + "_bucket"}
}

// exemplarToTrace takes any roll's exemplar since the rolls began: a counter
// keeps only its last one, which may be somebody else's.
func exemplarToTrace(ctx context.Context, p *Probe) (string, error) {
	var evidence, problems []string
	for _, service := range contract.Services() {
		for _, series := range exemplarsOf(service) {
			e, err := p.exemplar(ctx, service, series)
			if err != nil {
				problems = append(problems, err.Error())
				continue
			}
			t, err := p.trace(ctx, e.TraceID, 1, p.rolls.ended)
			if err != nil {
				return "", fmt.Errorf("the exemplar of %s leads to no trace: %w", series, err)
			}
			evidence = append(evidence, e.Series["__name__"]+" to "+t.ID)
		}
	}
	if len(problems) > 0 {
		return "", errors.New(compare.List(problems))
	}
	return strings.Join(evidence, ", "), nil
}

// seen is a status, and where it was seen.
type seen struct{ where, status string }

// statusAgrees compares the two statuses of a failed roll wherever they stand: what
// each service answered, and what the front end saw of the dice roller's.
func statusAgrees(ctx context.Context, p *Probe, t *query.Trace) (string, error) {
	one := p.rolls.failure
	p.Add(one.Asked...)
	frontLine, err1 := p.lineWith(ctx, contract.ServiceFrontend, t.ID, contract.MsgBackendFailed)
	rollerLine, err2 := p.lineWith(ctx, contract.ServiceRoller, t.ID, contract.MsgRiskyFailed, contract.MsgFaultInjected)
	front, err3 := spanOf(t, contract.ServiceFrontend, contract.SpanFrontendRoll)
	click, err4 := spanOf(t, contract.ServiceFrontend, contract.SpanButtonClick)
	client, server, err5 := call(t)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			return "", err
		}
	}
	status := func(s *query.Span) string { return s.Attributes.Text("http.response.status_code") }
	if diff := disagreement(seen{"the answer", strconv.Itoa(one.Status)}, seen{"its page", one.Page.Status},
		seen{"its span", status(front)}, seen{"its log line", frontLine.Field(contract.FieldStatus)}); diff != "" {
		return "", fmt.Errorf("the front end's own status: %s (trace %s)", diff, t.ID)
	}
	if diff := disagreement(seen{"its span", status(server)}, seen{"its log line", rollerLine.Field(contract.FieldStatus)},
		seen{"the front end's GET span", status(client)}, seen{"the front end's " + contract.AttrBackendStatusCode,
			click.Attributes.Text(contract.AttrBackendStatusCode)},
		seen{"the front end's log line", frontLine.Field(contract.FieldBackendStatus)}); diff != "" {
		return "", fmt.Errorf("the dice roller's status: %s (trace %s)", diff, t.ID)
	}
	for _, s := range []*query.Span{front, click, client, server} {
		if !s.Failed() {
			return "", fmt.Errorf("%s %q has status %s, though the roll failed (trace %s)", s.Service, s.Name, s.Status, t.ID)
		}
	}
	class := func(s *query.Span) string { return status(s)[:1] + "xx" }
	for _, c := range []struct{ service, sample string }{
		{front.Service, fmt.Sprintf(`streamlit_requests_total{die_type="risky",status_code=%q}`, status(server))},
		{front.Service, requestsSample(http.MethodPost, class(front))},
		{server.Service, requestsSample(http.MethodGet, class(server))},
	} {
		if p.rolls.countErr == nil && p.rolls.after[c.service][c.sample] <= p.rolls.before[c.service][c.sample] {
			return "", fmt.Errorf("%s of %s has not counted the failed roll of trace %s, whose span has this status",
				c.sample, c.service, t.ID)
		}
	}
	return fmt.Sprintf("front end %s, dice roller %s in answer, spans, lines and counters of %s",
		status(front), status(server), t.ID), nil
}

func requestsSample(method, class string) string {
	return fmt.Sprintf(`%s{handler="/roll",method=%q,status=%q}`, contract.MetricHTTPRequests, method, class)
}

// disagreement lists the statuses, or returns "" if they are the same and one is there.
func disagreement(all ...seen) string {
	var parts []string
	same := all[0].status != ""
	for _, s := range all {
		same = same && s.status == all[0].status
		parts = append(parts, s.where+" has "+cmp.Or(s.status, "none"))
	}
	if same {
		return ""
	}
	return strings.Join(parts, ", ")
}

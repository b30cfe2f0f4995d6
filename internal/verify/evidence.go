package verify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
	"dicelab/internal/verify/frontpage"
	"dicelab/internal/wait"
)

// The number of spans and lines that a roll leaves behind.
const (
	spansOfRoll      = 5
	spansOfSimulated = spansOfRoll + 2 // the traffic generator adds its own
	linesOfEach      = 2               // of one service
)

// skew is the difference between the services' clocks that only checks about clocks
// notice.
const skew = 15 * time.Second

// since and till bound what is asked of the stores: this run's telemetry.
func (r *run) since() time.Time { return r.rolls.began.Add(-skew) }
func (r *run) till() time.Time  { return time.Now().Add(skew) }

// trailing is the time in which the spans of all services arrive once a trace has
// ended: services send them every 5 s at the latest, unless OTEL_BSP_SCHEDULE_DELAY
// says otherwise.
const trailing = 6 * time.Second

// trace reads a trace that ended at a time, and waits until it has a number of
// spans. It is taken as it is once its other spans can no longer be expected: they
// are in traces of their own, or the time in which spans arrive is over.
func (p *Probe) trace(ctx context.Context, id string, spans int, ended time.Time) (*query.Trace, error) {
	p.page = tracePage(id)
	t, err := p.traces.get(p, fmt.Sprint(id, spans), func(p *Probe) (t *query.Trace, err error) {
		had := 0
		err = p.until(ctx, func() error {
			if t, err = p.tempo().Trace(ctx, id); err != nil {
				return err
			}
			if had > 0 && len(t.Spans) > had {
				ended = time.Now()
			}
			if had = len(t.Spans); had >= spans || time.Since(ended) > trailing || p.apart(ctx, t) {
				return nil
			}
			return errIncomplete
		})
		return t, err
	})
	switch {
	case errors.Is(err, errIncomplete):
		return t, nil
	case errors.Is(err, query.ErrNotFound):
		return nil, fmt.Errorf("Tempo does not have the trace %s: do the services send their spans to it? (%w)", id, err)
	}
	return t, err
}

var (
	errNoTraceID  = errors.New("the answer to the roll has no valid header " + contract.HeaderTraceresponse)
	errIncomplete = errors.New("the trace is incomplete")
)

// apart reports whether the dice roller's spans, which a roll's trace lacks, are known
// to be in traces of their own.
func (p *Probe) apart(ctx context.Context, t *query.Trace) bool {
	if slices.Contains(t.Services(), contract.ServiceRoller) {
		return false
	}
	elsewhere, err := p.elsewhere(ctx, contract.ServiceRoller)
	return err == nil && len(elsewhere) >= len(p.rolls.all)
}

// elsewhere lists traces that begin in a service and are none of this run's rolls.
func (p *Probe) elsewhere(ctx context.Context, service string) (ids []string, err error) {
	own := p.rolls.ids()
	found, err := p.searchTraces(ctx, query.SpanFilter{Service: service}.TraceQL())
	for _, f := range found {
		if own[f.TraceID] == nil && f.RootService == service {
			ids = append(ids, f.TraceID)
		}
	}
	return ids, err
}

// searchTraces asks for the traces of the time of this run.
func (p *Probe) searchTraces(ctx context.Context, traceQL string) ([]query.Found, error) {
	r, err := p.tempo().Search(ctx, query.Search{TraceQL: traceQL, Start: p.since(), End: p.till(), Limit: maxLines})
	if err != nil {
		return nil, err
	}
	return r.Traces, nil
}

// traceOf reads the trace of a roll.
func (p *Probe) traceOf(ctx context.Context, o *frontpage.Roll) (*query.Trace, error) {
	switch {
	case !o.Rolled() && !o.FailedInBackend():
		return nil, fmt.Errorf("the roll failed: %s", o.Outcome())
	case o.Trace.TraceID == "":
		return nil, errNoTraceID
	}
	return p.trace(ctx, o.Trace.TraceID, spansOfRoll, p.rolls.ended)
}

type onTraceFunc func(context.Context, *Probe, *query.Trace) (string, error)

// onTrace makes a check of a roll's trace.
func onTrace(which func(*rolls) (*frontpage.Roll, error), look onTraceFunc) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		o, err := which(p.rolls)
		if err != nil {
			return "", err
		}
		t, err := p.traceOf(ctx, o)
		if err != nil {
			return "", err
		}
		return look(ctx, p, t)
	}
}

// onCall makes a check of the two spans of the call from the front end to the dice
// roller.
func onCall(look func(t *query.Trace, client, server *query.Span) (string, error)) Func {
	return onTrace((*rolls).succeeded, func(_ context.Context, _ *Probe, t *query.Trace) (string, error) {
		client, server, err := call(t)
		if err != nil {
			return "", err
		}
		return look(t, client, server)
	})
}

// spanOf returns the first span of a service with the name.
func spanOf(t *query.Trace, service, name string) (*query.Span, error) {
	for i := range t.Spans {
		if t.Spans[i].Service == service && t.Spans[i].Name == name {
			return &t.Spans[i], nil
		}
	}
	return nil, fmt.Errorf("trace %s has no span %q of %s", t.ID, name, service)
}

// call returns the two spans of the call from the front end to the dice roller.
func call(t *query.Trace) (client, server *query.Span, err error) {
	client, err = spanOf(t, contract.ServiceFrontend, contract.SpanClient)
	if err == nil {
		server, err = spanOf(t, contract.ServiceRoller, contract.SpanRollerRoll)
	}
	return client, server, err
}

// maxLines bounds the answer to a query for lines or traces.
const maxLines = 1000

// The paths of the explorer's pages of a trace and of queries.
func tracePage(id string) string       { return "/traces/" + url.PathEscape(id) }
func tracesPage(traceQL string) string { return "/traces?" + url.Values{"q": {traceQL}}.Encode() }
func logPage(logQL string) string      { return "/logs?" + url.Values{"q": {logQL}}.Encode() }
func metricPage(promQL string) string  { return "/metrics?" + url.Values{"q": {promQL}}.Encode() }

type enoughLines func([]query.LogLine) error

// logLines reads lines of this run, oldest first, and waits until enough returns no
// error; if some are still missing when the time is over, that is no error.
func (p *Probe) logLines(ctx context.Context, logQL string, enough enoughLines) ([]query.LogLine, error) {
	p.page = logPage(logQL)
	return p.lines.get(p, logQL, func(p *Probe) (lines []query.LogLine, err error) {
		var failure error
		err = p.until(ctx, func() error {
			var r *query.LogResult
			q := query.LogQuery{LogQL: logQL, Start: p.since(), End: p.till(), Limit: maxLines}
			if r, failure = p.loki().QueryRange(ctx, q); failure != nil {
				return failure
			}
			lines = r.Lines
			return enough(lines)
		})
		if failure != nil {
			return nil, err
		}
		slices.Reverse(lines)
		return lines, nil
	})
}

// atLeast is enough if there are n lines.
func atLeast(n int) enoughLines {
	return func(lines []query.LogLine) error {
		if len(lines) < n {
			return fmt.Errorf("%d of %d lines have arrived", len(lines), n)
		}
		return nil
	}
}

// linesOfRolls reads the lines that a service wrote during the rolls, by service and
// time alone, so that lines without IDs are among them. Others may have rolled, too.
func (p *Probe) linesOfRolls(ctx context.Context, service string) ([]query.LogLine, error) {
	lines, err := p.logLines(ctx, query.LogFilter{Service: service}.LogQL(), func(lines []query.LogLine) error {
		return atLeast(linesOfEach * p.rolls.reached(service))(ofRolls(lines))
	})
	return ofRolls(lines), err
}

// ofRolls returns the lines that are written within a roll.
func ofRolls(lines []query.LogLine) []query.LogLine {
	messages := []string{contract.MsgButtonClicked, contract.MsgBackendResponse, contract.MsgBackendFailed,
		contract.MsgRollReceived, contract.MsgRollCompleted, contract.MsgRiskyFailed, contract.MsgFaultInjected}
	other := func(l query.LogLine) bool { return !slices.Contains(messages, l.Message()) }
	return slices.DeleteFunc(slices.Clone(lines), other)
}

// lineWith returns the first line of a service whose text has a trace ID, of those
// with one of the messages if there are any. Loki looks for it, so that it is found
// among any number of others.
func (p *Probe) lineWith(ctx context.Context, service, id string, messages ...string) (query.LogLine, error) {
	lines, err := p.logLines(ctx, query.LogFilter{Service: service, Text: id}.LogQL(), atLeast(linesOfEach))
	if err != nil {
		return query.LogLine{}, err
	}
	for _, l := range lines {
		if l.Field(contract.FieldTraceID) == id && (len(messages) == 0 || slices.Contains(messages, l.Message())) {
			return l, nil
		}
	}
	what := "line"
	if len(messages) > 0 {
		what += " " + `"` + strings.Join(messages, `" or "`) + `"`
	}
	return query.LogLine{}, fmt.Errorf("Loki has no %s of %s with the trace_id %s", what, service, id)
}

// later waits until Prometheus has a value that a service counted after the rolls:
// what is scraped with it is there, too.
func (p *Probe) later(ctx context.Context, promQL string, counted float64) (value float64, err error) {
	p.page = metricPage(promQL)
	err = p.until(ctx, func() error {
		r, err := p.prometheus().Query(ctx, promQL, time.Time{})
		if err != nil {
			return err
		}
		if len(r.Series) == 0 {
			return fmt.Errorf("Prometheus has no series for %s", promQL)
		}
		if value = r.Series[0].Last(); !(value >= counted) { // NaN included
			return fmt.Errorf("after the rolls /metrics showed %v, but Prometheus has %v for %s", counted, value, promQL)
		}
		return nil
	})
	return value, err
}

// exemplar returns an exemplar of the time of this run that names a trace. Series
// that Prometheus has scraped since the rolls and that have none will get none.
func (p *Probe) exemplar(ctx context.Context, service, series string) (query.Exemplar, error) {
	return p.exemplars.get(p, series, func(p *Probe) (e query.Exemplar, err error) {
		requests, _ := p.rolls.after[service].Sum(contract.MetricHTTPRequests) // without counts any value will do
		if _, err := p.later(ctx, sumOf(contract.MetricHTTPRequests, service), requests); err != nil {
			return e, err
		}
		err = p.within(ctx, time.Second, func() error {
			all, err := p.prometheus().Exemplars(ctx, series, p.since(), p.till())
			if err != nil {
				return err
			}
			for _, e = range all {
				if e.TraceID != "" {
					return nil
				}
			}
			return wait.Final(fmt.Errorf("%s has %s since the rolls began, none with a %s",
				series, plural(len(all), "exemplar"), contract.FieldTraceID))
		})
		return e, err
	})
}

package quest

import (
	"fmt"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// cause is a thing that can break, and how it shows.
type cause struct {
	says  string // as a choice of the learner
	would string // what would be seen; the end of "If it were so, …"
	// specs are the faults in the incident, background those all the time, by service.
	specs, background func(Incident) map[string][]string
	// shows returns why a trace does not show the incident, or "". Nil: no trace does.
	shows func(*query.Trace, Incident) string
	// span returns why a span is not the one that shows it, or "".
	span func(*query.Node, Incident) string
	// enough reports whether the incident shows in the rolls that were made in it.
	enough  func(Incident, []Roll) bool
	scraped bool // it shows in metrics, which takes some scrapes
	crowd   bool // one roll among many
	explain func(Incident) string
}

// only returns faults of the incident's service.
func only(in Incident, specs ...string) map[string][]string {
	return map[string][]string{in.Service: specs}
}

// failing returns faults of the roller with which rolls of the incident's die fail.
func failing(in Incident) map[string][]string {
	return map[string][]string{contract.ServiceRoller: {fmt.Sprintf("fail-%s=%d%%", in.Die, in.Share)}}
}

// fell is the message of spans that fail because of a hidden fault.
const fell = "the die fell off the table"

// failures returns a condition on rolls: at least n of them failed with a status.
func failures(n, status int) func(Incident, []Roll) bool {
	return func(_ Incident, rolls []Roll) bool {
		failed := 0
		for _, r := range rolls {
			if r.Status == status || status == 0 && r.Status >= 500 {
				failed++
			}
		}
		return failed >= n
	}
}

// causes returns what can break, by name.
func causes() map[string]cause {
	slow := func(in Incident) map[string][]string { return only(in, "slow="+in.Size.String()) }
	slowExplained := func(in Incident) string {
		return fmt.Sprintf("One span's own time grew by %v: %s of %s. The spans above it are long only because they wait for it. "+
			"What a span does itself is its duration less that of the spans below it.", in.Size, slowSpan(in), in.Service)
	}
	return map[string]cause{
		"slow": {
			says:  "Work within one service takes much longer.",
			would: "one span's own time, without the spans below it, would be much longer than before",
			specs: slow, shows: showsSlow, span: spanSlow, explain: slowExplained,
		},
		"needle": {
			says:  "One single roll was slow, and no other.",
			would: "one roll, and only one, would stand out on a chart of exemplars",
			specs: slow, shows: showsSlow, span: spanSlow, crowd: true, explain: func(in Incident) string {
				return "A percentile hides one slow roll among thousands; its exemplar does not. " + slowExplained(in) + " It was a roll of " + in.User + "."
			},
		},
		"errors": {
			says:  "Rolls of some kind fail more than they should.",
			would: "spans would fail with a message that they did not have before",
			specs: func(in Incident) map[string][]string {
				return only(in, fmt.Sprintf("fail-%s=%d%%", in.Die, in.Share))
			},
			shows: showsErrors, span: spanErrors,
			enough: func(_ Incident, rolls []Roll) bool {
				n := 0
				for _, r := range rolls {
					if r.fell() {
						n++
					}
				}
				return n >= 3
			},
			explain: func(in Incident) string {
				return fmt.Sprintf("%d %% of the rolls of the %s die failed in %s. That the risky die fails one time in ten is as it should be: "+
					"the message tells the two apart.", in.Share, in.Die, in.Service)
			},
		},
		"propagation": {
			says:  "The trace context is not passed on between the services.",
			would: "the two halves of a roll would be in two traces",
			specs: func(in Incident) map[string][]string { return only(in, "no-propagation") },
			shows: showsApart,
			explain: func(in Incident) string {
				if in.Service == contract.ServiceFrontend {
					return "The front end sent no traceparent: the dice roller's GET /roll has no attribute http.request.header.traceparent, and began a trace of its own."
				}
				return "The front end did send a traceparent, which the dice roller recorded as an attribute of GET /roll, and did not use: it began a trace of its own."
			},
		},
		"export": {
			says:  "One service's spans do not arrive.",
			would: "its spans would be missing in every trace, while its log lines are there and name them",
			specs: func(in Incident) map[string][]string { return only(in, "no-export") },
			shows: showsMissing,
			explain: func(in Incident) string {
				return "The spans of " + in.Service + " were made, since its log lines carry their IDs, and never arrived. A missing parent or child is no proof that nothing happened there."
			},
		},
		"sampling": {
			says:  "The spans of failed requests alone are dropped.",
			would: "traces of rolls that went well would be whole, and those of failed ones would have holes",
			specs: func(in Incident) map[string][]string { return only(in, "drop-failed") }, background: failing,
			shows: showsSampled, enough: failures(3, 0),
			explain: func(in Incident) string {
				return in.Service + " kept the spans of rolls that went well and dropped those that failed: a sampler that decides by the wrong rule hides what it is there to show. The log lines of the failed rolls are all there."
			},
		},
		"log-ids": {
			says:  "Log lines of one service carry no trace ID.",
			would: "its lines would have neither trace_id nor any other spelling of it",
			specs: func(in Incident) map[string][]string { return only(in, "log-without-trace") },
			explain: func(in Incident) string {
				return "The lines of " + in.Service + " have no trace_id and no span_id: a logging call without the request's context. Time and service still find them: a query for lines whose trace_id is empty."
			},
		},
		"log-spelling": {
			says:  "Log lines of one service spell the trace ID in another way.",
			would: "the ID would stand in its lines under another name",
			specs: func(in Incident) map[string][]string { return only(in, "log-traceID") },
			explain: func(in Incident) string {
				return "The lines of " + in.Service + " have traceID instead of trace_id. The ID is in the text, so that a search for it finds the line; a query for the field does not."
			},
		},
		"clock": {
			says:  "The clock of one service is wrong.",
			would: "its spans would lie outside of their parents, with durations that are right",
			specs: func(in Incident) map[string][]string { return only(in, "clock-skew="+in.Size.String()) },
			shows: showsClock, span: spanOutside,
			explain: func(in Incident) string {
				return fmt.Sprintf("The clock of %s was off by %v. Nothing was slow: the spans' durations are as before, and only times of different services disagree. Which clock is wrong, a third one says: the lab's own, by which the rolls were made.", in.Service, in.Size)
			},
		},
		"counter": {
			says:  "A counter stands still while what it counts goes on.",
			would: "it would be flat while the service answers requests, and rates made of it would be zero",
			specs: func(in Incident) map[string][]string { return only(in, "counter-stuck") }, scraped: true,
			explain: func(in Incident) string {
				return counterOf(in) + " of " + in.Service + " stood still, while http_requests_total grew. An alert on it would have stayed quiet for ever: compare a counter with another that must move with it."
			},
		},
		"retries": {
			says:  "Failed calls are repeated, which multiplies the load.",
			would: "one roll would have several calls of the dice roller",
			specs: func(in Incident) map[string][]string {
				return map[string][]string{contract.ServiceFrontend: {fmt.Sprintf("retry=%d", in.Count)}}
			},
			background: failing, shows: showsRetries, enough: failures(2, 502),
			explain: func(in Incident) string {
				return fmt.Sprintf("The front end repeated each failed call at once, up to %d times. The dice roller, which was in trouble already, got up to %d calls for one roll.", in.Count, in.Count+1)
			},
		},
		"timeout": {
			says:  "A caller gives up sooner than the answer takes.",
			would: "calls would end with a timeout, all after the same time, while the service goes on working",
			specs: func(in Incident) map[string][]string {
				return map[string][]string{contract.ServiceFrontend: {"timeout=" + in.Size.String()}}
			},
			background: func(Incident) map[string][]string {
				return map[string][]string{contract.ServiceRoller: {"slow=600ms"}}
			},
			shows: showsTimeout, span: spanTimeout, enough: failures(3, 504),
			explain: func(in Incident) string {
				return fmt.Sprintf("The front end gave each call up after %v. The dice roller takes 600 ms and more, and took as long before: the limit was wrong, not the service.", in.Size)
			},
		},
	}
}

// counterOf returns the counter that stands still in a service.
func counterOf(in Incident) string {
	if in.Service == contract.ServiceFrontend {
		return contract.MetricButtonClicks
	}
	return contract.MetricDiceRolls
}

// slowSpan returns the name of the span that takes longer.
func slowSpan(in Incident) string {
	if in.Service == contract.ServiceFrontend {
		return contract.SpanButtonClick
	}
	return contract.SpanRoll
}

// long reports whether a duration is one of the incident.
func long(d time.Duration, in Incident) bool { return d >= in.Size*95/100 }

// any reports whether a span of a trace fits.
func anySpan(t *query.Trace, fits func(*query.Node) bool) (found bool) {
	t.Tree().Walk(func(n *query.Node) bool {
		found = found || fits(n)
		return true
	})
	return found
}

// callOf returns the call of the roller in a trace from both sides; nil for what it lacks.
func callOf(t *query.Trace) (client, server *query.Span) {
	for i := range t.Spans {
		switch s := &t.Spans[i]; {
		case s.Service == contract.ServiceFrontend && s.Kind == query.KindClient:
			client = s
		case s.Service == contract.ServiceRoller && s.Kind == query.KindServer:
			server = s
		}
	}
	return client, server
}

func has(t *query.Trace, service string) bool {
	for _, s := range t.Services() {
		if s == service {
			return true
		}
	}
	return false
}

func showsSlow(t *query.Trace, in Incident) string {
	if anySpan(t, func(n *query.Node) bool { return n.Name == slowSpan(in) && long(n.SelfTime, in) }) {
		return ""
	}
	return "no span of this trace takes much longer than before"
}

func spanSlow(n *query.Node, in Incident) string {
	switch {
	case n.Name == slowSpan(in) && long(n.SelfTime, in):
		return ""
	case long(n.Duration, in):
		return "this span is long because it waits for one below it: find the one whose own time is long"
	}
	return "this span is not long"
}

func showsErrors(t *query.Trace, in Incident) string {
	if anySpan(t, func(n *query.Node) bool { return spanErrors(n, in) == "" }) {
		return ""
	}
	if t.Errors() == 0 {
		return "nothing failed in this trace"
	}
	return "this roll failed for a reason that it has on good days, too: read the message of the error"
}

func spanErrors(n *query.Node, in Incident) string {
	switch {
	case !n.Failed():
		return "this span did not fail"
	case n.StatusMessage == fell && n.Service == in.Service && n.Attributes.Text(contract.AttrDieType) == in.Die:
		return ""
	}
	return "this span failed because another did, or for a reason that it has on good days, too"
}

func showsApart(t *query.Trace, _ Incident) string {
	if len(t.Services()) > 1 {
		return "this trace goes through both services, as it should"
	}
	client, server := callOf(t)
	if client == nil && (server == nil || server.ParentID != "") {
		return "this trace has no call between the services"
	}
	return ""
}

func showsMissing(t *query.Trace, in Incident) string {
	if has(t, in.Service) {
		return "this trace lacks no spans of the service that others lack"
	}
	client, server := callOf(t)
	if client == nil && server == nil {
		return "this trace has no call between the services"
	}
	return ""
}

func showsSampled(t *query.Trace, in Incident) string {
	if t.Errors() == 0 {
		return "nothing failed in this trace"
	}
	return showsMissing(t, in)
}

func showsClock(t *query.Trace, in Incident) string {
	client, server := callOf(t)
	if client == nil || server == nil {
		return "this trace has no call between the services"
	}
	off := server.Start.Sub(client.Start)
	if in.Service == contract.ServiceFrontend {
		off = -off
	}
	if (off - in.Size).Abs() > time.Second {
		return "in this trace the spans lie within their parents"
	}
	return ""
}

func spanOutside(n *query.Node, _ Incident) string {
	if n.Parent == nil || n.Parent.Service == n.Service {
		return "this span and its parent have the same clock"
	}
	if n.Early > time.Second || n.End().Sub(n.Parent.End()) > time.Second {
		return ""
	}
	return "this span lies within its parent"
}

func calls(t *query.Trace) (n int) {
	for _, s := range t.Spans {
		if s.Service == contract.ServiceFrontend && s.Kind == query.KindClient {
			n++
		}
	}
	return n
}

func showsRetries(t *query.Trace, _ Incident) string {
	if calls(t) < 2 {
		return "in this trace the dice roller was called once"
	}
	return ""
}

func spanTimeout(n *query.Node, _ Incident) string {
	if n.Name == contract.SpanButtonClick && n.Attributes.Text(contract.AttrErrorType) == contract.ErrorTypeTimeout {
		return ""
	}
	return "this span does not say that its time was over: look for one whose error.type does"
}

func showsTimeout(t *query.Trace, in Incident) string {
	if anySpan(t, func(n *query.Node) bool { return spanTimeout(n, in) == "" }) {
		return ""
	}
	return "in this trace the call was answered in time"
}

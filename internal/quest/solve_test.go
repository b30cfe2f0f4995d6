package quest_test

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/query"
	"dicelab/internal/quest"
)

// solution has the answers that a solver finds by the public query APIs alone.
type solution map[string]string

// view has all traces of the time of the quest's rolls, for a solver.
type view struct {
	l      *lab
	t      *testing.T
	from   time.Time
	first  time.Time // of the quest's rolls, by the right clock
	traces []*query.Trace
}

func (l *lab) look(t *testing.T) view {
	t.Helper()
	c := l.now(t)
	v := view{l: l, t: t, from: c.Began.Add(-30 * time.Second), first: c.FirstRoll}
	for _, f := range l.search(t, "{}", v.from) {
		if trace := l.trace(t, f.TraceID); true {
			v.traces = append(v.traces, trace)
		}
	}
	sort.Slice(v.traces, func(i, j int) bool { return v.traces[i].Tree().Start.Before(v.traces[j].Tree().Start) })
	return v
}

// that lists the traces of this quest that fit.
func (v view) that(fits func(*query.Trace) bool) (found []*query.Trace) {
	for _, trace := range v.traces {
		if !trace.Tree().Start.Before(v.first) && fits(trace) {
			found = append(found, trace)
		}
	}
	return found
}

// times adds the times of the first and the last of the traces.
func (s solution) times(found []*query.Trace) solution {
	last := found[0].Tree().End
	for _, trace := range found {
		if end := trace.Tree().End; end.After(last) {
			last = end
		}
	}
	s["from"], s["to"], s["trace"] = found[0].Tree().Start.Local().Format("15:04:05.000"), last.Local().Format("15:04:05.000"), found[0].ID
	return s
}

func spans(trace *query.Trace, fits func(*query.Node) bool) (found []*query.Node) {
	trace.Tree().Walk(func(n *query.Node) bool {
		if fits(n) {
			found = append(found, n)
		}
		return true
	})
	return found
}

func is(service, kind string) func(*query.Node) bool {
	return func(n *query.Node) bool { return n.Service == service && n.Kind == kind }
}

func services(trace *query.Trace) string { return strings.Join(trace.Services(), " ") }

func other(service string) string {
	if service == contract.ServiceFrontend {
		return contract.ServiceRoller
	}
	return contract.ServiceFrontend
}

// solvers find the answers of each quest.
var solvers = map[string]func(*testing.T, view) solution{
	"slow-rolls": func(_ *testing.T, v view) solution {
		long := func(n *query.Node) bool { return n.SelfTime > 1600*time.Millisecond }
		found := v.that(func(trace *query.Trace) bool { return len(spans(trace, long)) > 0 })
		n := spans(found[0], long)[0]
		return solution{"what": "slow", "where": n.Service, "span": n.SpanID, "query": fmt.Sprintf("{ name=%q && duration>1600ms }", n.Name)}.times(found)
	},
	"failing-rolls": func(_ *testing.T, v view) solution {
		fell := func(n *query.Node) bool { return n.StatusMessage == "the die fell off the table" }
		found := v.that(func(trace *query.Trace) bool { return len(spans(trace, fell)) > 0 })
		n := spans(found[0], fell)[0]
		return solution{"what": "errors", "where": n.Service, "who": n.Attributes.Text("die.type"), "span": n.SpanID,
			"query": `{ statusMessage="the die fell off the table" }`}.times(found)
	},
	"two-traces": func(t *testing.T, v view) solution {
		found := v.that(func(trace *query.Trace) bool {
			return services(trace) == contract.ServiceFrontend && len(spans(trace, is(contract.ServiceFrontend, query.KindClient))) > 0
		})
		halves := v.that(func(trace *query.Trace) bool { return services(trace) == contract.ServiceRoller })
		call := spans(found[0], is(contract.ServiceFrontend, query.KindClient))[0]
		s := solution{"what": "propagation", "where": contract.ServiceRoller, "query": `{ nestedSetParent<0 && name="GET /roll" }`}.times(found)
		for _, half := range halves {
			server := half.Spans[0]
			if half.Spans[0].Attributes.Text(contract.AttrTraceparent) == "" {
				s["where"] = contract.ServiceFrontend
			}
			if !server.Start.Before(call.Start) && !server.End().After(call.End()) && half.Text("die.type") == found[0].Text("die.type") {
				s["other"] = half.ID
			}
		}
		return s
	},
	"silent-lines": func(t *testing.T, v view) solution {
		lines := v.l.lines(t, `{service_name=~".+"} | trace_id="" | json | die_type!=""`, v.first)
		s := solution{"what": "log-ids", "where": lines[0].Service(), "line": lines[0].Text,
			"query": fmt.Sprintf(`{service_name=%q} | trace_id="" | json | die_type!=""`, lines[0].Service())}
		if lines[0].Field("traceID") != "" {
			s["what"] = "log-spelling"
		}
		s["from"], s["to"] = lines[len(lines)-1].Time.Local().Format("15:04:05.000"), lines[0].Time.Local().Format("15:04:05.000")
		return s
	},
	"wrong-times": func(_ *testing.T, v view) solution {
		off := func(trace *query.Trace) time.Duration {
			client, server := spans(trace, is(contract.ServiceFrontend, query.KindClient)), spans(trace, is(contract.ServiceRoller, query.KindServer))
			if len(client) == 0 || len(server) == 0 {
				return 0
			}
			return server[0].Start.Sub(client[0].Start)
		}
		var found *query.Trace
		for _, trace := range v.traces { // some begin before the quest, by a wrong clock
			if trace.Tree().Start.After(v.first.Add(-20*time.Second)) && off(trace).Abs() > 2*time.Second {
				found = trace
			}
		}
		server := spans(found, is(contract.ServiceRoller, query.KindServer))[0]
		s := solution{"what": "clock", "where": contract.ServiceRoller, "size": fmt.Sprint(off(found).Seconds()), "trace": found.ID, "span": server.SpanID}
		// Which clock is right? The one by which the spans lie in the time of the quest's rolls.
		c := v.l.now(v.t)
		if server.Start.After(c.FirstRoll.Add(-100*time.Millisecond)) && server.Start.Before(c.LastRoll) {
			front := spans(found, is(contract.ServiceFrontend, query.KindClient))[0]
			if front.Start.Before(c.FirstRoll) || front.Start.After(c.LastRoll) {
				s["where"], s["size"] = contract.ServiceFrontend, fmt.Sprint(-off(found).Seconds())
			}
		}
		return s
	},
	"calm-graph": func(t *testing.T, v view) solution {
		rates := map[string][2]string{
			contract.ServiceFrontend: {`http_requests_total{job="streamlit-frontend",handler="/roll",status!="4xx"}`, "streamlit_button_clicks_total"},
			contract.ServiceRoller:   {`http_requests_total{job="dice-roller",handler="/roll",status!="4xx"}`, "dice_rolls_total"},
		}
		// A request is counted after its click: the last one of all may look like a lost click for
		// a moment. The service whose counter stands still does so for longer.
		var found solution
		most := 0
		for service, pair := range rates {
			q := fmt.Sprintf("sum(rate(%s[5s])) > 0 unless sum(rate(%s[5s])) > 0", pair[0], pair[1])
			r, err := v.l.prometheus.QueryRange(t.Context(), q, v.first, time.Now(), 500*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Series) == 0 || len(r.Series[0].Points) <= most {
				continue
			}
			points := r.Series[0].Points
			most = len(points)
			// The rate over 5 s is 0 once the range holds nothing of before.
			from, to := points[0].Time.Add(-4*time.Second), points[len(points)-1].Time
			found = solution{"what": "counter", "where": service, "metric": pair[1], "query": q,
				"from": from.Local().Format("15:04:05.000"), "to": to.Local().Format("15:04:05.000")}
		}
		return found
	},
	"missing-spans": func(t *testing.T, v view) solution {
		found := v.that(func(trace *query.Trace) bool {
			return len(trace.Services()) == 1 && trace.Errors() == 0 && trace.Text("die.type") != ""
		})
		where := other(found[0].Services()[0])
		return solution{"what": "export", "where": where, "lost": lost(t, v, found[0], where)}.times(found)
	},
	"lost-failures": func(t *testing.T, v view) solution {
		found := v.that(func(trace *query.Trace) bool { return len(trace.Services()) == 1 && trace.Errors() > 0 })
		where := other(found[0].Services()[0])
		return solution{"what": "sampling", "where": where, "lost": lost(t, v, found[0], where)}.times(found)
	},
	"double-work": func(_ *testing.T, v view) solution {
		most := 0
		found := v.that(func(trace *query.Trace) bool {
			n := len(spans(trace, is(contract.ServiceFrontend, query.KindClient)))
			most = max(most, n)
			return n > 1
		})
		dice := map[string]int{}
		for _, trace := range found {
			dice[trace.Text("die.type")]++
		}
		who := contract.DieFair
		if dice[contract.DieRisky] > dice[contract.DieFair] {
			who = contract.DieRisky
		}
		return solution{"what": "retries", "where": contract.ServiceFrontend, "who": who, "calls": strconv.Itoa(most),
			"query": `{ kind=client && resource.service.name="streamlit-frontend" } | count() > 1`}.times(found)
	},
	"out-of-patience": func(_ *testing.T, v view) solution {
		gaveUp := func(n *query.Node) bool {
			return n.Name == contract.SpanButtonClick && n.Attributes.Text("error.type") == "timeout"
		}
		found := v.that(func(trace *query.Trace) bool { return len(spans(trace, gaveUp)) > 0 })
		call := spans(found[0], is(contract.ServiceFrontend, query.KindClient))[0]
		return solution{"what": "timeout", "where": contract.ServiceFrontend, "after": fmt.Sprint(call.Duration.Milliseconds()), "span": spans(found[0], gaveUp)[0].SpanID,
			"query": `{ name="roll_button_click" && span.error.type="timeout" }`}.times(found)
	},
	"one-in-a-thousand": func(t *testing.T, v view) solution {
		dots, err := v.l.prometheus.Exemplars(t.Context(), contract.MetricHTTPDuration+"_bucket", v.first, time.Now().Add(time.Minute))
		if err != nil || len(dots) == 0 {
			t.Fatalf("%d exemplars, %v", len(dots), err)
		}
		dot := slices.MaxFunc(dots, func(a, b query.Exemplar) int { return int((a.Value - b.Value) * 1e6) })
		trace := v.l.trace(t, dot.TraceID)
		n := spans(trace, func(n *query.Node) bool { return n.SelfTime > 2*time.Second })[0]
		_, user, _ := strings.Cut(strings.Trim(trace.Text("http.request.header.baggage"), `[]"`), "=")
		return solution{"what": "needle", "where": n.Service, "user": user, "trace": trace.ID, "span": n.SpanID,
			"query": fmt.Sprintf("{ name=%q && duration>%dms }", n.Name, n.Duration.Milliseconds()*9/10)}
	},
}

// lost returns a span of a service that a line or a span of a trace names.
func lost(t *testing.T, v view, trace *query.Trace, service string) string {
	t.Helper()
	for _, line := range v.l.lines(t, query.LogFilter{TraceID: trace.ID}.LogQL(), v.from) {
		if line.Service() == service && line.SpanID() != "" {
			return line.SpanID()
		}
	}
	t.Fatal("no line of " + service)
	return ""
}

// seeds are the seeds with which each quest is solved.
var seeds = []string{"1", "2", "3"}

// TestQuests uses one lab for all quests, which run one after
// another.
func TestQuests(t *testing.T) {
	l := startLab(t)
	t.Run("wrong answers", l.wrongAnswers)
	t.Run("wrong queries", l.wrongQueries)
	t.Run("hints cost", l.hintsCost)
	t.Run("refused", l.refused)
	t.Run("killed", l.killed)
	t.Run("closed in the middle", l.closedInTheMiddle)
	t.Run("token", l.tokenRefused)
	t.Run("report", l.reported)
	t.Run("exercises", l.exercises)
	for _, q := range quest.Quests() {
		solve, ok := solvers[q.Name]
		if !ok {
			if q.Level != quest.LevelExercise {
				t.Errorf("there is no solver of %s", q.Name)
			}
			continue
		}
		t.Run(q.Name, func(t *testing.T) {
			for _, seed := range seeds {
				t.Run(seed, func(t *testing.T) { l.solved(t, q, seed, solve) })
			}
		})
	}
}

// solved plays a quest and checks that the answers of a solver are accepted, and that
// nothing is left of it.
func (l *lab) solved(t *testing.T, q quest.Quest, seed string, solve func(*testing.T, view) solution) {
	l.do(t, "start", "name", q.Name, "seed", seed)
	l.state(t, quest.StateAsking)
	if !l.UnderWay() {
		t.Error("no quest is under way")
	}
	for _, set := range l.faults {
		if on := set.On(); len(on) > 0 {
			t.Errorf("the faults %v are listed", on)
		}
	}
	pairs := []string{}
	for id, text := range solve(t, l.look(t)) {
		pairs = append(pairs, id, text)
	}
	l.do(t, "answer", pairs...)
	if state := l.now(t).State; state != quest.StateMending {
		for _, a := range l.now(t).Questions {
			t.Logf("%s=%s: right %t %s", a.ID, a.Answer, a.Right, a.Why)
		}
		t.Logf("%s", l.incident(t))
		l.do(t, "stop")
		t.Fatalf("the quest is %s", state)
	}
	l.do(t, "mend", "setting", l.cause(t))
	c := l.state(t, quest.StateEnded)
	if c.Score != 100 || c.Why != "solved" || len(c.Explained) < 2 {
		t.Errorf("score %d, %s, %v", c.Score, c.Why, c.Explained)
	}
	l.clean(t)
}

// clean checks that no fault is on, and no quest is under way.
func (l *lab) clean(t *testing.T) {
	t.Helper()
	for service, set := range l.faults {
		if set.State() != (fault.State{}) || set.Entries()[0].Name == fault.Quest {
			t.Errorf("%s still has %+v", service, set.State())
		}
	}
	if l.UnderWay() {
		t.Error("a quest is under way")
	}
}

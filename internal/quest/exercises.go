package quest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// metricGrade grades the name of the counter that stands still.
func metricGrade(_ context.Context, g grader, text string) (string, error) {
	if text != counterOf(g.run.incident) {
		return "this metric moved as it should, or is none of the service's own", nil
	}
	return "", nil
}

// check makes a question whose answer is graded against the trace that was answered.
func check(id, ask, form string, grade func(context.Context, grader, *query.Trace, string) (string, error)) Question {
	return Question{ID: id, Ask: ask, Form: form, grade: func(ctx context.Context, g grader, text string) (string, error) {
		if g.answers["trace"] == "" {
			return "give the trace, too: the answer is looked for in it", nil
		}
		t, wrong, err := g.trace(ctx, g.answers["trace"])
		if err != nil || wrong != "" {
			return wrong, err
		}
		return grade(ctx, g, t, text)
	}}
}

// traceOf makes a question for a trace of the learner's own.
func traceOf(ask string, fits func(*query.Trace) string) Question {
	return Question{ID: "trace", Ask: ask, Form: traceForm, grade: func(ctx context.Context, g grader, text string) (string, error) {
		t, wrong, err := g.trace(ctx, text)
		if err != nil || wrong != "" {
			return wrong, err
		}
		return fits(t), nil
	}}
}

func whole(t *query.Trace) string {
	if client, server := callOf(t); client == nil || server == nil {
		return "this trace is not of a roll through both services"
	}
	return ""
}

// spanOf makes a question for a span of the trace.
func spanOf(id, ask string, fits func(query.Span) bool, wrong string) Question {
	return check(id, ask, "a span ID, 16 hexadecimal digits", func(_ context.Context, _ grader, t *query.Trace, text string) (string, error) {
		i := slices.IndexFunc(t.Spans, func(s query.Span) bool { return s.SpanID == text })
		switch {
		case i < 0:
			return "the trace has no such span", nil
		case !fits(t.Spans[i]):
			return wrong, nil
		}
		return "", nil
	})
}

func isNumber(id, ask string, right func(*query.Trace, []query.LogLine) int, wrong string) Question {
	return check(id, ask, "a number", func(ctx context.Context, g grader, t *query.Trace, text string) (string, error) {
		lines, err := g.linesOf(ctx, t)
		if err != nil {
			return "", err
		}
		if n, err := strconv.Atoi(text); err != nil || n != right(t, lines) {
			return wrong, nil
		}
		return "", nil
	})
}

// linesOf returns the log lines of a trace, which may be older than the exercise.
func (g grader) linesOf(ctx context.Context, t *query.Trace) ([]query.LogLine, error) {
	tree := t.Tree()
	r, err := g.Loki.QueryRange(ctx, query.LogQuery{LogQL: query.LogFilter{TraceID: t.ID}.LogQL(),
		Start: tree.Start.Add(-time.Minute), End: tree.End.Add(time.Minute), Limit: maxLines})
	if err != nil {
		return nil, err
	}
	return r.Lines, nil
}

// exercises lists the part of the path without incidents. They look at the learner's own
// rolls.
func exercises() []Quest {
	return []Quest{
		{
			Name: "two-sides", Title: "Two sides of a call", Level: LevelExercise, Path: 1,
			Story:  "Roll the fair die on the front end's page and open its trace. One call between the services is two spans.",
			Assume: "The lab runs and nothing is broken.", Learn: "which span is the caller's and which the one that is called",
			Questions: asks(traceOf("The trace of your roll.", whole),
				spanOf("caller", "The span that is the front end's side of the call.", func(s query.Span) bool { return s.Service == contract.ServiceFrontend && s.Kind == query.KindClient },
					"This span is not the one with which the front end called: a caller's span has the kind client."),
				spanOf("called", "The span that is the dice roller's side of it.", func(s query.Span) bool { return s.Service == contract.ServiceRoller && s.Kind == query.KindServer },
					"This span is not the one that took the call: such a span has the kind server, and the caller's as its parent.")),
			Hints: []string{"After a roll, the front end's page has a link: Open the trace.", "A click on a bar shows the span: its ID, its service, its kind.",
				"The front end's page shows the traceparent that it sent. The parent ID in it is one of the two."},
			After: "The front end's client span is the parent of the dice roller's server span; its ID went over the wire in the header traceparent.",
		},
		{
			Name: "count-them", Title: "Predict, then look", Level: LevelExercise, Path: 2,
			Story:  "Before you open the next trace, guess how many spans and log lines it has. Then count.",
			Assume: "The lab runs and nothing is broken.", Learn: "what one roll leaves behind",
			Questions: asks(traceOf("The trace of a roll.", whole),
				isNumber("spans", "How many spans has it?", func(t *query.Trace, _ []query.LogLine) int { return len(t.Spans) }, "That is not the number of bars in its waterfall."),
				isNumber("lines", "How many log lines has it?", func(_ *query.Trace, lines []query.LogLine) int { return len(lines) }, "That is not the number of lines under: Logs of this trace."),
				check("span", "In which span was the line \"Roll completed\" written?", "a span ID, 16 hexadecimal digits", func(ctx context.Context, g grader, t *query.Trace, text string) (string, error) {
					lines, err := g.linesOf(ctx, t)
					if err != nil {
						return "", err
					}
					if slices.ContainsFunc(lines, func(l query.LogLine) bool { return l.Message() == contract.MsgRollCompleted && l.SpanID() == text }) {
						return "", nil
					}
					return "That line was not written in this span: expand it, and read its span_id.", nil
				})),
			Hints: []string{"The trace's page says how many spans it has.", "The trace's page has a button to its log lines.", "Expand a log line: its structured metadata has trace_id and span_id."},
			After: "A roll has five spans and four lines, and each line names the span in which it was written.",
		},
		{
			Name: "a-failure", Title: "Who is to blame?", Level: LevelExercise, Path: 3,
			Story:  "Roll the risky die until it fails. Two services report an error, and one of them is to blame.",
			Assume: "The lab runs and nothing is broken: the risky die fails one time in ten.", Learn: "that a service's own status and that of its backend are two things",
			Questions: asks(traceOf("The trace of a roll that failed.", func(t *query.Trace) string {
				if t.Errors() == 0 {
					return "nothing failed in this trace"
				}
				return whole(t)
			}),
				spanOf("span", "The span in which it failed first.", func(s query.Span) bool { return s.Name == contract.SpanRoll && s.Failed() },
					"This span did not fail, or only because another did."),
				check("user", "The status that the user got.", "a number", status(contract.ServiceFrontend)),
				check("backend", "The status that the dice roller answered.", "a number", status(contract.ServiceRoller))),
			Hints: []string{"Traces has a filter for failed ones.", "The deepest failed span is the first.", "Server spans have the attribute http.response.status_code, one in each service."},
			After: "The dice roller failed with 500; the front end, which could not do its work without it, answered 502.",
		},
		{
			Name: "your-traceparent", Title: "A trace of your own making", Level: LevelExercise, Path: 4,
			Story: "Send a roll with a traceparent that you made up, then one with the flag 00 at its end.\n" +
				"curl -d die=fair -H 'traceparent: 00-<32 digits>-<16 digits>-01' localhost:8102/roll",
			Assume: "The lab runs and nothing is broken.", Learn: "what the header's four fields do",
			Questions: asks(traceOf("The ID that you made up, with flag 01.", func(t *query.Trace) string {
				if !slices.ContainsFunc(t.Spans, func(s query.Span) bool {
					return s.Service == contract.ServiceFrontend && s.Kind == query.KindServer && s.ParentID != "" && t.Tree().Find(s.ParentID) == nil
				}) {
					return "the front end began this trace itself, or another program did that has sent its spans: it was not a header of yours"
				}
				return ""
			}),
				Question{ID: "unsampled", Ask: "The ID that you sent with flag 00.", Form: traceForm, grade: func(ctx context.Context, g grader, text string) (string, error) {
					t, wrong, err := g.trace(ctx, text)
					if err != nil || t != nil {
						return "this trace is stored: it was sampled", err
					}
					if !strings.HasPrefix(wrong, "no trace is stored") {
						return wrong, nil
					}
					now := g.clock()
					r, err := g.Loki.QueryRange(ctx, query.LogQuery{LogQL: query.LogFilter{TraceID: text}.LogQL(), Start: now.Add(-time.Hour), End: now.Add(time.Minute)})
					if err != nil {
						return "", err
					}
					if len(r.Lines) == 0 {
						return "no log line has this ID: no roll was made with it", nil
					}
					return "", nil
				}}),
			Hints: []string{"The traceparent of any roll on the front end's page is a pattern: change its digits.", "An ID must not be all zeros.", "Log lines have the ID even where the trace is not recorded."},
			After: "The trace went on under your ID. With flag 00 nobody recorded it, and yet every log line carries the ID.",
		},
		{
			Name: "rate-and-dot", Title: "From a graph to a trace", Level: LevelExercise, Path: 5,
			Story:  "Let simulated users roll for a minute: dicelab traffic --duration 1m. Then ask for their rate, and open a dot.",
			Assume: "dicelab traffic runs, or ran in the last minutes.", Learn: "what a rate is, and that an exemplar leads from a graph to a trace",
			Questions: asks(Question{ID: "query", Ask: "A PromQL query for the rate of rolls that the dice roller answers.", Form: "a PromQL query with one value, within 10 %", grade: near(promValue,
				`sum(rate(http_requests_total{job="dice-roller",handler="/roll"}[1m]))`, 0.1, 0)},
				Question{ID: "trace", Ask: "The trace of an exemplar of http_request_duration_seconds.", Form: traceForm, grade: func(ctx context.Context, g grader, text string) (string, error) {
					now := g.clock()
					list, err := g.Prometheus.Exemplars(ctx, contract.MetricHTTPDuration+"_bucket", now.Add(-time.Hour), now)
					if err != nil {
						return "", err
					}
					if !slices.ContainsFunc(list, func(e query.Exemplar) bool { return e.TraceID == text }) {
						return "no exemplar of this metric has this trace ID", nil
					}
					return "", nil
				}}),
			Hints: []string{"rate(counter[1m]) is the growth a second. http_requests_total has the labels job and handler.", "Sum over what you do not want to tell apart: sum(rate(…)).", "The dots on the latency charts are exemplars, and links."},
			After: "A counter only grows; its rate says how fast. An exemplar is one measured request that remembers its trace.",
		},
		{
			Name: "reconcile", Title: "Do they agree?", Level: LevelExercise, Path: 6,
			Story:  "Count the rolls of the last five minutes twice: by a metric, and by log lines. The two must agree, but for what the last scrape has not seen.",
			Assume: "Rolls were made in the last five minutes.", Learn: "to compare signals with each other, since each agrees with itself",
			Questions: asks(Question{ID: "metric", Ask: "A PromQL query: rolls that the dice roller completed in the last 5 minutes.", Form: "a PromQL query with one value", grade: near(promValue,
				`sum(increase(dice_rolls_total{result="success"}[5m]))`, 0.1, 2)},
				Question{ID: "lines", Ask: "A LogQL query: the number of its lines \"Roll completed\" in the last 5 minutes.", Form: "a LogQL query with one value", grade: near(lokiValue,
					fmt.Sprintf("sum(count_over_time({service_name=%q} |= %q [5m]))", contract.ServiceRoller, contract.MsgRollCompleted), 0, 1)}),
			Hints: []string{"increase(counter[5m]) is the growth in five minutes.", "count_over_time({…} |= \"…\" [5m]) counts lines.", "dice_rolls_total has a label for the result."},
			After: "Where two signals disagree by more than a scrape, one of them lies. That is how most of the quests are found.",
		},
		{
			Name: "own-span", Title: "A span of your own", Level: LevelExercise, Path: 12,
			Story:  "Send a span from a program of your own to the lab, at http://localhost:4318. Let it call the front end, if you like, and pass its context on.",
			Assume: "docs/send.md has the endpoints; any OpenTelemetry SDK will do, and so will curl with OTLP as JSON.", Learn: "that instrumentation is a few lines",
			Questions: asks(traceOf("A trace with a span of your own service.", func(t *query.Trace) string {
				for _, s := range t.Services() {
					if s != contract.ServiceTraffic && !slices.Contains(contract.Services(), s) && s != query.UnknownService {
						return ""
					}
				}
				return "all spans of this trace are of the lab's own services, or of one without a name"
			})),
			Hints: []string{"The page Senders lists who sends, and what was refused.", "The service's name is the resource attribute service.name.", "POST to /v1/traces with Content-Type application/json."},
			After: "The lab takes any service's telemetry: point your own app at it.",
		},
	}
}

// status grades the status of a service's server span.
func status(service string) func(context.Context, grader, *query.Trace, string) (string, error) {
	return func(_ context.Context, _ grader, t *query.Trace, text string) (string, error) {
		for _, s := range t.Spans {
			if s.Service == service && s.Kind == query.KindServer && s.Attributes.Text("http.response.status_code") == text {
				return "", nil
			}
		}
		return "that is not the status of the service's server span", nil
	}
}

// evaluate runs a query that must have one value, and returns why it has not.
type evaluate func(ctx context.Context, g grader, text string) (v float64, wrong string, err error)

func promValue(ctx context.Context, g grader, text string) (float64, string, error) {
	r, err := g.Prometheus.Query(ctx, text, g.clock())
	if err != nil {
		return 0, "", err
	}
	v, wrong := single(r.Series)
	return v, wrong, nil
}

func lokiValue(ctx context.Context, g grader, text string) (float64, string, error) {
	now := g.clock()
	r, err := g.Loki.QueryRange(ctx, query.LogQuery{LogQL: text, Start: now.Add(-time.Second), End: now,
		Step: time.Second})
	if err != nil {
		return 0, "", err
	}
	v, wrong := single(r.Series)
	return v, wrong, nil
}

func single(series []query.Series) (v float64, wrong string) {
	if len(series) != 1 {
		return 0, fmt.Sprintf("this query has %d values: sum them up", len(series))
	}
	return series[0].Last(), ""
}

// near grades a query by the value of another: theirs may differ by a share of it and a number.
func near(value evaluate, other string, share, n float64) func(context.Context, grader, string) (string, error) {
	return func(ctx context.Context, g grader, text string) (string, error) {
		v, wrong, err := value(ctx, g, text)
		if err != nil || wrong != "" {
			return wrong, err
		}
		want, wrong, err := value(ctx, g, other)
		switch {
		case err != nil:
			return "", err
		case wrong != "" || want == 0:
			return "nothing was rolled in that time: roll first", nil
		case math.Abs(v-want) > share*want+n:
			return fmt.Sprintf("this query gives %.3g, which is not what was asked for", v), nil
		}
		return "", nil
	}
}

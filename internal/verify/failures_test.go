package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/contract"
	"dicelab/internal/verify/frontpage"
	"dicelab/stack"
)

// way is a way in which a check fails: what differs from a healthy lab, and what the
// check says of it.
type way struct {
	check string
	lab   func(*testing.T, *recording) // changes what the lab answers, or how it rolled
	run   func(*run)                   // changes the run
	says  string
}

const (
	frontend, roller = contract.ServiceFrontend, contract.ServiceRoller
	traces           = "tempo.test/api/v2/traces/"
	byID             = `} | trace_id=` // a query for lines by their metadata
	byText           = `} |= "`        // one by their text
	searches         = `api/search?q={resource.service.name="`
)

func edit(key, old, replacement string) func(*testing.T, *recording) {
	return func(t *testing.T, r *recording) { t.Helper(); r.edit(t, key, old, replacement) }
}

func replies(key string, status int, body string) func(*testing.T, *recording) {
	return func(t *testing.T, r *recording) {
		t.Helper()
		r.answer(t, key, recordedAnswer{status, "application/json", body})
	}
}

const (
	noStreams = `{"status":"success","data":{"resultType":"streams","result":[]}}`
	noSeries  = `{"status":"success","data":{"resultType":"matrix","result":[]}}`
)

// success and failure change the roll that brought a value, and the one that failed.
func success(change func(*frontpage.Roll)) func(*testing.T, *recording) {
	return func(_ *testing.T, r *recording) { change(r.roll((*rolls).succeeded)) }
}

func failure(change func(*frontpage.Roll)) func(*testing.T, *recording) {
	return func(_ *testing.T, r *recording) { change(r.roll((*rolls).failed)) }
}

func eachRoll(change func(*frontpage.Roll)) func(*testing.T, *recording) {
	return func(_ *testing.T, r *recording) {
		for _, one := range r.Rolls {
			change(one)
		}
	}
}

// counts changes what a service counted after the rolls, for a metric.
func counts(service, metric string, change func(before, after float64) float64) func(*testing.T, *recording) {
	return func(_ *testing.T, r *recording) {
		for sample, after := range r.After[service] {
			if strings.HasPrefix(sample, metric+"{") {
				r.After[service][sample] = change(r.Before[service][sample], after)
			}
		}
	}
}

// without renames a service in all traces.
func without(service string) func(*testing.T, *recording) {
	return edit(traces, `"`+service+`"`, `"another"`)
}

func noRoll(r *run)      { r.rolls.success = nil }
func noFailure(r *run)   { r.rolls.failure = nil }
func noCounts(r *run)    { r.rolls.countErr = errors.New("/metrics was away") }
func noFiles(r *run)     { r.Stack = nil }
func native(r *run)      { r.mode = checklist.Native }
func withGrafana(r *run) { r.Grafana = hosts[6] }
func moreRolls(r *run)   { r.rolls.all = append(r.rolls.all, r.rolls.all...) }
func longAgo(r *run)     { r.rolls.began, r.rolls.ended = time.Unix(0, 0), time.Now().AddDate(100, 0, 0) }

// simulates lets the traffic generator leave something.
func simulates(change func(*Traffic) error) func(*run) {
	return func(r *run) {
		id := r.rolls.success.Trace.TraceID
		r.Traffic = func(context.Context) (t Traffic, err error) {
			t = Traffic{Command: "dicelab traffic", TraceIDs: []string{id}, Log: fmt.Sprintf(`{"user_id":"user-1","trace_id":%q,"span_id":"1"}`, id)}
			err = change(&t)
			return t, err
		}
	}
}

func well(*Traffic) error { return nil }

// simulated makes the front end's part of all traces the generator's.
func simulated(t *testing.T, r *recording) {
	r.edit(t, traces, `"`+frontend+`"`, `"`+contract.ServiceTraffic+`"`)
	r.edit(t, traces, `"name":"POST /roll"`, `"name":"`+contract.SpanSimulated+`"`)
}

// stackWith is the stack with another text in its files.
func stackWith(old, replacement string) func(*run) {
	return func(r *run) {
		files := fstest.MapFS{}
		err := fs.WalkDir(stack.Configs, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(stack.Configs, path)
			files[path] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(text), old, replacement))}
			return err
		})
		if err != nil {
			panic(err)
		}
		r.Stack = files
	}
}

// echo is a lab whose metrics repeat what they are asked for.
type echo struct{ *recording }

func (e echo) RoundTrip(req *http.Request) (*http.Response, error) {
	metrics := "GET " + req.URL.Host + "/metrics"
	if a := e.Answers[metrics]; strings.HasPrefix(req.URL.Path, "/nobody") {
		a.Body += "# TYPE paths_total counter\npaths_total{path=\"" + req.URL.Path + "\"} 1\n"
		e.Answers[metrics] = a
	}
	return e.recording.RoundTrip(req)
}

func repeats(r *run) { r.transport = echo{r.transport.(*recording)} }

// alloy answers as Alloy does.
func alloy(components, detail string) func(*testing.T, *recording) {
	return func(_ *testing.T, r *recording) {
		r.Answers["GET alloy.test"+alloyPath] = recordedAnswer{200, "application/json", components}
		r.Answers["GET alloy.test"+alloyPath+"/local.file_match.services"] = recordedAnswer{200, "application/json", detail}
	}
}

func grafanaSays(status int, body string) func(*testing.T, *recording) {
	return func(_ *testing.T, r *recording) {
		r.Answers["GET grafana.test/api/dashboards/uid/dice-roller-stage2"] = recordedAnswer{status, "application/json", body}
	}
}

const (
	finder      = `{"name":"local.file_match","localID":"local.file_match.services","health":{"state":"healthy"}}`
	both        = frontend + " " + roller
	sick        = `{"name":"loki.write","localID":"loki.write.x","health":{"state":"unhealthy","message":"no"}}`
	itsTitle    = `{"dashboard":{"title":"Dice Roller - Stage 2 (with Frontend)"}}`
	anotherOne  = `{"dashboard":{"title":"Another"}}`
	tooLate     = "504"
	refusedText = "connection refused"
)

// passes are those that the recorded lab has no part for.
func passes() []way {
	return []way{
		{check: "alloy-discovers", lab: alloy("["+finder+"]", both), run: native},
		{check: "dashboard-in-grafana", lab: grafanaSays(200, itsTitle), run: withGrafana},
		{check: "traffic-runs", run: simulates(well)},
		{check: "traffic-propagates", lab: simulated, run: simulates(well)},
		{check: "traffic-logs", run: simulates(well)},
		{check: "traffic-searchable", run: simulates(well), lab: func(t *testing.T, r *recording) {
			r.copyAnswer(t, searches+frontend+`"}`, "GET tempo.test/"+searches+contract.ServiceTraffic+`"}`)
		}},
	}
}

func ways() []way {
	set := func(change func(*frontpage.Roll)) func(*frontpage.Roll) { return change }
	return []way{
		{check: "services-start", lab: replies("frontend.test/readyz", 503, ""), says: "streamlit-frontend is not ready: GET http://frontend.test/readyz answered 503"},
		{check: "services-start", lab: replies("roller.test/readyz", 0, ""), says: "dice-roller is not ready: connect: connection refused"},
		{check: "backend-responds", lab: replies("roller.test/", 500, ""), says: "answered 500"},
		{check: "backend-responds", lab: replies("roller.test/", 200, "<html>"), says: `the answer is not a dice roller's: "<html>"`},
		{check: "backend-responds", lab: replies("roller.test/", 200, `{"service":"x"}`), says: "the answer is not a dice roller's"},
		{check: "frontend-ui-loads", lab: replies("frontend.test/", 500, ""), says: "answered 500"},
		{check: "frontend-ui-loads", lab: replies("frontend.test/", 200, "{}"), says: `the answer is "application/json", not text/html`},
		{check: "frontend-ui-loads", lab: edit("frontend.test/", `action="/roll"`, `action="/x"`), says: "has no form that rolls a die"},
		{check: "frontend-ui-loads", lab: edit("frontend.test/", "</head>", `<script src="http://elsewhere.test/x.js"></script></head>`),
			says: "the page loads from another host: http://elsewhere.test/x.js"},
		{check: "frontend-metrics-exposed", lab: edit("frontend.test/metrics", "streamlit_button_clicks_total", "other_total"),
			says: "streamlit-frontend does not show streamlit_button_clicks_total"},
		{check: "frontend-metrics-exposed", lab: replies("frontend.test/metrics", 404, ""), says: "reading /metrics of streamlit-frontend: "},
		{check: "backend-metrics-exposed", lab: edit("roller.test/metrics", "dice_roll_value", "other_value"), says: "dice-roller does not show dice_roll_value"},
		{check: "backend-metrics-exposed", lab: replies("roller.test/metrics", 200, "{"), says: "reading metrics"},
		{check: "prometheus-answers", lab: replies("query?query=1", 0, ""), says: refusedText},
		{check: "loki-answers", lab: replies("v1/labels", 0, ""), says: refusedText},
		{check: "tempo-answers", lab: replies("search?q={}", 0, ""), says: refusedText},

		{check: "targets-up", lab: edit("targets", `"health":"up"`, `"health":"down"`), says: "dice-roller at http://127.0.0.1:"},
		{check: "targets-up", lab: edit("targets", `"job":"dice-roller"`, `"job":"another"`), says: "no target has the job dice-roller"},
		{check: "targets-up", lab: replies("targets", 500, ""), says: "500"},
		{check: "frontend-metrics-stored", run: noCounts, says: "/metrics was away"},
		{check: "frontend-metrics-stored", lab: counts(frontend, contract.MetricButtonClicks, func(_, a float64) float64 { return a + 1e9 }), says: "but Prometheus has"},
		{check: "frontend-metrics-stored", lab: counts(frontend, contract.MetricButtonClicks, func(float64, float64) float64 { return 0 }),
			says: "streamlit_button_clicks_total of streamlit-frontend is 0 after 30 rolls"},
		{check: "frontend-metrics-stored", lab: replies("sum(streamlit_button", 200, noSeries), says: "Prometheus has no series for sum(streamlit_button_clicks_total"},
		{check: "backend-metrics-stored", lab: counts(roller, contract.MetricDiceRolls, func(float64, float64) float64 { return 0 }), says: "dice_rolls_total of dice-roller is 0 after"},
		{check: "backend-metrics-stored", lab: replies("sum(dice_rolls", 500, ""), says: "500"},
		{check: "backend-metrics-stored", run: func(r *run) { clear(r.rolls.after[roller]) }, says: "dice-roller itself shows no dice_rolls_total"},
		{check: "counters-exact", run: noCounts, says: "/metrics was away"},
		{check: "counters-exact", lab: success(set(func(o *frontpage.Roll) { o.Page.Status = tooLate })), says: "some rolls ended in a way for which the counts are not known: 30 rolls: "},
		{check: "counters-exact", lab: counts(roller, contract.MetricDiceRolls, func(b, _ float64) float64 { return b }),
			says: `during 30 rolls 3 counters moved too little: dice_rolls_total{die_type="fair",result="success"} of dice-roller by 0, not by 4; `},
		{check: "counters-exact", lab: counts(roller, contract.MetricDiceRolls, func(_, a float64) float64 { return a + 1 }), says: "4 counters moved too much, though there is no other roll"},
		{check: "counters-exact", run: longAgo, says: "others rolled at the same time (",
			lab: func(t *testing.T, r *recording) {
				counts(roller, contract.MetricDiceRolls, func(_, a float64) float64 { return a + 1 })(t, r)
				r.copyAnswer(t, searches+frontend+`"}`, "GET tempo.test/"+searches+frontend+`" && name="POST /roll"}`)
				r.copyAnswer(t, searches+roller+`"}`, "GET tempo.test/"+searches+roller+`" && name="GET /roll"}`)
			}},
		{check: "labels-bounded", lab: edit("roller.test/metrics", `handler="none"`, `handler="x"`), says: `dice-roller did not count the request under handler="none", method="other"`},
		{check: "labels-bounded", run: repeats, says: "a label of streamlit-frontend repeats what was asked for: paths_total"},
		{check: "labels-bounded", lab: replies("roller.test/metrics", 404, ""), says: "reading /metrics of dice-roller"},

		{check: "alloy-discovers", lab: alloy("["+finder+","+sick+"]", both), run: native, says: "component loki.write.x of Alloy is unhealthy: no"},
		{check: "alloy-discovers", lab: alloy("[]", ""), run: native, says: "no component of the Alloy at http://alloy.test is a local.file_match"},
		{check: "alloy-discovers", lab: alloy("["+finder+"]", frontend), run: native, says: "local.file_match.services of Alloy has not found dice-roller"},
		{check: "alloy-discovers", lab: alloy("{", ""), run: native, says: "reading Alloy's components"},
		{check: "alloy-discovers", run: native, says: "answered 404"},
		{check: "alloy-discovers", run: func(r *run) { r.mode = checklist.Own }, says: "no Alloy answers at http://alloy.test; something else collects the lines"},
		{check: "alloy-discovers", lab: alloy("[]", ""), run: func(r *run) { r.mode = checklist.Own }, says: "is not one of this lab's"},
		{check: "frontend-logs", lab: replies("Button clicked", 200, noStreams), says: `Loki has no line "Button clicked" with the label container_name="streamlit-frontend-stage2"`},
		{check: "frontend-logs", run: moreRolls, says: `"Button clicked" for 60 rolls`},
		{check: "backend-logs", lab: replies("Roll request received", 200, noStreams), says: "Loki has no line"},
		{check: "backend-logs", lab: replies("Roll request received", 500, ""), says: "500"},
		{check: "backend-logs", run: moreRolls, says: `"Roll request received" for 60 rolls`},
		{check: "logs-have-trace-context", lab: edit(roller+`"}`, `\"trace_id\"`, `\"traceID\"`), says: "lines of dice-roller spell trace_id traceID: {"},
		{check: "logs-have-trace-context", lab: edit(frontend+`"}`, `\"span_id\"`, `\"x\"`), says: "lines of streamlit-frontend have no span_id: {"},
		{check: "logs-have-trace-context", lab: edit(frontend+`"}`, `\"trace_id\":\"`, `\"trace_id\":\"zz`), says: "have a trace_id that is no ID: {"},
		{check: "logs-have-trace-context", lab: replies(roller+`"}`, 200, noStreams), says: "Loki has no line of dice-roller by the label service_name"},
		{check: "logs-have-trace-context", lab: replies(roller+`"}`, 500, ""), says: "500"},
		{check: "log-labels", lab: edit(roller+`"}`, `"job":"dice-roller",`, ""), says: `a line of dice-roller has the labels {container_name="dice-roller-stage2", level=`},
		{check: "log-labels", lab: replies(frontend+`"}`, 200, noStreams), says: "Loki has no line of streamlit-frontend by the label service_name"},
		{check: "log-labels", lab: replies(frontend+`"}`, 500, ""), says: "500"},

		{check: "frontend-traces-searchable", lab: replies(searches+frontend, 200, `{"traces":[]}`), says: "is not among the 0 traces"},
		{check: "frontend-traces-searchable", run: noRoll, says: "no roll brought a value"},
		{check: "backend-traces-searchable", lab: replies(searches+roller, 200, `{"traces":[]}`), says: "is not among the 0 traces"},
		{check: "backend-traces-searchable", lab: replies(searches+roller, 500, ""), says: "500"},
		{check: "two-service-trace", lab: func(t *testing.T, r *recording) {
			r.edit(t, traces, `"parentSpanId":"`+b64(t, r.client(t))+`"`, `"parentSpanId":"AAAAAAAAAAE="`)
		}, says: `the parent of dice-roller "GET /roll" is 0000000000000001, not the front end's "GET"`},
		{check: "two-service-trace", lab: without(roller), says: `has no span "GET /roll" of dice-roller`},
		{check: "two-service-trace", run: noRoll, says: "no roll brought a value"},
		{check: "same-trace-id", lab: without(frontend), says: `has no span "GET" of streamlit-frontend`},
		{check: "timing", lab: func(t *testing.T, r *recording) { r.shift(t, roller, 10*time.Second) },
			says: "has ended: the clock of dice-roller is ahead of the clock of streamlit-frontend"},
		{check: "timing", lab: func(t *testing.T, r *recording) { r.shift(t, roller, -10*time.Second) },
			says: "before its caller's span GET: the clock of streamlit-frontend is ahead of the clock of dice-roller"},
		{check: "timing", lab: func(t *testing.T, r *recording) { r.shift(t, roller, 20*time.Millisecond) }, says: "after its caller's span GET: the clock of dice-roller"},
		{check: "timing", lab: without(roller), says: `has no span "GET /roll" of dice-roller`},
		{check: "span-tree", lab: edit(traces, "SPAN_KIND_CLIENT", "SPAN_KIND_SERVER"), says: `streamlit-frontend "GET": the kind is "SERVER", not "CLIENT"`},
		{check: "span-tree", lab: edit(traces, `"name":"roll"`, `"name":"rolls"`), says: `dice-roller "roll" is missing; dice-roller "rolls" is not expected`},
		{check: "span-tree", lab: edit(traces, `"key":"die.type"`, `"key":"die.kind"`), says: "die.kind=risky is not expected"},
		{check: "span-tree", lab: edit(traces, `{"trace":`, `{"status":"PARTIAL","message":"too large","trace":`), says: "is incomplete, as Tempo reports: too large"},
		{check: "failed-span-tree", lab: edit(traces, "exception.message", "exception.text"), says: "the exceptions is"},
		{check: "failed-span-tree", run: noFailure, says: "no roll of the risky die failed in the dice roller"},
		{check: "span-names-bounded", lab: replies(`name!="GET /"`, 200, `{"traces":[{"traceID":"1"}]}`), says: "dice-roller has a span with a name that docs/telemetry.md does not list, in trace"},
		{check: "span-names-bounded", lab: replies(`name!="GET"`, 500, ""), says: "500"},
		{check: "spans-delivered", lab: edit("frontend.test/metrics", `dropped_total{reason="export_failed"} 0`, `dropped_total{reason="export_failed"} 3`),
			says: `streamlit-frontend dropped 3 spans {reason="export_failed"}: does the OTLP endpoint that it sends to answer?`},
		{check: "spans-delivered", lab: replies("roller.test/metrics", 404, ""), says: "reading /metrics of dice-roller"},
		{check: "spans-delivered", lab: replies(traces, 500, ""), says: "500"},
		{check: "spans-delivered", run: noCounts, says: "/metrics was away"},

		{check: "roll-via-ui", run: noRoll, says: "no roll brought a value: 30 rolls: "},
		{check: "roll-via-ui", lab: success(func(o *frontpage.Roll) { o.Status = 500 }), says: ", but its status is 500"},
		{check: "roll-via-ui", lab: success(func(o *frontpage.Roll) { o.Trace.TraceID = "" }), says: "no valid header traceresponse"},
		{check: "trace-found", lab: replies(traces, 404, ""), says: "do the services send their spans to it?"},
		{check: "trace-found", lab: replies(traces, 500, ""), says: "500"},
		{check: "trace-found", lab: success(func(o *frontpage.Roll) { o.Trace.TraceID = "" }), says: "no valid header traceresponse"},
		{check: "spans-from-both", lab: func(t *testing.T, r *recording) {
			without(roller)(t, r)
			replies(searches+roller+`"}`, 200, `{"traces":[]}`)(t, r)
		}, says: "has no span of dice-roller: Tempo has no trace that begins in it: its spans are not exported, or do not arrive"},
		{check: "spans-from-both", lab: func(t *testing.T, r *recording) {
			without(roller)(t, r)
			r.edit(t, searches+roller+`"}`, `"rootServiceName":"streamlit-frontend"`, `"rootServiceName":"dice-roller"`)
		}, says: "so the context does not reach it"},
		{check: "parent-child", lab: func(t *testing.T, r *recording) {
			r.edit(t, traces, `"parentSpanId":"`+b64(t, r.client(t))+`"`, `"parentSpanId":"AAAAAAAAAAE="`)
		}, says: `the parent 0000000000000001 of dice-roller "GET /roll" is not in trace`},
		{check: "parent-child", lab: func(t *testing.T, r *recording) {
			r.edit(t, traces, `"parentSpanId":"`+b64(t, r.client(t))+`",`, "")
		}, says: "has 2 roots"},
		{check: "traceparent-propagated", lab: success(func(o *frontpage.Roll) { o.Page.Sent = "" }), says: "sent no traceparent to the dice roller"},
		{check: "traceparent-propagated", lab: success(func(o *frontpage.Roll) { o.Page.Sent = "x" }), says: `the page shows "x"; want "00-`},
		{check: "traceparent-propagated", run: noRoll, says: "no roll brought a value"},
		{check: "traceparent-propagated", lab: without(roller), says: `has no span "GET /roll" of dice-roller`},
		{check: "caller-continued", run: func(r *run) { r.rolls.continued.Trace.TraceID = "1" }, says: `the answer names "1": the front end does not take the caller's context`},
		{check: "caller-continued", run: func(r *run) { r.rolls.continued.Err = errors.New("no answer") }, says: "no answer"},
		{check: "caller-continued", run: func(r *run) {
			h := r.rolls.continued.Sent
			h.Set("Traceparent", h.Get("Traceparent")[:36]+"0000000000000001-01")
		}, says: "not the caller's 0000000000000001"},
		{check: "caller-continued", lab: without(frontend), says: `has no span "POST /roll" of streamlit-frontend`},
		{check: "malformed-starts-anew", run: func(r *run) { r.rolls.malformed.Err = errors.New("no answer") }, says: "no answer"},
		{check: "malformed-starts-anew", run: func(r *run) {
			r.rolls.malformed.Sent.Set("Traceparent", "00-"+r.rolls.malformed.Trace.TraceID)
		}, says: "continues it"},
		{check: "malformed-starts-anew", lab: edit(traces, `"name":"POST /roll"`, `"parentSpanId":"AAAAAAAAAAE=","name":"POST /roll"`), says: "has a parent 0000000000000001"},
		{check: "malformed-starts-anew", lab: without(frontend), says: `has no span "POST /roll" of streamlit-frontend`},
		{check: "tracestate-arrives", lab: edit(traces, sentState, "x=y"), says: `sent "dicelab=verify" to the front end; the dice roller's span has "x=y"`},
		{check: "tracestate-arrives", run: func(r *run) { r.rolls.continued.Page.Status = tooLate }, says: "the roll failed"},
		{check: "baggage-arrives", lab: edit(traces, sentBaggage, "x=y"), says: `sent "verify.run=checklist" to the front end; the dice roller's span has "x=y"`},
		{check: "baggage-arrives", lab: without(roller), says: `has no span "GET /roll" of dice-roller`},
		{check: "unsampled-respected", run: func(r *run) { r.rolls.unsampled.Trace.TraceID = "1" }, says: "does not take the caller's context"},
		{check: "unsampled-respected", run: func(r *run) { r.rolls.unsampled.Trace.Sampled, r.rolls.unsampled.Trace.Flags = true, "01" }, says: "sent flags 00, but the answer has 01"},
		{check: "unsampled-respected", run: func(r *run) { r.rolls.unsampled.Page.Link = "http://x" }, says: "the page links to a trace that is not recorded: http://x"},
		{check: "unsampled-respected", lab: replies(traces, 404, ""), says: "Tempo does not have the trace"},
		{check: "unsampled-respected", lab: func(t *testing.T, r *recording) {
			fair, unsampled := r.Rolls[0].Trace.TraceID, r.Rolls[3].Trace.TraceID
			r.copyAnswer(t, "/traces/"+fair, "GET "+traces+unsampled)
			r.edit(t, traces+unsampled, b64(t, fair), b64(t, unsampled))
		}, says: "was not to be recorded, but Tempo has 5 spans of it"},

		{check: "open-trace", lab: edit(traces, "STATUS_CODE_ERROR", "STATUS_CODE_UNSET"), says: "has status error"},
		{check: "open-trace", run: noFailure, says: "no roll of the risky die failed"},
		{check: "open-trace", lab: replies(traces, 404, ""), says: "Tempo does not have the trace"},
		{check: "frontend-span-logs", lab: replies(byID, 200, noStreams), says: "but does not find them by it: what ships them does not make it structured metadata"},
		{check: "frontend-span-logs", lab: func(t *testing.T, r *recording) {
			replies(byID, 200, noStreams)(t, r)
			replies(byText, 200, noStreams)(t, r)
		}, says: "Loki has no line of streamlit-frontend with the trace_id"},
		{check: "frontend-span-logs", lab: edit(byID, `"span_id":"`, `"span_id":"f`), says: "none of the 2 lines of streamlit-frontend"},
		{check: "frontend-span-logs", lab: without(frontend), says: `has no span "roll_button_click" of streamlit-frontend`},
		{check: "frontend-logs-match", lab: edit(byID, `\"trace_id\":\"`, `\"trace_id\":\"f`), says: "for a line whose text has"},
		{check: "frontend-logs-match", lab: edit(byID, "Button clicked", "Clicked"), says: `the line "Button clicked" of streamlit-frontend is missing; the line "Clicked" of streamlit-frontend is not expected`},
		{check: "backend-span-logs", lab: replies(byID, 500, ""), says: "500"},
		{check: "backend-span-logs", lab: edit(byID, `"span_id":"`, `"span_id":"f`), says: "none of the 2 lines of dice-roller"},
		{check: "backend-logs-match", lab: edit(byID, `"level":"INFO","service_name"`, `"level":"WARNING","service_name"`), says: `the level is "WARNING", not "INFO"`},
		{check: "backend-logs-match", lab: edit(byID, `\"die_type\"`, `\"dice\"`), says: "die_type is missing"},
		{check: "logs-same-trace", lab: edit(`".+"`+byID, `"service_name":"dice-roller"`, `"service_name":"x"`), says: "but does not find them by it"},
		{check: "logs-same-trace", lab: replies(`".+"`+byID, 500, ""), says: "500"},
		{check: "logs-same-trace", run: noRoll, says: "no roll brought a value"},
		{check: "log-to-trace", lab: replies(byText, 200, noStreams), says: "Loki has no line of streamlit-frontend with the trace_id"},
		{check: "log-to-trace", lab: edit(byText, `"span_id":"`, `"span_id":"f`), says: "which trace"},
		{check: "exemplar-to-trace", lab: replies("query_exemplars", 200, `{"status":"success","data":[]}`),
			says: `http_requests_total{job="streamlit-frontend",handler="/roll"} has 0 exemplars since the rolls began, none with a trace_id; `},
		{check: "exemplar-to-trace", lab: replies("query_exemplars", 500, ""), says: "500"},
		{check: "exemplar-to-trace", lab: replies("sum(http_requests", 500, ""), says: "500"},
		{check: "exemplar-to-trace", lab: replies(traces, 404, ""), says: "leads to no trace"},
		{check: "status-agrees", lab: failure(func(o *frontpage.Roll) { o.Status = 200 }), says: "the front end's own status: the answer has 200, its page has 502"},
		{check: "status-agrees", lab: edit(traces, `"key":"backend.status_code"`, `"key":"x"`), says: "the front end's backend.status_code has none"},
		{check: "status-agrees", lab: edit(traces, "STATUS_CODE_ERROR", "STATUS_CODE_UNSET"), says: "has status unset, though the roll failed"},
		{check: "status-agrees", lab: counts(frontend, contract.MetricBackendRequests, func(b, _ float64) float64 { return b }), says: "has not counted the failed roll"},
		{check: "status-agrees", lab: edit(byText, contract.MsgBackendFailed, "x"), says: `Loki has no line "Backend request failed" of streamlit-frontend`},
		{check: "status-agrees", lab: without(roller), says: `has no span "GET /roll" of dice-roller`},

		{check: "dropdown-offers-dice", lab: edit("frontend.test/", `value="risky"`, `value="x"`), says: `the drop-down offers ["fair" "x"], not ["fair" "risky"]`},
		{check: "roll-button-works", lab: success(func(o *frontpage.Roll) { o.Page.Value = "1" }), says: `the page shows "1" of the risky die`},
		{check: "roll-button-works", lab: eachRoll(func(o *frontpage.Roll) {
			if o.Die == contract.DieFair {
				o.Page.Status = tooLate
			}
		}), says: "no roll of the fair die brought a value: 30 rolls: "},
		{check: "trace-id-displayed", lab: failure(func(o *frontpage.Roll) { o.Page.TraceID = "" }), says: "shows no trace ID in a section that unfolds"},
		{check: "trace-id-displayed", lab: success(func(o *frontpage.Roll) { o.Page.TraceID = "1" }), says: "the page shows the trace ID 1, but the answer has"},
		{check: "trace-id-displayed", run: noFailure, says: "no roll of the risky die failed"},
		{check: "errors-displayed", run: noFailure, says: "which it does one time in ten: 30 rolls: "},
		{check: "errors-displayed", lab: failure(func(o *frontpage.Roll) { o.Page.Problem = "" }), says: "does not say what went wrong"},
		{check: "sidebar-shows-backend", lab: edit("frontend.test/", "http://localhost", "localhost"), says: "the sidebar does not show the URL of the dice roller: "},
		{check: "sidebar-shows-backend", lab: edit("frontend.test/", "/metrics", "/x"), says: "the sidebar does not show the path /metrics: "},
		{check: "sidebar-shows-backend", lab: edit("frontend.test/", "<dt>Tracing</dt>", "<dt>x</dt>"), says: "the sidebar does not show whether tracing is on: "},

		{check: "traffic-dependencies", says: "nothing to install"},
		{check: "traffic-runs", says: "there is no traffic generator to run here"},
		{check: "traffic-runs", run: simulates(func(*Traffic) error { return errors.New("exit status 2") }), says: "exit status 2"},
		{check: "traffic-runs", run: simulates(func(t *Traffic) error { t.TraceIDs = nil; return nil }), says: "the generator made no roll"},
		{check: "traffic-runs", run: simulates(func(t *Traffic) error { t.Dropped = 2; return nil }), says: "it could not deliver 2 spans"},
		{check: "traffic-propagates", run: simulates(well), says: "does OTEL_EXPORTER_OTLP_ENDPOINT name this lab?"},
		{check: "traffic-propagates", run: simulates(well), lab: replies(traces, 404, ""), says: "Tempo does not have the trace"},
		{check: "traffic-propagates", run: simulates(well), lab: func(t *testing.T, r *recording) { simulated(t, r); without(roller)(t, r) },
			says: `has no span "GET /roll" of dice-roller`},
		{check: "traffic-propagates", run: simulates(well), lab: func(t *testing.T, r *recording) {
			id := b64(t, r.client(t))
			simulated(t, r)
			r.edit(t, traces, `"parentSpanId":"`+id+`"`, `"parentSpanId":"AAAAAAAAAAE="`)
		}, says: "the dice roller's span is not below the generator's"},
		{check: "traffic-logs", run: simulates(func(t *Traffic) error { t.Log = "{}"; return nil }), says: "no line of the generator's log has the trace_id"},
		{check: "traffic-searchable", run: simulates(well), says: "not recorded"},

		{check: "dashboard-in-grafana", says: "Grafana is left out, as --grafana-url says"},
		{check: "dashboard-in-grafana", run: func(r *run) { r.Grafana = DefaultGrafana }, says: "only a lab in containers has a Grafana"},
		{check: "dashboard-in-grafana", lab: grafanaSays(200, anotherOne), run: withGrafana, says: `Grafana's dashboard dice-roller-stage2 is "Another"`},
		{check: "dashboard-in-grafana", lab: grafanaSays(404, "{}"), run: withGrafana, says: "answered 404"},
		{check: "dashboard-in-grafana", lab: grafanaSays(0, ""), run: withGrafana, says: refusedText},
		{check: "panels-load", run: noFiles, says: "there are no Grafana files here"},
		{check: "panels-load", lab: replies("histogram_quantile", 400, `{"status":"error","error":"parse error"}`), says: "parse error"},
		{check: "panels-load", run: stackWith(`"expr": "sum`, `"expr": "$nothing sum`), says: "undefined variable $nothing"},
		{check: "backend-panels-data", lab: replies("dice_roll_value_bucket", 200, noSeries), says: "no data"},
		{check: "backend-panels-data", lab: replies("dice_roll_value_bucket", 500, ""), says: "500"},
		{check: "backend-panels-data", run: stackWith(`"service": "dice-roller"`, `"service": "x"`), says: "no panel of the dashboard is about dice-roller"},
		{check: "frontend-panels-data", lab: replies("streamlit_request_duration", 200, noSeries), says: "no data"},
		{check: "frontend-panels-data", run: noFiles, says: "there are no Grafana files here"},
		{check: "link-trace-to-logs", run: noFiles, says: "there are no Grafana files here"},
		{check: "link-trace-to-logs", lab: replies(byID, 200, noStreams), says: `from the span "roll_button_click" of streamlit-frontend: the link leads to {service_name="streamlit-frontend"} | trace_id=`},
		{check: "link-trace-to-logs", lab: edit(byID, `\"trace_id\":\"`, `\"trace_id\":\"f`), says: "the link leads to a line of another trace or service: {"},
		{check: "link-trace-to-logs", run: stackWith("customQuery: true", "customQuery: false"), says: "only a query of its own"},
		{check: "link-trace-to-logs", lab: without(roller), says: `has no span "GET /roll" of dice-roller`},
		{check: "link-trace-to-metrics", lab: replies("query_range?query=", 200, noSeries), says: "which has no data"},
		{check: "link-trace-to-metrics", lab: replies(traces, 404, ""), says: "Tempo does not have the trace"},
		{check: "link-log-to-trace", lab: replies(byText, 200, noStreams), says: "Loki has no line of streamlit-frontend"},
		{check: "link-log-to-trace", lab: replies(traces, 404, ""), says: "the link leads to the trace"},
		{check: "link-log-to-trace", run: stackWith("matcherRegex: ^trace_id$$", "matcherRegex: ^traceID$$"), says: "no derived field for traces matches the line"},
		{check: "link-exemplar-to-trace", lab: replies("query_exemplars", 200, `{"status":"success","data":[]}`), says: "has 0 exemplars"},
		{check: "link-exemplar-to-trace", lab: replies(traces, 404, ""), says: "the link leads to the trace"},
		{check: "link-exemplar-to-trace", run: stackWith("- name: trace_id", "- name: traceID"), says: "it has trace_id"},
		{check: "link-service-map", lab: replies("traces_service_graph", 200, noSeries), says: "has no edge from streamlit-frontend to dice-roller"},
		{check: "link-service-map", lab: replies("traces_service_graph", 500, ""), says: "500"},
	}
}

// Every check fails in each of its ways, and says what is wrong.
func TestEveryCheckFails(t *testing.T) {
	failing := map[string]bool{}
	for _, w := range append(ways(), passes()...) {
		failing[w.check] = true
		t.Run(w.check+"/"+w.says, func(t *testing.T) {
			r := recorded(t)
			if w.lab != nil {
				w.lab(t, r)
			}
			evidence, err := r.check(t, w.check, w.run)
			if w.says == "" && (err != nil || evidence == "") {
				t.Errorf("evidence %q, error %v, want it to pass", evidence, err)
			}
			if w.says != "" && (err == nil || !strings.Contains(err.Error(), w.says)) {
				t.Errorf("evidence %q, error %v, want %q", evidence, err, w.says)
			}
		})
	}
	for _, c := range Checks() {
		if !failing[c.Name] {
			t.Errorf("no test sees %s fail", c.Name)
		}
	}
}

// client is the span ID of the front end's call of the dice roller.
func (r *recording) client(t *testing.T) string {
	t.Helper()
	parts := strings.Split(r.roll((*rolls).succeeded).Page.Sent, "-")
	if len(parts) != 4 {
		t.Fatalf("the traceparent %v was sent", parts)
	}
	return parts[2]
}

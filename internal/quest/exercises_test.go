package quest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
	"dicelab/internal/quest"
)

// roll rolls a die through the front end, and waits until all of its trace is stored.
func (l *lab) roll(t *testing.T, die, traceparent string) (id string, status int) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, l.frontend+"/roll", strings.NewReader(url.Values{"die": {die}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if traceparent != "" {
		req.Header.Set("Traceparent", traceparent)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		TraceID string `json:"trace_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return body.TraceID, resp.StatusCode
}

// stored waits until a trace and its lines are stored.
func (l *lab) stored(t *testing.T, id string) (trace *query.Trace, lines []query.LogLine) {
	t.Helper()
	l.until(t, func() error {
		var err error
		if trace, err = l.tempo.Trace(t.Context(), id); err != nil {
			return err
		}
		lines = l.lines(t, query.LogFilter{TraceID: id}.LogQL(), time.Now().Add(-time.Hour))
		if len(trace.Spans) < 5 || len(lines) < 4 {
			return fmt.Errorf("%d spans, %d lines", len(trace.Spans), len(lines))
		}
		return nil
	})
	return trace, lines
}

// exercise starts an exercise, and checks at its end that all answers were right.
func (l *lab) exercise(t *testing.T, name string, do func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		l.do(t, "start", "name", name)
		do(t)
		c := l.now(t)
		for _, q := range c.Questions {
			if !q.Right {
				t.Errorf("%s=%s: %s", q.ID, q.Answer, q.Why)
			}
		}
		if c.State != quest.StateEnded || c.Score != 100 || len(c.Explained) != 1 {
			t.Errorf("the exercise is %s, score %d, %v", c.State, c.Score, c.Explained)
			l.do(t, "stop")
		}
	})
}

func (l *lab) exercises(t *testing.T) {
	id, _ := l.roll(t, contract.DieFair, "")
	trace, lines := l.stored(t, id)
	span := func(trace *query.Trace, name string) query.Span {
		for _, s := range trace.Spans {
			if s.Name == name {
				return s
			}
		}
		t.Fatalf("no span %s", name)
		return query.Span{}
	}
	l.exercise(t, "two-sides", func(t *testing.T) {
		l.wrong(t, "caller", span(trace, contract.SpanClient).SpanID, "give the trace, too")
		l.do(t, "answer", "trace", id)
		l.wrong(t, "caller", span(trace, contract.SpanRoll).SpanID, "a caller's span has the kind client")
		l.wrong(t, "called", span(trace, contract.SpanFrontendRoll).SpanID, "has the kind server")
		l.do(t, "answer", "caller", span(trace, contract.SpanClient).SpanID, "called", span(trace, contract.SpanRollerRoll).SpanID)
	})
	l.exercise(t, "count-them", func(t *testing.T) {
		l.do(t, "answer", "trace", id)
		l.wrong(t, "spans", "4", "not the number of bars")
		l.wrong(t, "lines", "five", "not the number of lines")
		l.wrong(t, "span", strings.Repeat("a", 16), "was not written in this span")
		for _, line := range lines {
			if line.Message() == contract.MsgRollCompleted {
				l.do(t, "answer", "spans", "5", "lines", "4", "span", line.SpanID())
			}
		}
	})
	l.exercise(t, "a-failure", func(t *testing.T) {
		status, failed := 0, ""
		for status != http.StatusBadGateway {
			failed, status = l.roll(t, contract.DieRisky, "")
		}
		trace, _ := l.stored(t, failed)
		l.wrong(t, "trace", id, "nothing failed")
		l.do(t, "answer", "trace", failed)
		l.wrong(t, "span", span(trace, contract.SpanClient).SpanID, "only because another did")
		l.wrong(t, "user", "500", "not the status")
		l.do(t, "answer", "span", span(trace, contract.SpanRoll).SpanID, "user", "502", "backend", "500")
	})
	l.exercise(t, "your-traceparent", func(t *testing.T) {
		mine, unsampled := strings.Repeat("1c", 16), strings.Repeat("2d", 16)
		l.roll(t, contract.DieFair, "00-"+mine+"-"+strings.Repeat("3", 16)+"-01")
		l.stored(t, mine)
		l.wrong(t, "trace", id, "began this trace itself")
		l.wrong(t, "unsampled", unsampled, "no log line has this ID")
		l.wrong(t, "unsampled", mine, "this trace is stored")
		l.roll(t, contract.DieFair, "00-"+unsampled+"-"+strings.Repeat("3", 16)+"-00")
		l.until(t, func() error {
			if len(l.lines(t, query.LogFilter{TraceID: unsampled}.LogQL(), time.Now().Add(-time.Hour))) == 0 {
				return fmt.Errorf("no line yet")
			}
			return nil
		})
		l.do(t, "answer", "trace", mine, "unsampled", unsampled)
	})
	const promQL = `sum(rate(http_requests_total{job="dice-roller",handler=~"/roll.*"}[1m]))`
	l.until(t, func() error { // two scrapes
		r, err := l.prometheus.Query(t.Context(), promQL, time.Now())
		if err == nil && (len(r.Series) != 1 || r.Series[0].Last() == 0) {
			err = fmt.Errorf("no rate yet")
		}
		return err
	})
	l.exercise(t, "rate-and-dot", func(t *testing.T) {
		dots, err := l.prometheus.Exemplars(t.Context(), contract.MetricHTTPDuration+"_bucket", time.Now().Add(-time.Hour), time.Now())
		if err != nil || len(dots) == 0 {
			t.Fatalf("%d exemplars, %v", len(dots), err)
		}
		l.wrong(t, "query", `rate(http_requests_total[1m])`, "values: sum them up")
		l.wrong(t, "query", "vector(1e6)", "which is not what was asked for")
		l.wrong(t, "trace", strings.Repeat("a", 32), "no exemplar")
		l.do(t, "answer", "query", promQL, "trace", dots[0].TraceID)
	})
	l.exercise(t, "reconcile", func(t *testing.T) {
		l.wrong(t, "lines", `sum(count_over_time({service_name=~".+"} [5m]))`, "which is not what was asked for")
		l.do(t, "answer", "metric", `sum(increase(dice_rolls_total{result="success"}[5m]))`,
			"lines", `sum(count_over_time({service_name="dice-roller"} |= "Roll completed" [5m]))`)
	})
	l.exercise(t, "own-span", func(t *testing.T) {
		own := strings.Repeat("4e", 16)
		now := time.Now().UnixNano()
		body := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mine"}}]},"scopeSpans":[{"spans":[`+
			`{"traceId":%q,"spanId":"5f5f5f5f5f5f5f5f","name":"hello","kind":1,"startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`, own, now, now+1e6)
		resp, err := http.Post(l.otlp+"/v1/traces", "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", resp.Status, err)
		}
		l.wrong(t, "trace", id, "of the lab's own services")
		l.do(t, "answer", "trace", own)
	})
}

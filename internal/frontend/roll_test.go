package frontend_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry/telemetrytest"
	"dicelab/internal/web"
)

// rolled is the JSON of a roll as design and documentation promise it.
type rolled struct {
	Die         string `json:"die"`
	Roll        int    `json:"roll"`
	TraceID     string `json:"trace_id"`
	Traceparent string `json:"traceparent"`
	Recorded    bool   `json:"recorded"`
	Links       *links `json:"links"`
}

type links struct {
	Trace string `json:"trace"`
	Logs  string `json:"logs"`
}

// failure is the JSON of a roll that brought nothing.
type failure struct {
	web.Problem
	Die         string `json:"die"`
	Traceparent string `json:"traceparent"`
	Links       *links `json:"links"`
}

// linksTo returns the links of a trace.
func linksTo(id string) *links {
	return &links{Trace: strings.ReplaceAll(traceURL, "{trace_id}", id), Logs: strings.ReplaceAll(logsURL, "{trace_id}", id)}
}

const (
	rollPosted  = `http_requests_total{handler="/roll",method="POST",status="`
	riskyClick  = `streamlit_button_clicks_total{die_type="risky"}`
	riskyAsked  = `streamlit_request_duration_seconds_count{die_type="risky"}`
	riskyStatus = `streamlit_requests_total{die_type="risky",status_code="`
)

// The two statuses: what this service answers, and what the roller answered.
// Wire, body, counters, spans and log lines must not mix them up.
func TestTwoStatuses(t *testing.T) {
	type want struct {
		own, backend int    // backend is 0 where the roller sent nothing
		counted      string // status_code of streamlit_requests_total
		errorType    string // of roll_button_click
		detail       string
	}
	for _, tt := range []struct {
		name    string
		backend func(t *testing.T) string
		timeout time.Duration
		want    want
	}{
		{name: "success", backend: func(t *testing.T) string { return backend(t, reply(200, `{"roll":4}`)) },
			want: want{own: 200, backend: 200, counted: "200"}},
		{name: "roller failed", backend: func(t *testing.T) string {
			return backend(t, reply(500, `{"status":500,"detail":"The risky die failed."}`))
		},
			want: want{own: 502, backend: 500, counted: "500", errorType: "500", detail: "The dice roller answered 500: The risky die failed."}},
		{name: "roller refused", backend: func(t *testing.T) string { return backend(t, reply(422, `{"status":422,"detail":"No such die."}`)) },
			want: want{own: 502, backend: 422, counted: "422", errorType: "422", detail: "The dice roller answered 422: No such die."}},
		{name: "not a roller", backend: func(t *testing.T) string { return backend(t, reply(404, "<h1>not here</h1>")) },
			want: want{own: 502, backend: 404, counted: "404", errorType: "404", detail: "The dice roller answered 404: It gave no reason."}},
		{name: "malformed", backend: func(t *testing.T) string { return backend(t, reply(200, `{"roll":9}`)) },
			want: want{own: 502, backend: 200, counted: "200", errorType: contract.ErrorTypeMalformed,
				detail: "The dice roller's answer makes no sense. See whether the backend URL really is a dice roller."}},
		{name: "not HTTP", backend: func(t *testing.T) string { return speaks(t, "SSH-2.0-OpenSSH_9.6\r\n") },
			want: want{own: 502, counted: "502", errorType: contract.ErrorTypeMalformed,
				detail: "The dice roller's answer makes no sense. See whether the backend URL really is a dice roller."}},
		{name: "breaks off", backend: func(t *testing.T) string {
			return speaks(t, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"roll\":3")
		},
			want: want{own: 502, counted: "502", errorType: contract.ErrorTypeMalformed,
				detail: "The dice roller's answer makes no sense. See whether the backend URL really is a dice roller."}},
		{name: "hangs up", backend: func(t *testing.T) string { return speaks(t, "") },
			want: want{own: 503, counted: "503", errorType: contract.ErrorTypeUnreachable,
				detail: "The dice roller could not be reached. See whether it runs, then roll again."}},
		{name: "timeout", timeout: 50 * time.Millisecond, backend: func(t *testing.T) string { return backend(t, hang) },
			want: want{own: 504, counted: "504", errorType: contract.ErrorTypeTimeout,
				detail: "The dice roller did not answer in time. Its trace shows where it stood; roll again, or see whether it is overloaded."}},
		{name: "unreachable", backend: func(t *testing.T) string { return nowhere(t) },
			want: want{own: 503, counted: "503", errorType: contract.ErrorTypeUnreachable,
				detail: "The dice roller could not be reached. See whether it runs, then roll again."}},
	} {
		for _, accept := range []string{asJSON, asHTML} {
			t.Run(tt.name+" "+accept[:9], func(t *testing.T) {
				target := tt.backend(t)
				s := start(t, config{roller: target, timeout: tt.timeout})
				before := s.metrics(t)
				a := s.roll(t, contract.DieRisky, accept)
				if a.status != tt.want.own {
					t.Errorf("answered %d, want %d", a.status, tt.want.own)
				}
				if accept == asJSON {
					checkJSON(t, a, tt.want.own, tt.want.detail)
				} else {
					checkResult(t, a, tt.want.own, tt.want.detail)
				}
				if got := a.header.Get("Vary"); got != "Accept" {
					t.Errorf("Vary is %q", got)
				}

				class := string("0123456789"[tt.want.own/100]) + "xx"
				wantMoved := map[string]float64{rollPosted + class + `"}`: 1, riskyClick: 1, riskyAsked: 1, riskyStatus + tt.want.counted + `"}`: 1}
				if diff := cmp.Diff(wantMoved, moved(before, s.metrics(t))); diff != "" {
					t.Errorf("metrics moved (-want +got):\n%s", diff)
				}
				checkLine(t, s.log, target, a.traceID(), tt.want.own, tt.want.backend)
				checkSpans(t, s.sink, target, tt.want.own, tt.want.backend, tt.want.errorType)
			})
		}
	}
}

func checkJSON(t *testing.T, a answer, own int, detail string) {
	t.Helper()
	if own == http.StatusOK {
		got := decode[rolled](t, a.body)
		want := rolled{Die: contract.DieRisky, Roll: 4, TraceID: a.traceID(), Traceparent: got.Traceparent, Recorded: true, Links: linksTo(a.traceID())}
		if diff := cmp.Diff(want, got); diff != "" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s (-want +got):\n%s", a.header.Get("Content-Type"), diff)
		}
		return
	}
	got := decode[failure](t, a.body)
	want := failure{Problem: web.Problem{Title: http.StatusText(own), Status: own, Detail: detail, TraceID: a.traceID()},
		Die: contract.DieRisky, Traceparent: got.Traceparent, Links: linksTo(a.traceID())}
	if diff := cmp.Diff(want, got); diff != "" || a.header.Get("Content-Type") != web.ProblemType {
		t.Errorf("%s (-want +got):\n%s", a.header.Get("Content-Type"), diff)
	}
}

// checkResult compares the page's result with the outcome. A failed roll has
// its trace info too: it is the one whose trace matters.
func checkResult(t *testing.T, a answer, own int, detail string) {
	t.Helper()
	page := parse(t, a)
	result := page.must(t, "result")
	title, headline := page.all("title")[0].text(), texts(result.all("h2"))
	wantTitle, wantHeadline, wantText := "Rolled 4 · Dice Roller", "You rolled 4", "with the risky die"
	if own != http.StatusOK {
		wantTitle, wantHeadline, wantText = "Roll failed · Dice Roller", http.StatusText(own)+" "+strconv.Itoa(own), detail
	}
	if title != wantTitle || !cmp.Equal(headline, []string{wantHeadline}) || !strings.Contains(result.text(), wantText) {
		t.Errorf("title %q, headline %q, text %q, want %q, %q, %q", title, headline, result.text(), wantTitle, wantHeadline, wantText)
	}
	if got := result.must(t, "trace-id").text(); got != a.traceID() || len(got) != 32 {
		t.Errorf("the page shows trace ID %q, traceresponse says %q", got, a.traceID())
	}
	want := linksTo(a.traceID())
	trace, _ := result.must(t, "trace-link").attr("href")
	logs, _ := result.must(t, "logs-link").attr("href")
	if diff := cmp.Diff(want, &links{Trace: trace, Logs: logs}); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

// checkLine compares the log line about the roller's response with both statuses.
func checkLine(t *testing.T, log *telemetrytest.Log, target, traceID string, own, backendStatus int) {
	t.Helper()
	message, level := contract.MsgBackendResponse, contract.LevelInfo
	if own != http.StatusOK {
		message, level = contract.MsgBackendFailed, contract.LevelError
	}
	line := log.Wait(message)
	if text, _ := line[contract.FieldError].(string); (text != "") != (own != http.StatusOK) {
		t.Errorf("log field error is %q", text)
	}
	for _, field := range []string{contract.FieldTimestamp, contract.FieldSpanID, contract.FieldDurationSeconds, contract.FieldError} {
		delete(line, field)
	}
	want := map[string]any{contract.FieldLevel: level, contract.FieldMessage: message, contract.FieldLogger: contract.ServiceFrontend,
		contract.FieldTraceID: traceID, contract.FieldDieType: contract.DieRisky, contract.FieldStatus: float64(own),
		contract.FieldBackendURL: target + "/roll"}
	if backendStatus != 0 {
		want[contract.FieldBackendStatus] = float64(backendStatus)
	}
	if own == http.StatusOK {
		want[contract.FieldRollValue] = 4.0
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("log line (-want +got):\n%s", diff)
	}
	click := log.Wait(contract.MsgButtonClicked)
	if click[contract.FieldTraceID] != traceID || click[contract.FieldDieType] != contract.DieRisky || click[contract.FieldLevel] != contract.LevelInfo {
		t.Errorf("line of the click: %v", click)
	}
}

func checkSpans(t *testing.T, sink *telemetrytest.Sink, target string, own, backendStatus int, errorType string) {
	t.Helper()
	sink.Wait(3)
	server, click := sink.Named(contract.SpanFrontendRoll), sink.Named(contract.SpanButtonClick)
	if got := server.Attributes["http.response.status_code"]; got != int64(own) {
		t.Errorf("span POST /roll has status_code %v, want %d", got, own)
	}
	want, status := map[string]any{contract.AttrDieType: contract.DieRisky, contract.AttrBackendURL: target + "/roll"}, "Error"
	if backendStatus != 0 {
		want[contract.AttrBackendStatusCode] = int64(backendStatus)
	}
	if own == http.StatusOK {
		want[contract.AttrRollValue], status = int64(4), "Unset"
	} else {
		want[contract.AttrErrorType] = errorType
	}
	if diff := cmp.Diff(want, click.Attributes); diff != "" || click.Status != status || server.Status != status {
		t.Errorf("span roll_button_click has status %s, POST /roll %s, want %s; attributes (-want +got):\n%s", click.Status, server.Status, status, diff)
	}
	if events := len(click.Events); (events == 1) != (own != http.StatusOK) {
		t.Errorf("span roll_button_click has %d events", events)
	}
}

// A die that there is not counts no click and asks nothing of the roller.
func TestInvalidDie(t *testing.T) {
	for _, tt := range []struct {
		name, die, value, detail string
	}{
		{name: "unknown", die: "loaded", value: "loaded", detail: `Form field "die" is "loaded"; it must be one of fair, risky.`},
		{name: "missing", detail: `Form field "die" is missing; send one of fair, risky as application/x-www-form-urlencoded.`},
		{name: "very long", die: strings.Repeat("ü", 5000), value: strings.Repeat("ü", 32) + "…",
			detail: `Form field "die" is "` + strings.Repeat("ü", 32) + `…"; it must be one of fair, risky.`},
		{name: "hostile", die: `"><script>alert(1)</script>`, value: `"><script>alert(1)</script>`,
			detail: `Form field "die" is "\"><script>alert(1)</script>"; it must be one of fair, risky.`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, config{roller: backend(t, func(http.ResponseWriter, *http.Request) { t.Error("the roller was asked") })})
			before := s.metrics(t)
			a := s.roll(t, tt.die, asJSON)
			got := decode[failure](t, a.body)
			want := failure{Links: linksTo(a.traceID()), Problem: web.Problem{Title: "Unprocessable Entity", Status: 422, Detail: tt.detail,
				Parameter: "die", Value: tt.value, Allowed: contract.Dice(), TraceID: a.traceID()}}
			if diff := cmp.Diff(want, got); diff != "" || a.status != 422 {
				t.Errorf("answered %d (-want +got):\n%s", a.status, diff)
			}
			line := s.log.Wait(contract.MsgInvalidDie)
			if line[contract.FieldLevel] != contract.LevelWarning || line[contract.FieldStatus] != 422.0 || line[contract.FieldDieType] != tt.value || line[contract.FieldTraceID] != a.traceID() {
				t.Errorf("log line %v", line)
			}

			page := parse(t, s.roll(t, tt.die, asHTML))
			if got := page.must(t, "result").text(); !strings.Contains(got, tt.detail) {
				t.Errorf("the page says %q, not %q", got, tt.detail)
			}
			if scripts := page.all("script"); len(scripts) != 1 {
				t.Errorf("%d scripts in the page, want its own alone", len(scripts))
			}
			if diff := cmp.Diff(map[string]float64{rollPosted + `4xx"}`: 2}, moved(before, s.metrics(t))); diff != "" {
				t.Errorf("metrics moved (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnreadableForm(t *testing.T) {
	s := start(t, config{roller: nowhere(t)})
	for _, tt := range []struct {
		name, body, contentType string
		status                  int
		detail                  string
	}{
		{name: "too large", body: "die=" + strings.Repeat("x", 70_000), contentType: formType, status: 413,
			detail: "The form is larger than 65536 bytes. Send only the fields that the form of the page has."},
		{name: "bad escape", body: "die=%zz", contentType: formType, status: 400,
			detail: "The form cannot be read. Send it as application/x-www-form-urlencoded."},
		{name: "bad content type", body: "die=fair", contentType: "a/b/c", status: 400,
			detail: "The form cannot be read. Send it as application/x-www-form-urlencoded."},
		{name: "JSON", body: `{"die":"fair"}`, contentType: "application/json", status: 422,
			detail: `Form field "die" is missing; send one of fair, risky as application/x-www-form-urlencoded.`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := s.metrics(t)
			a := s.do(t, http.MethodPost, "/roll", tt.body, "Content-Type", tt.contentType, "Accept", asJSON)
			if p := decode[failure](t, a.body); a.status != tt.status || p.Status != tt.status || p.Detail != tt.detail || p.TraceID != a.traceID() {
				t.Errorf("answered %d %+v, want %d %q", a.status, p, tt.status, tt.detail)
			}
			page := s.do(t, http.MethodPost, "/roll", tt.body, "Content-Type", tt.contentType, "Accept", asHTML)
			if got := parse(t, page).must(t, "result").text(); page.status != tt.status || !strings.Contains(got, tt.detail) {
				t.Errorf("answered %d %q, want %d %q", page.status, got, tt.status, tt.detail)
			}
			if diff := cmp.Diff(map[string]float64{rollPosted + `4xx"}`: 2}, moved(before, s.metrics(t))); diff != "" {
				t.Errorf("metrics moved (-want +got):\n%s", diff)
			}
		})
	}
}

// abandon presses the button and leaves once begun is closed.
func abandon(t *testing.T, s *service, begun <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.URL+"/roll", strings.NewReader(url.Values{"die": {"risky"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", formType)
	go func() { <-begun; cancel() }()
	if resp, err := s.server.Client().Do(req); !errors.Is(err, context.Canceled) {
		t.Fatalf("the roll ended by itself: %v, %v", resp, err)
	}
}

// A browser that goes away ends the roll. That is no error, and the roller's status stays unknown.
func TestAbandonedRoll(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	target := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(ended)
	})
	s := start(t, config{roller: target})
	before := s.metrics(t)
	abandon(t, s, begun)
	<-ended // the roller's request is cancelled
	wantMoved := map[string]float64{rollPosted + `4xx"}`: 1, riskyClick: 1}
	if diff := cmp.Diff(wantMoved, moved(before, s.metrics(t))); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
	line := s.log.Wait(contract.MsgBackendFailed)
	delete(line, contract.FieldTimestamp)
	delete(line, contract.FieldDurationSeconds)
	s.sink.Wait(3)
	server, click := s.sink.Named(contract.SpanFrontendRoll), s.sink.Named(contract.SpanButtonClick)
	want := map[string]any{contract.FieldLevel: contract.LevelWarning, contract.FieldMessage: contract.MsgBackendFailed,
		contract.FieldLogger: contract.ServiceFrontend, contract.FieldTraceID: click.TraceID, contract.FieldSpanID: click.SpanID,
		contract.FieldDieType: contract.DieRisky, contract.FieldStatus: 499.0, contract.FieldBackendURL: target + "/roll",
		contract.FieldError: "the caller went away: context canceled"}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("log line (-want +got):\n%s", diff)
	}
	if server.Attributes["http.response.status_code"] != int64(499) || server.Status != "Unset" {
		t.Errorf("span POST /roll: %+v", server)
	}
	if click.Attributes[contract.AttrErrorType] != contract.ErrorTypeCanceled || click.Status != "Unset" || len(click.Events) != 0 {
		t.Errorf("span roll_button_click: %+v", click)
	}
}

package quest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/contract"
	"dicelab/internal/embedded"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/metrics"
	"dicelab/internal/fault"
	"dicelab/internal/frontend"
	"dicelab/internal/query"
	"dicelab/internal/quest"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
	"dicelab/internal/wait"
)

// patience bounds every wait, on a busy machine under the race detector.
const patience = 3 * time.Minute

const token = "a token of the tests"

// lab is an embedded stack and both services, in this process.
type lab struct {
	*quest.Engine
	whole      *testing.T // the test that all others are part of
	options    quest.Options
	faults     map[string]*fault.Set
	tempo      *query.Tempo
	loki       *query.Loki
	prometheus *query.Prometheus
	checks     int // runs of the checklist
	frontend   string
	roller     string
	otlp       string
}

// startLab starts a lab. Its rolls take up to 100 ms.
func startLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{whole: t, faults: map[string]*fault.Set{}}
	listen := func() net.Listener {
		var lc net.ListenConfig
		listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return listener
	}
	front, back := listen(), listen()
	s := embeddedtest.Start(t, embedded.Options{Discover: true, Logger: slog.New(slog.DiscardHandler), Targets: []metrics.Target{
		{Job: contract.ServiceFrontend, Address: front.Addr().String()}, {Job: contract.ServiceRoller, Address: back.Addr().String()}}})
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.OTLP)
	l.otlp = s.OTLP
	start := func(service string, listener net.Listener, handler func(*telemetry.Telemetry, *fault.Set) (http.Handler, error)) string {
		faults, err := fault.NewSetOf(service)
		if err != nil {
			t.Fatal(err)
		}
		l.faults[service] = faults
		r, w := io.Pipe()
		read := make(chan error, 1)
		go func() { read <- s.ReadLog(service, r) }()
		tel, err := telemetry.New(t.Context(), telemetry.Config{Service: service, Output: w, Faults: faults})
		if err != nil {
			t.Fatal(err)
		}
		h, err := handler(tel, faults)
		if err != nil {
			t.Fatal(err)
		}
		server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}}
		server.Start()
		t.Cleanup(func() {
			server.Close()
			if err := errors.Join(tel.Shutdown(context.Background()), w.Close(), <-read); err != nil {
				t.Error(err)
			}
		})
		return server.URL
	}
	l.roller = start(contract.ServiceRoller, back, func(tel *telemetry.Telemetry, faults *fault.Set) (http.Handler, error) {
		return roller.NewHandler(roller.Options{Telemetry: tel, Dice: roller.NewDice(1, 100*time.Millisecond, 0.1), Faults: faults, Control: token})
	})
	l.frontend = start(contract.ServiceFrontend, front, func(tel *telemetry.Telemetry, faults *fault.Set) (http.Handler, error) {
		client, err := roller.NewClient(l.roller, tel.Transport(roller.NewTransport()), 20*time.Second)
		if err != nil {
			return nil, err
		}
		return frontend.NewHandler(frontend.Options{Telemetry: tel, Roller: client, BackendURL: l.roller, Faults: faults, Control: token,
			TraceURL: "http://localhost/{trace_id}", LogsURL: "http://localhost/{trace_id}"})
	})
	var err1, err2, err3 error
	l.tempo, err1 = query.NewTempo(query.Config{URL: s.Tempo})
	l.loki, err2 = query.NewLoki(query.Config{URL: s.Loki})
	l.prometheus, err3 = query.NewPrometheus(query.Config{URL: s.Prometheus})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	l.options = quest.Options{Tempo: l.tempo, Loki: l.loki, Prometheus: l.prometheus, Frontend: l.frontend, Roller: l.roller,
		Token: token, Dir: t.TempDir(), Pace: 2 * time.Millisecond, Crowd: 300,
		Check: func(context.Context) (checklist.Report, error) {
			l.checks++
			for service, set := range l.faults { // what the real checklist finds by its checks
				if set.State() != (fault.State{}) {
					return checklist.Report{}, fmt.Errorf("%s is broken: %+v", service, set.State())
				}
			}
			return checklist.Report{Passed: 62}, nil
		}}
	l.open(t)
	return l
}

// open makes the engine.
func (l *lab) open(t *testing.T) {
	t.Helper()
	var err error
	if l.Engine, err = quest.New(l.options); err != nil {
		t.Fatal(err)
	}
	engine := l.Engine
	l.whole.Cleanup(func() {
		if err := engine.Close(); err != nil {
			l.whole.Error(err)
		}
	})
}

func (l *lab) do(t *testing.T, action string, pairs ...string) {
	t.Helper()
	if err := l.try(t, action, pairs...); err != nil {
		t.Fatalf("%s: %v", action, err)
	}
}

func (l *lab) try(t *testing.T, action string, pairs ...string) error {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return l.Do(t.Context(), action, form)
}

func (l *lab) now(t *testing.T) *quest.Current {
	t.Helper()
	v, err := l.View()
	if err != nil {
		t.Fatal(err)
	}
	return v.Current
}

// state waits for a state.
func (l *lab) state(t *testing.T, want string) *quest.Current {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := wait.Until(ctx, func(context.Context) error {
		c := l.now(t)
		if c.State == want {
			return nil
		}
		err := fmt.Errorf("the quest is %s: %s", c.State, c.Why)
		if c.State == quest.StateEnded {
			return wait.Final(err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l.now(t)
}

// answered returns the latest answer to a question.
func (l *lab) answered(t *testing.T, id string) quest.Asked {
	t.Helper()
	for _, q := range l.now(t).Questions {
		if q.ID == id {
			return q
		}
	}
	t.Fatalf("there is no question %s", id)
	return quest.Asked{}
}

// wrong gives a wrong answer, and checks the reason.
func (l *lab) wrong(t *testing.T, id, text, reason string) {
	t.Helper()
	l.do(t, "answer", id, text)
	if a := l.answered(t, id); a.Right || !strings.Contains(a.Why, reason) {
		t.Errorf("%s=%s: right %t, reason %q, want %q", id, text, a.Right, a.Why, reason)
	}
}

// search finds traces by TraceQL, the oldest first.
func (l *lab) search(t *testing.T, traceQL string, from time.Time) []query.Found {
	t.Helper()
	r, err := l.tempo.Search(t.Context(), query.Search{TraceQL: traceQL, Start: from, End: time.Now().Add(time.Hour), Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return r.Traces
}

func (l *lab) trace(t *testing.T, id string) *query.Trace {
	t.Helper()
	trace, err := l.tempo.Trace(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func (l *lab) lines(t *testing.T, logQL string, from time.Time) []query.LogLine {
	t.Helper()
	r, err := l.loki.QueryRange(t.Context(), query.LogQuery{LogQL: logQL, Start: from, End: time.Now().Add(time.Hour), Limit: 5000})
	if err != nil {
		t.Fatal(err)
	}
	return r.Lines
}

func (l *lab) journal(t *testing.T) quest.Journal {
	t.Helper()
	j, ok := l.Latest()
	if !ok {
		t.Fatal("there is no journal")
	}
	return j
}

func (l *lab) incident(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%+v", *l.journal(t).Incident)
}

// cause returns the setting that mends the quest.
func (l *lab) cause(t *testing.T) string {
	t.Helper()
	return l.journal(t).Incident.Fault()
}

// until waits until there is no error.
func (l *lab) until(t *testing.T, look func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := wait.Until(ctx, func(context.Context) error { return look() }); err != nil {
		t.Fatal(err)
	}
}

package traffic_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry/telemetrytest"
	"dicelab/internal/traffic"
)

// One roll of one user: what goes over the wire, what is left behind, what is
// reported.
func TestARoll(t *testing.T) {
	fails := func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusBadGateway, "The risky die failed.")
	}
	for _, tt := range []struct {
		name    string
		target  string
		die     string
		answer  http.HandlerFunc
		asked   asked
		root    map[string]any // attributes that only this case has
		status  string
		line    map[string]any
		outcome traffic.Roll
	}{
		{
			name: "through the front end", target: traffic.Frontend, die: contract.DieFair,
			asked:  asked{Method: http.MethodPost, Die: contract.DieFair, Accept: "application/json", Agent: "dicelab-traffic/1.2.3"},
			root:   map[string]any{contract.AttrBackendStatusCode: int64(200), contract.AttrRollValue: int64(4)},
			status: "Unset",
			line: map[string]any{contract.FieldLevel: contract.LevelInfo, contract.FieldMessage: contract.MsgSimulatedRoll,
				contract.FieldBackendStatus: 200.0, contract.FieldRollValue: 4.0},
			outcome: traffic.Roll{Value: 4, Outcome: "200"},
		},
		{
			name: "of the roller, which fails", target: traffic.Roller, die: contract.DieRisky, answer: fails,
			asked: asked{Method: http.MethodGet, Die: contract.DieRisky, Accept: "application/json", Agent: "dicelab-traffic/1.2.3"},
			root:  map[string]any{contract.AttrBackendStatusCode: int64(502), contract.AttrErrorType: "502"}, status: "Error",
			line: map[string]any{contract.FieldLevel: contract.LevelError, contract.FieldMessage: contract.MsgSimulatedFailed,
				contract.FieldBackendStatus: 502.0, contract.FieldError: "The risky die failed."},
			outcome: traffic.Roll{Outcome: "502", Error: "The risky die failed."},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.answer)
			b := start(t, tt.target, s, func(o *traffic.Options) { o.Die = tt.die })
			b.users(atOnce(1, 1))
			r := b.report()

			spans := b.sink.Wait(2)
			if len(spans) != 2 {
				t.Fatalf("%d spans: %v", len(spans), spans)
			}
			root := b.sink.Named(contract.SpanSimulated)
			client := b.sink.Named(tt.asked.Method)
			tt.asked.Traceparent = fmt.Sprintf("00-%s-%s-01", root.TraceID, client.SpanID)
			if diff := cmp.Diff([]asked{tt.asked}, s.requests()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if client.ParentID != root.SpanID || client.Kind != "CLIENT" || root.ParentID != "" || root.Kind != "INTERNAL" || root.Status != tt.status {
				t.Errorf("spans %+v %+v", root, client)
			}
			want := map[string]any{contract.AttrSyntheticType: "test", contract.AttrUserID: "user-1", contract.AttrRollNumber: int64(1),
				contract.AttrDieType: tt.die, contract.AttrBackendURL: s.URL + "/roll"}
			for k, v := range tt.root {
				want[k] = v
			}
			if diff := cmp.Diff(want, root.Attributes); diff != "" {
				t.Errorf("attributes of the root (-want +got):\n%s", diff)
			}
			if root.Service != contract.ServiceTraffic || root.StatusMessage != tt.outcome.Error {
				t.Errorf("root of service %q with status %q", root.Service, root.StatusMessage)
			}

			line := b.log.Wait(tt.line[contract.FieldMessage].(string))
			for _, varies := range []string{contract.FieldTimestamp, contract.FieldDurationSeconds} {
				if line[varies] == nil {
					t.Errorf("line %v lacks %s", line, varies)
				}
				delete(line, varies)
			}
			for k, v := range map[string]any{contract.FieldLogger: contract.ServiceTraffic, contract.FieldTraceID: root.TraceID,
				contract.FieldSpanID: root.SpanID, contract.FieldUserID: "user-1", contract.FieldRollNumber: 1.0,
				contract.FieldDieType: tt.die, contract.FieldBackendURL: s.URL + "/roll"} {
				tt.line[k] = v
			}
			if diff := cmp.Diff(tt.line, line); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}

			slowest := r.Slowest[0]
			tt.outcome.User, tt.outcome.Number, tt.outcome.Die = "user-1", 1, tt.die
			tt.outcome.Start, tt.outcome.Latency = slowest.Start, slowest.Latency
			tt.outcome.TraceID, tt.outcome.Link = root.TraceID, "http://explorer.example/"+root.TraceID
			if diff := cmp.Diff(tt.outcome, slowest); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

// What users do is the seed's matter alone.
func TestSameSeedSameUsers(t *testing.T) {
	s := serve(t, nil)
	run := func(seed uint64) ([]telemetrytest.Span, map[string]string) {
		b := start(t, traffic.Frontend, s, func(o *traffic.Options) { o.Seed = seed })
		b.users(atOnce(5, 10))
		r := b.report()
		spans := b.sink.Wait(2 * r.Rolls)
		if len(spans) != 2*r.Rolls || len(traceIDs(spans)) != r.Rolls {
			t.Errorf("%d spans in %d traces of %d rolls", len(spans), len(traceIDs(spans)), r.Rolls)
		}
		return spans, dice(spans)
	}
	_, first := run(1)
	_, again := run(1)
	_, other := run(2)
	if len(first) != 5 {
		t.Errorf("users %v", first)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the same seed, other rolls (-first +again):\n%s", diff)
	}
	if cmp.Equal(first, other) {
		t.Errorf("another seed, the same rolls: %v", first)
	}
}

// The end of each user is logged, and the end of the run.
func TestEndsAreLogged(t *testing.T) {
	b := start(t, traffic.Frontend, serve(t, nil), nil)
	b.users(atOnce(3, 4))
	r := b.report()
	ended, rolls := map[any]bool{}, 0.0
	for _, line := range b.log.Lines() {
		if line[contract.FieldMessage] == contract.MsgUserFinished {
			ended[line[contract.FieldUserID]] = true
			rolls += line[contract.FieldRolls].(float64)
		}
	}
	if diff := cmp.Diff(map[any]bool{"user-1": true, "user-2": true, "user-3": true}, ended); diff != "" || int(rolls) != r.Rolls {
		t.Errorf("%v rolls of %d logged; users (-want +got):\n%s", rolls, r.Rolls, diff)
	}
	last := b.log.Wait(contract.MsgTrafficFinished)
	if last[contract.FieldRolls] != float64(r.Rolls) || last[contract.FieldFailed] != 0.0 {
		t.Errorf("the end of all says %v, the report %d rolls", last, r.Rolls)
	}
	if begun := b.log.Wait(contract.MsgTrafficStarted); begun[contract.FieldUsers] != 3.0 || begun[contract.FieldSeed] != 1.0 {
		t.Errorf("the start says %v", begun)
	}
}

// Users that leave are replaced by others until the run is stopped, and what is
// under way then is finished and counted.
func TestForever(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	under := make(chan struct{})
	n := 0 // one user: one request at a time
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 50 {
			stop()
			close(under)
		}
		_, _ = fmt.Fprint(w, `{"roll":4}`)
	})
	b := start(t, traffic.Frontend, s, nil)
	if err := b.Users(ctx, traffic.Users{Count: 1, MaxRolls: 3, Forever: true}); err != nil {
		t.Fatal(err)
	}
	<-under
	r := b.report()
	if len(s.requests()) != 50 || r.Rolls != 50 || r.Failed != 0 {
		t.Errorf("%d requests, %d rolls, %d failed; want 50, 50, 0", len(s.requests()), r.Rolls, r.Failed)
	}
	if users := dice(b.sink.Wait(100)); len(users) < 50/3 {
		t.Errorf("%d users made 50 rolls of at most 3 each", len(users))
	}
}

// A duration ends a run of users that would go on.
func TestUsersForAWhile(t *testing.T) {
	s := serve(t, nil)
	b := start(t, traffic.Frontend, s, nil)
	b.users(traffic.Users{Count: 2, MaxRolls: 1, Duration: 300 * time.Millisecond, Think: traffic.Range{Min: time.Millisecond, Max: 2 * time.Millisecond}})
	if r := b.report(); r.Rolls != len(s.requests()) || r.Rolls < 2 || time.Duration(r.Sending) < 300*time.Millisecond {
		t.Errorf("%d rolls, %d requests, in %v", r.Rolls, len(s.requests()), r.Sending)
	}
}

// Too many failures end a run, and say why.
func TestAbort(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { problem(w, http.StatusServiceUnavailable, "Not now.") })
	b := start(t, traffic.Frontend, s, func(o *traffic.Options) { o.AbortAt = 0.5 })
	err := b.Users(t.Context(), traffic.Users{Count: 1, MaxRolls: 1, Forever: true})
	var aborted *traffic.AbortedError
	if !errors.As(err, &aborted) {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff(traffic.AbortedError{Share: 1, Limit: 0.5}, *aborted); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if got := b.report(); got.Rolls != 20 || got.Failed != 20 || got.Outcomes["503"] != 20 {
		t.Errorf("%d rolls, %d failed, outcomes %v; want 20 of each", got.Rolls, got.Failed, got.Outcomes)
	}
}

// Each user has a connection of its own, also while it thinks; where there are
// fewer, users share.
func TestUsersConnections(t *testing.T) {
	for _, tt := range []struct {
		name        string
		limit, want int
	}{{"one each", 8, 8}, {"fewer", 3, 3}, {"more than users", 100, 8}} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t, traffic.Frontend, serve(t, nil), func(o *traffic.Options) { o.Connections = tt.limit })
			b.users(atOnce(8, 5))
			if r := b.report(); r.Connections != tt.want || r.ConnectionLimit != tt.limit || r.Outcomes["200"] != r.Rolls {
				t.Errorf("%d connections of %d, %d rolls, outcomes %v", r.Connections, r.ConnectionLimit, r.Rolls, r.Outcomes)
			}
		})
	}
}

func TestBadUsers(t *testing.T) {
	b := start(t, traffic.Frontend, serve(t, nil), nil)
	for _, tt := range []struct {
		name string
		u    traffic.Users
		want string
	}{
		{"no user", traffic.Users{MaxRolls: 1}, "0 users: want at least 1"},
		{"no roll", traffic.Users{Count: 1}, "0 rolls a user: want at least 1"},
		{"time that runs backwards", traffic.Users{Count: 1, MaxRolls: 1, Duration: -time.Second}, "duration -1s: want one above 0s"},
		{"a pause that ends before it begins", traffic.Users{Count: 1, MaxRolls: 1, Think: traffic.Range{Min: 2, Max: 1}},
			"pause 2ns..1ns: want two durations from 0s to 24h0m0s, the shorter first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := b.Users(t.Context(), tt.u); err == nil || err.Error() != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

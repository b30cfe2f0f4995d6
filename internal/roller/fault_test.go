package roller_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/roller"
	"dicelab/internal/web"
)

func TestFaultSlow(t *testing.T) {
	t.Run("a roll takes that much longer", func(t *testing.T) {
		s := start(t, roller.Options{Faults: faults(t, "slow=20ms")})
		if a := s.get(t, "/roll?die=fair"); a.status != http.StatusOK {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
		line := s.log.Wait(contract.MsgRollCompleted)
		if took, ok := line[contract.FieldDurationSeconds].(float64); !ok || took < 0.02 {
			t.Errorf("duration_seconds is %v, want 0.02 at least", line[contract.FieldDurationSeconds])
		}
	})
	t.Run("a caller that leaves is not waited for", func(t *testing.T) {
		s := start(t, roller.Options{Faults: faults(t, "slow=1m")})
		abandon(t, s)
		s.log.Wait(contract.MsgRollAbandoned)
	})
}

func TestFaultFail(t *testing.T) {
	for _, tt := range []struct {
		spec, cause string
		low, high   int // of 200 rolls
	}{
		{spec: "fail=100%", cause: "fault fail=100% struck", low: 200, high: 200},
		{spec: "fail=50%", cause: "fault fail=50% struck", low: 75, high: 125},
		{spec: "fail=7%", cause: "fault fail=7% struck", low: 4, high: 25},
	} {
		t.Run(tt.spec, func(t *testing.T) {
			s := start(t, roller.Options{Faults: faults(t, tt.spec), Dice: roller.NewDice(1, 0, 0)})
			before, failed := s.metrics(t), 0
			for range 200 {
				a := s.get(t, "/roll?die=fair")
				if a.status == http.StatusOK {
					continue
				}
				failed++
				p := decode[web.Problem](t, a.body)
				if want := `The roll failed because the fault "fail" is switched on.`; a.status != 500 || p.Detail != want {
					t.Fatalf("answered %d %+v, want 500 %q", a.status, p, want)
				}
			}
			if failed < tt.low || failed > tt.high {
				t.Errorf("%d of 200 rolls failed, want %d to %d", failed, tt.low, tt.high)
			}
			line := s.log.Wait(contract.MsgFaultInjected)
			if line[contract.FieldLevel] != contract.LevelError || line[contract.FieldError] != tt.cause || line[contract.FieldStatus] != 500.0 {
				t.Errorf("log line %v, want an ERROR with %q and 500", line, tt.cause)
			}
			diff := moved(before, s.metrics(t), contract.MetricDiceRolls)
			if got := diff[`dice_rolls_total{die_type="fair",result="error"}`]; got != float64(failed) {
				t.Errorf("counted %v errors, want %d", got, failed)
			}
		})
	}
}

func TestFaultCounterStuck(t *testing.T) {
	s := start(t, roller.Options{Faults: faults(t, "counter-stuck"), Dice: roller.NewDice(1, 0, 1)})
	before := s.metrics(t)
	s.get(t, "/roll?die=fair")
	s.get(t, "/roll?die=risky")
	want := map[string]float64{ // the other metrics are right, and so reveal the fault
		`dice_roll_value_count{die_type="fair"}`:                         1,
		`http_requests_total{handler="/roll",method="GET",status="2xx"}`: 1,
		`http_requests_total{handler="/roll",method="GET",status="5xx"}`: 1,
	}
	got := moved(before, s.metrics(t), contract.MetricDiceRolls, contract.MetricDiceRollValue+"_count", contract.MetricHTTPRequests)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
}

func TestFaultStatus200OnError(t *testing.T) {
	s := start(t, roller.Options{Faults: faults(t, "status-200-on-error"), Dice: roller.NewDice(1, 0, 1)})
	before := s.metrics(t)
	a := s.get(t, "/roll?die=risky")
	if p := decode[web.Problem](t, a.body); a.status != 200 || p.Status != 500 || a.header.Get("Content-Type") != web.ProblemType {
		t.Errorf("answered %d %q %+v, want the problem of a 500 under a 200", a.status, a.header.Get("Content-Type"), p)
	}
	if a := s.get(t, "/roll?die=loaded"); a.status != 422 {
		t.Errorf("a bad die answered %d: the fault is about failures", a.status)
	}
	want := map[string]float64{
		`dice_rolls_total{die_type="risky",result="error"}`:              1,
		`http_requests_total{handler="/roll",method="GET",status="5xx"}`: 1,
		`http_requests_total{handler="/roll",method="GET",status="4xx"}`: 1,
	}
	if diff := cmp.Diff(want, moved(before, s.metrics(t), "dice_", contract.MetricHTTPRequests)); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
	if line := s.log.Wait(contract.MsgRiskyFailed); line[contract.FieldStatus] != 500.0 {
		t.Errorf("log says status %v", line[contract.FieldStatus])
	}
}

func TestSwitches(t *testing.T) {
	s := start(t, roller.Options{Switches: true, Faults: faults(t, "slow=1ms")})
	on := func(body string) map[string]string {
		t.Helper()
		var list []fault.Entry
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		got := map[string]string{}
		for _, e := range list {
			if e.On {
				got[e.Name] = e.Value
			}
		}
		return got
	}
	flip := func(form url.Values) answer {
		return s.do(t, http.MethodPost, "/faults", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	}
	if diff := cmp.Diff(map[string]string{"slow": "1ms"}, on(s.get(t, "/faults").body)); diff != "" {
		t.Errorf("GET /faults (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"slow": "1ms", "fail": "100%"}, on(flip(url.Values{"enable": {"fail"}, "value": {"100%"}}).body)); diff != "" {
		t.Errorf("after enabling fail (-want +got):\n%s", diff)
	}
	if a := s.get(t, "/roll?die=fair"); a.status != 500 {
		t.Errorf("rolled %d %s with fail=100%%", a.status, a.body)
	}
	if diff := cmp.Diff(map[string]string{"slow": "1ms"}, on(flip(url.Values{"disable": {"fail"}}).body)); diff != "" {
		t.Errorf("after disabling fail (-want +got):\n%s", diff)
	}
	if a := s.get(t, "/roll?die=fair"); a.status != 200 {
		t.Errorf("rolled %d %s with fail off again", a.status, a.body)
	}
	if a := flip(url.Values{"enable": {"gremlins"}}); a.status != 422 {
		t.Errorf("an unknown fault answered %d %s", a.status, a.body)
	}
}

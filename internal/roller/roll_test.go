package roller_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/roller"
	"dicelab/internal/web"
)

const manyRolls = 2000

// counts holds the number of rolls of each value; 0 is a roll that failed.
type counts map[int]int

// add counts an answer, which must be to the letter what is promised.
func (c counts) add(t *testing.T, status int, body string) {
	t.Helper()
	if status == http.StatusInternalServerError {
		c[0]++
		return
	}
	var value int
	if n, err := fmt.Sscanf(body, `{"roll":%d}`, &value); status != http.StatusOK || n != 1 || err != nil || body != fmt.Sprintf("{\"roll\":%d}\n", value) {
		t.Fatalf("answer %d %q, want 200 and exactly {\"roll\":n}", status, body)
	}
	c[value]++
}

// check compares the counts with the die's odds.
func (c counts) check(t *testing.T, lowest int, errorRate, tolerance float64) {
	t.Helper()
	want := []int{lowest, lowest + 1, lowest + 2, lowest + 3, lowest + 4, lowest + 5}
	rolls, failed := 0, c[0]
	delete(c, 0)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(c))); diff != "" {
		t.Errorf("values seen (-want +got):\n%s", diff)
	}
	for _, n := range c {
		rolls += n
	}
	if share := float64(failed) / float64(rolls+failed); share < errorRate-tolerance || share > errorRate+tolerance {
		t.Errorf("%.3f of the rolls failed, want %v ± %v", share, errorRate, tolerance)
	}
	expected, chi2 := float64(rolls)/6, 0.0
	for _, n := range c {
		chi2 += (float64(n) - expected) * (float64(n) - expected) / expected
	}
	if chi2 > 20.515 { // chi-square, 5 degrees of freedom, p = 0.001
		t.Errorf("chi-square of %v is %.1f: the die is loaded", c, chi2)
	}
}

func TestDistributionOverTheWire(t *testing.T) {
	s := start(t, roller.Options{})
	fair, risky := counts{}, counts{}
	for range manyRolls {
		a := s.get(t, "/roll?die=risky")
		risky.add(t, a.status, a.body)
		a = s.get(t, "/roll?die=fair")
		fair.add(t, a.status, a.body)
	}
	failed := float64(risky[0])
	risky.check(t, 2, 0.1, 0.02)
	fair.check(t, 1, 0, 0)

	want := map[string]float64{
		`dice_rolls_total{die_type="fair",result="success"}`:                manyRolls,
		`dice_rolls_total{die_type="fair",result="error"}`:                  0,
		`dice_rolls_total{die_type="risky",result="success"}`:               manyRolls - failed,
		`dice_rolls_total{die_type="risky",result="error"}`:                 failed,
		`dice_roll_value_count{die_type="fair"}`:                            manyRolls,
		`dice_roll_value_count{die_type="risky"}`:                           manyRolls - failed,
		`dice_roll_value_bucket{die_type="fair",le="6"}`:                    manyRolls,
		`http_requests_total{handler="/roll",method="GET",status="2xx"}`:    2*manyRolls - failed,
		`http_requests_total{handler="/roll",method="GET",status="5xx"}`:    failed,
		`http_request_duration_seconds_count{handler="/roll",method="GET"}`: 2 * manyRolls,
	}
	got := s.metrics(t)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

// Every seed makes an honest die, not just a lucky one.
func TestDistributionOfSeveralSeeds(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := start(t, roller.Options{Dice: roller.NewDice(seed, 0, 0.1)})
			risky := counts{}
			for range manyRolls {
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/roll?die=risky", nil))
				risky.add(t, w.Code, w.Body.String())
			}
			risky.check(t, 2, 0.1, 0.02)
		})
	}
}

func TestErrorRateBounds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rate   float64
		status int
	}{
		{name: "never", rate: 0, status: http.StatusOK},
		{name: "always", rate: 1, status: http.StatusInternalServerError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, roller.Options{Dice: roller.NewDice(7, 0, tt.rate)})
			for range 50 {
				if a := s.get(t, "/roll?die=risky"); a.status != tt.status {
					t.Fatalf("risky die: %d %s, want %d", a.status, a.body, tt.status)
				}
				if a := s.get(t, "/roll?die=fair"); a.status != http.StatusOK {
					t.Fatalf("fair die: %d %s, want 200 whatever the rate", a.status, a.body)
				}
			}
		})
	}
}

func TestSameSeedSameRolls(t *testing.T) {
	rolls := func(seed uint64) (list []string) {
		s := start(t, roller.Options{Dice: roller.NewDice(seed, 0, 0.1)})
		for i := range 100 {
			a := s.get(t, "/roll?die="+contract.Dice()[i%2])
			if a.status == http.StatusInternalServerError {
				a.body = "failed" // its trace ID is its own
			}
			list = append(list, a.body)
		}
		return list
	}
	first := rolls(42)
	if diff := cmp.Diff(first, rolls(42)); diff != "" {
		t.Errorf("same seed, other rolls:\n%s", diff)
	}
	if cmp.Equal(first, rolls(43)) {
		t.Error("another seed, same rolls")
	}
}

// One roll's kind must not change the next one's luck.
func TestDieDoesNotChangeTheSequence(t *testing.T) {
	values := func(dice ...string) (list []int) {
		s := start(t, roller.Options{Dice: roller.NewDice(3, 0, 0)})
		for i := range 60 {
			die := dice[i%len(dice)]
			value := decode[roller.Outcome](t, s.get(t, "/roll?die="+die).body).Roll
			if die == contract.DieRisky {
				value--
			}
			list = append(list, value)
		}
		return list
	}
	if diff := cmp.Diff(values("fair"), values("fair", "risky", "risky")); diff != "" {
		t.Errorf("fair rolls (-all fair +mixed):\n%s", diff)
	}
}

func TestAnswers(t *testing.T) {
	s := start(t, roller.Options{})
	root := s.get(t, "/")
	if want := `{"service":"Dice Roller API","version":"1.2.3","endpoints":["/roll"]}` + "\n"; root.status != http.StatusOK || root.body != want {
		t.Errorf("GET / answered %d %s, want 200 %s", root.status, root.body, want)
	}
	for _, tt := range []struct {
		path, contentType string
		traced            bool
		cached            string // Cache-Control
	}{
		{path: "/", contentType: "application/json", traced: true, cached: "no-store"},
		{path: "/roll?die=fair", contentType: "application/json", traced: true, cached: "no-store"},
		{path: "/openapi.json", contentType: "application/openapi+json"},
		{path: "/docs", contentType: "text/html; charset=utf-8"},
		{path: "/assets/docs.css", contentType: "text/css; charset=utf-8"},
		{path: "/assets/theme.css", contentType: "text/css; charset=utf-8"},
		{path: "/metrics", contentType: "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
		{path: "/healthz", contentType: "application/json"},
		{path: "/readyz", contentType: "application/json"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			a := s.get(t, tt.path)
			if got := a.header.Get("Content-Type"); a.status != http.StatusOK || got != tt.contentType {
				t.Errorf("answered %d, %q, want 200, %q", a.status, got, tt.contentType)
			}
			if got := a.header.Get("Cache-Control"); tt.cached != "" && got != tt.cached {
				t.Errorf("Cache-Control is %q, want %q", got, tt.cached)
			}
			if got := a.header.Get(contract.HeaderTraceresponse); (got != "") != tt.traced {
				t.Errorf("traceresponse is %q, want one: %v", got, tt.traced)
			}
			policy := web.DataPolicy
			if tt.path == "/docs" {
				policy = web.PagePolicy
			}
			if got := a.header.Get("Content-Security-Policy"); got != policy {
				t.Errorf("Content-Security-Policy is %q, want %q", got, policy)
			}
		})
	}
}

func TestRiskyFailure(t *testing.T) {
	s := start(t, roller.Options{Dice: roller.NewDice(1, 0, 1)})
	before := s.metrics(t)
	const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	a := s.get(t, "/roll?die=risky", contract.HeaderTraceparent, caller)
	want := web.Problem{Title: "Internal Server Error", Status: 500, TraceID: "0af7651916cd43dd8448eb211c80319c",
		Detail: "The risky die failed, as it does now and then. Roll again."}
	if diff := cmp.Diff(want, decode[web.Problem](t, a.body)); diff != "" {
		t.Errorf("problem (-want +got):\n%s", diff)
	}
	if got := a.header.Get("Content-Type"); a.status != 500 || got != web.ProblemType {
		t.Errorf("answered %d, %q", a.status, got)
	}
	wantMoved := map[string]float64{
		`dice_rolls_total{die_type="risky",result="error"}`:              1,
		`http_requests_total{handler="/roll",method="GET",status="5xx"}`: 1,
	}
	if diff := cmp.Diff(wantMoved, moved(before, s.metrics(t), "dice_", contract.MetricHTTPRequests)); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
	line := s.log.Wait(contract.MsgRiskyFailed)
	if took, ok := line[contract.FieldDurationSeconds].(float64); !ok || took < 0 {
		t.Errorf("duration_seconds is %v", line[contract.FieldDurationSeconds])
	}
	for _, field := range []string{contract.FieldTimestamp, contract.FieldSpanID, contract.FieldDurationSeconds} {
		delete(line, field)
	}
	wantLine := map[string]any{contract.FieldLevel: contract.LevelError, contract.FieldMessage: contract.MsgRiskyFailed,
		contract.FieldLogger: contract.ServiceRoller, contract.FieldTraceID: want.TraceID, contract.FieldDieType: contract.DieRisky,
		contract.FieldStatus: 500.0, contract.FieldError: roller.ErrRiskyFailed.Error()}
	if diff := cmp.Diff(wantLine, line); diff != "" {
		t.Errorf("log line (-want +got):\n%s", diff)
	}
}

// A trace that is not recorded is not offered as something to look at.
func TestUnsampledFailureHasNoTraceID(t *testing.T) {
	s := start(t, roller.Options{Dice: roller.NewDice(1, 0, 1)})
	a := s.get(t, "/roll?die=risky", contract.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	if p := decode[web.Problem](t, a.body); p.Status != 500 || p.TraceID != "" {
		t.Errorf("problem %+v, want a 500 without trace ID", p)
	}
}

func TestSuccessfulRollLog(t *testing.T) {
	s := start(t, roller.Options{})
	a := s.get(t, "/roll?die=fair")
	value := float64(decode[roller.Outcome](t, a.body).Roll)
	traceID := strings.Split(a.header.Get(contract.HeaderTraceresponse), "-")[1]
	received, completed := s.log.Wait(contract.MsgRollReceived), s.log.Wait(contract.MsgRollCompleted)
	if received[contract.FieldSpanID] == completed[contract.FieldSpanID] {
		t.Error("both lines name one span, want GET /roll's and roll's")
	}
	for _, line := range []map[string]any{received, completed} {
		for _, field := range []string{contract.FieldTimestamp, contract.FieldSpanID, contract.FieldDurationSeconds} {
			delete(line, field)
		}
	}
	want := map[string]any{contract.FieldLevel: contract.LevelInfo, contract.FieldMessage: contract.MsgRollReceived,
		contract.FieldLogger: contract.ServiceRoller, contract.FieldTraceID: traceID, contract.FieldDieType: contract.DieFair}
	if diff := cmp.Diff(want, received); diff != "" {
		t.Errorf("first line (-want +got):\n%s", diff)
	}
	want[contract.FieldMessage], want[contract.FieldStatus], want[contract.FieldRollValue] = contract.MsgRollCompleted, 200.0, value
	if diff := cmp.Diff(want, completed); diff != "" {
		t.Errorf("second line (-want +got):\n%s", diff)
	}
}

// What the caller says about a roll stands on its span, within reason.
func TestBaggageIsRecorded(t *testing.T) {
	s := start(t, roller.Options{})
	s.get(t, "/roll?die=fair", contract.HeaderBaggage, "class=blue,"+strings.Repeat("x", 2000)+"=1")
	s.sink.Wait(2)
	want := []any{"class=blue," + strings.Repeat("x", 1024-len("class=blue,"))}
	if diff := cmp.Diff(any(want), s.sink.Named(contract.SpanRollerRoll).Attributes[contract.AttrBaggage]); diff != "" {
		t.Errorf("%s (-want +got):\n%s", contract.AttrBaggage, diff)
	}
}

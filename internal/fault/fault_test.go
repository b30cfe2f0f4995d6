package fault_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

func TestEnableSetsItsFieldAlone(t *testing.T) {
	tests := []struct {
		spec string
		want fault.State
		on   string // as listed; "" where it equals spec
	}{
		{spec: "no-propagation", want: fault.State{NoPropagation: true}},
		{spec: "no-export", want: fault.State{NoExport: true}},
		{spec: "log-without-trace", want: fault.State{LogWithoutTrace: true}},
		{spec: "log-traceID", want: fault.State{LogTraceID: true}},
		{spec: "status-200-on-error", want: fault.State{Status200: true}},
		{spec: "counter-stuck", want: fault.State{CounterStuck: true}},
		{spec: "no-exemplars", want: fault.State{NoExemplars: true}},
		{spec: "clock-skew=10s", want: fault.State{ClockSkew: 10 * time.Second}},
		{spec: "clock-skew=-1h", want: fault.State{ClockSkew: -time.Hour}, on: "clock-skew=-1h0m0s"},
		{spec: "clock-skew=1h", want: fault.State{ClockSkew: time.Hour}, on: "clock-skew=1h0m0s"},
		{spec: "slow=2s", want: fault.State{Slow: 2 * time.Second}},
		{spec: "slow=1m", want: fault.State{Slow: time.Minute}, on: "slow=1m0s"},
		{spec: "slow=1.5ms", want: fault.State{Slow: 1500 * time.Microsecond}},
		{spec: "fail=50%", want: fault.State{Fail: 0.5}},
		{spec: "fail=100%", want: fault.State{Fail: 1}},
		{spec: "fail=0.1%", want: fault.State{Fail: 0.001}},
		{spec: "fail=7%", want: fault.State{Fail: 0.07}},
		{spec: "fail=29%", want: fault.State{Fail: 0.29}},
		{spec: "fail-fair=50%", want: fault.State{FailFair: 0.5}},
		{spec: "fail-risky=7%", want: fault.State{FailRisky: 0.07}},
		{spec: "drop-failed", want: fault.State{DropFailed: true}},
		{spec: "retry=3", want: fault.State{Retry: 3}},
		{spec: "timeout=300ms", want: fault.State{Timeout: 300 * time.Millisecond}},
	}
	covered := map[string]bool{}
	for _, tt := range tests {
		name, _, _ := strings.Cut(tt.spec, "=")
		covered[name] = true
		t.Run(tt.spec, func(t *testing.T) {
			set, err := fault.NewSet(tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, set.State()); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			on := tt.on
			if on == "" {
				on = tt.spec
			}
			if diff := cmp.Diff([]string{on}, set.On()); diff != "" {
				t.Errorf("on (-want +got):\n%s", diff)
			}
			if err := set.Disable(name); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fault.State{}, set.State()); diff != "" {
				t.Errorf("state when off again (-want +got):\n%s", diff)
			}
			if err := set.Disable(name); err != nil {
				t.Errorf("switching off what is off: %v", err)
			}
		})
	}
	for _, f := range fault.Catalogue() {
		if !covered[f.Name] {
			t.Errorf("fault %s is not tested", f.Name)
		}
	}
}

func TestBadSpec(t *testing.T) {
	const names = "no-propagation, no-export, log-without-trace, log-traceID, status-200-on-error, counter-stuck, no-exemplars, clock-skew, slow, fail, fail-fair, fail-risky, drop-failed, retry, timeout"
	const skew, slow, fail = "want a duration from -1h0m0s to 1h0m0s, such as 10s", "want a duration from 0s to 1m0s, such as 2s", "want a share from 0% to 100%, such as 50%"
	tests := []struct{ spec, want string }{
		{"", `unknown fault "": choose one of ` + names},
		{"no-expotr", `unknown fault "no-expotr": choose one of ` + names},
		{"No-Export", `unknown fault "No-Export": choose one of ` + names},
		{" no-export", `unknown fault " no-export": choose one of ` + names},
		{"=2s", `unknown fault "": choose one of ` + names},
		{"no-export=1", `fault no-export takes no value, got "1": write no-export`},
		{"no-export=", `fault no-export takes no value, got "": write no-export`},
		{"slow", `fault slow needs a value: write slow=2s`},
		{"clock-skew", `fault clock-skew needs a value: write clock-skew=10s`},
		{"fail", `fault fail needs a value: write fail=50%`},
		{"slow=", `fault slow=: ` + slow},
		{"slow=2", `fault slow=2: ` + slow},
		{"slow=-1s", `fault slow=-1s: ` + slow},
		{"slow=61s", `fault slow=61s: ` + slow},
		{"slow=0s", `fault slow=0s: that is no fault; switch it off instead`},
		{"clock-skew=1h1s", `fault clock-skew=1h1s: ` + skew},
		{"clock-skew=-61m", `fault clock-skew=-61m: ` + skew},
		{"clock-skew=soon", `fault clock-skew=soon: ` + skew},
		{"clock-skew=0", `fault clock-skew=0: that is no fault; switch it off instead`},
		{"fail=", `fault fail=: ` + fail},
		{"fail=50", `fault fail=50: ` + fail},
		{"fail=0.5", `fault fail=0.5: ` + fail},
		{"fail=101%", `fault fail=101%: ` + fail},
		{"fail=-1%", `fault fail=-1%: ` + fail},
		{"fail=NaN%", `fault fail=NaN%: ` + fail},
		{"fail=Inf%", `fault fail=Inf%: ` + fail},
		{"fail=%", `fault fail=%: ` + fail},
		{"fail=5%%", `fault fail=5%%: ` + fail},
		{"fail=0%", `fault fail=0%: that is no fault; switch it off instead`},
		{"retry=11", `fault retry=11: want a number from 1 to 10, such as 3`},
		{"retry=-1", `fault retry=-1: want a number from 1 to 10, such as 3`},
		{"retry=often", `fault retry=often: want a number from 1 to 10, such as 3`},
		{"retry=0", `fault retry=0: that is no fault; switch it off instead`},
		{"timeout=2m", `fault timeout=2m: want a duration from 0s to 1m0s, such as 300ms`},
		{"slow=2s=3s", `fault slow=2s=3s: ` + slow},
	}
	for _, tt := range tests {
		t.Run(tt.spec, func(t *testing.T) {
			set, err := fault.NewSet("no-exemplars")
			if err != nil {
				t.Fatal(err)
			}
			err = set.Enable(tt.spec)
			if err == nil {
				t.Fatal("taken")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if unknown := strings.HasPrefix(tt.want, "unknown"); errors.Is(err, fault.ErrUnknown) != unknown {
				t.Errorf("is ErrUnknown: %v, want %v", !unknown, unknown)
			}
			if diff := cmp.Diff([]string{"no-exemplars"}, set.On()); diff != "" {
				t.Errorf("on after a bad spec (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := fault.NewSet("no-export", "slow=now"); err == nil {
		t.Error("NewSet took a bad spec")
	}
	if err := new(fault.Set).Disable("nothing"); !errors.Is(err, fault.ErrUnknown) {
		t.Errorf("Disable says %v, want an unknown fault", err)
	}
}

// TestEveryExampleWorks checks that each example that an error suggests is accepted.
func TestEveryExampleWorks(t *testing.T) {
	set := new(fault.Set)
	var want []string
	for _, f := range fault.Catalogue() {
		spec := f.Name
		if f.Example != "" {
			spec += "=" + f.Example
		}
		want = append(want, spec)
		if err := set.Enable(spec); err != nil {
			t.Error(err)
		}
		if f.Summary == "" {
			t.Errorf("fault %s has no summary", f.Name)
		}
	}
	if diff := cmp.Diff(want, set.On()); diff != "" {
		t.Errorf("on (-want +got):\n%s", diff)
	}
	again, err := fault.NewSet(set.On()...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(set.State(), again.State()); diff != "" {
		t.Errorf("state from what is listed (-want +got):\n%s", diff)
	}
}

// A service has the faults that it can have.
func TestFaultsOfAService(t *testing.T) {
	const refused = `unknown fault "retry": choose one of no-propagation`
	if _, err := fault.NewSetOf(contract.ServiceRoller, "retry=3"); err == nil || !strings.HasPrefix(err.Error(), refused) {
		t.Errorf("the roller takes retry: %v", err)
	}
	if err := fault.CheckOf(contract.Services())("dice-roller:timeout=1s"); !errors.Is(err, fault.ErrUnknown) {
		t.Errorf("up takes timeout of the roller: %v", err)
	}
	if _, err := fault.NewSetOf(contract.ServiceFrontend, "retry=3", "timeout=1s"); err != nil {
		t.Error(err)
	}
	for _, spec := range fault.Examples(contract.Services()...) {
		if err := fault.CheckOf(contract.Services())(spec); err != nil {
			t.Errorf("the example %s: %v", spec, err)
		}
	}
}

// Hidden faults work, are not listed, and go off with their lease or at the end.
func TestHide(t *testing.T) {
	set, err := fault.NewSet("no-export")
	if err != nil {
		t.Fatal(err)
	}
	hide := func(lease time.Duration, specs ...string) {
		t.Helper()
		if err := set.Hide(lease, specs...); err != nil {
			t.Fatal(err)
		}
	}
	hide(time.Hour, "slow=2s")
	if got := set.State(); !got.NoExport || got.Slow != 2*time.Second || !got.Hidden {
		t.Errorf("state %+v", got)
	}
	if diff := cmp.Diff([]string{"no-export"}, set.On()); diff != "" {
		t.Errorf("on (-want +got):\n%s", diff)
	}
	if first := set.Entries()[0]; first.Name != fault.Quest || !first.On {
		t.Errorf("the list begins with %+v", first)
	}
	if err := set.Hide(time.Hour, "slow=never"); err == nil || set.State().Slow != 2*time.Second {
		t.Errorf("after a bad spec (%v): %+v", err, set.State())
	}
	hide(time.Hour, "no-exemplars") // in place of slow
	if got := set.State(); got.Slow != 0 || !got.NoExemplars {
		t.Errorf("state %+v", got)
	}
	hide(time.Hour) // a quest that breaks the other service
	if got := set.State(); got.Hidden || got.NoExemplars || set.Entries()[0].Name != fault.Quest {
		t.Errorf("state %+v", got)
	}
	hide(0)
	if diff := cmp.Diff(fault.State{NoExport: true}, set.State()); diff != "" || set.Entries()[0].Name == fault.Quest {
		t.Errorf("state at the end (-want +got):\n%s", diff)
	}
}

func TestLastValueWins(t *testing.T) {
	set, err := fault.NewSet("slow=2s", "slow=3s")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"slow=3s"}, set.On()); diff != "" {
		t.Errorf("on (-want +got):\n%s", diff)
	}
}

func TestNilAndZeroSetsAreHealthy(t *testing.T) {
	var none *fault.Set
	for name, set := range map[string]*fault.Set{"nil": none, "zero": new(fault.Set)} {
		if diff := cmp.Diff(fault.State{}, set.State()); diff != "" {
			t.Errorf("%s state (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff([]string{}, set.On()); diff != "" {
			t.Errorf("%s on (-want +got):\n%s", name, diff)
		}
		if n := len(set.Entries()); n != len(fault.Catalogue()) {
			t.Errorf("%s lists %d entries", name, n)
		}
	}
}

// TestConcurrentSwitchesAllCount: no writer undoes another's change.
func TestConcurrentSwitchesAllCount(t *testing.T) {
	set := new(fault.Set)
	var group sync.WaitGroup
	for _, f := range fault.Catalogue() {
		group.Go(func() {
			spec := f.Name
			if f.Example != "" {
				spec += "=" + f.Example
			}
			for range 200 {
				if err := errors.Join(set.Enable(spec), set.Disable(f.Name), set.Enable(spec)); err != nil {
					t.Error(err)
				}
				_ = set.State()
			}
		})
	}
	group.Wait()
	if got := len(set.On()); got != len(fault.Catalogue()) {
		t.Errorf("%d faults are on, want all: %v", got, set.On())
	}
}

// FuzzEnable: no spec panics; a bad one changes nothing; a good one is listed in
// a form that leads to the same state, within the documented bounds.
func FuzzEnable(f *testing.F) {
	for _, seed := range []string{"", "=", "no-export", "no-export=", "slow=2s", "slow=-0s", "clock-skew=-59m59.999999999s", "fail=50%", "fail=1e-300%", "fail=0x1p-2%", "fail=NaN%", "fail=33.333%", "slow=1ns"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		set := new(fault.Set)
		if err := set.Enable(spec); err != nil {
			if set.State() != (fault.State{}) {
				t.Fatalf("%q is refused (%v), yet changed the state to %+v", spec, err, set.State())
			}
			return
		}
		state := set.State()
		if state == (fault.State{}) {
			t.Fatalf("%q is taken, and nothing is on", spec)
		}
		if state.Slow < 0 || state.Slow > time.Minute || state.ClockSkew.Abs() > time.Hour || !(state.Fail >= 0 && state.Fail <= 1) {
			t.Fatalf("%q leads out of bounds: %+v", spec, state)
		}
		on := set.On()
		again, err := fault.NewSet(on...)
		if err != nil || again.State() != state || !slices.Equal(again.On(), on) {
			t.Fatalf("%q is listed as %q, which gives %+v (%v), not %+v", spec, on, again.State(), err, state)
		}
	})
}

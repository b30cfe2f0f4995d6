// Package fault is the catalogue of things that can be broken on purpose, and
// the switch for each. A service checks its Set in the code that the fault
// breaks; nothing else in the lab knows about faults. Probes and /metrics are
// spared, so that a broken service can still be watched.
package fault

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the values, so that a typing error does not block the lab.
const (
	maxSkew = time.Hour
	maxSlow = time.Minute
)

// State lists the faults that are on. The zero State is a healthy service.
type State struct {
	NoPropagation   bool          // trace context is neither sent nor taken
	NoExport        bool          // finished spans are thrown away
	LogWithoutTrace bool          // log lines carry no trace_id and span_id
	LogTraceID      bool          // log lines spell them traceID and spanID
	Status200       bool          // a failed request says 200 on the wire
	CounterStuck    bool          // the service's first counter never moves
	NoExemplars     bool          // metrics carry no exemplars
	ClockSkew       time.Duration // added to the times of spans and log lines, -1 h to 1 h
	Slow            time.Duration // added to each roll, 0 to 1 min
	Fail            float64       // share of rolls that fail, 0 to 1, in steps of 0.001%
}

// Fault describes one entry of the catalogue.
type Fault struct {
	Name    string // as typed after --fault
	Example string // a value to start from; empty for a plain switch
	Summary string // what breaks, in a few words

	set   func(*State, string) error
	clear func(*State)
	get   func(State) (value string, on bool)
}

// Catalogue lists every fault in the order of docs/faults.md.
func Catalogue() []Fault {
	return []Fault{
		flag("no-propagation", "trace context is not passed on: one roll becomes two traces", func(s *State) *bool { return &s.NoPropagation }),
		flag("no-export", "spans are made but never sent: traces have holes", func(s *State) *bool { return &s.NoExport }),
		flag("log-without-trace", "log lines carry no trace_id: nothing leads from a trace to its logs", func(s *State) *bool { return &s.LogWithoutTrace }),
		flag("log-traceID", "log lines spell it traceID: every query for trace_id comes back empty", func(s *State) *bool { return &s.LogTraceID }),
		flag("status-200-on-error", "failed requests say 200 on the wire: callers see success, spans see failure", func(s *State) *bool { return &s.Status200 }),
		flag("counter-stuck", "the counter of rolls or clicks never moves: graphs look calm", func(s *State) *bool { return &s.CounterStuck }),
		flag("no-exemplars", "metrics carry no exemplars: nothing leads from a graph to a trace", func(s *State) *bool { return &s.NoExemplars }),
		duration("clock-skew", "10s", "the clock is off: spans start before their parents", -maxSkew, maxSkew, func(s *State) *time.Duration { return &s.ClockSkew }),
		duration("slow", "2s", "every roll takes that much longer", 0, maxSlow, func(s *State) *time.Duration { return &s.Slow }),
		share("fail", "50%", "that share of rolls fails", func(s *State) *float64 { return &s.Fail }),
	}
}

// ErrUnknown is the error of a name that the catalogue does not have.
var ErrUnknown = errors.New("unknown fault")

// Set is the faults of one service. It is safe for concurrent use; reading it
// costs one atomic load. The zero Set has every fault off.
type Set struct {
	mu    sync.Mutex // serialises writers
	state atomic.Pointer[State]
}

// Examples lists a spec of each fault, for every one of services if there are any.
func Examples(services ...string) (specs []string) {
	prefixes := []string{""}
	if len(services) > 0 {
		prefixes = nil
		for _, s := range services {
			prefixes = append(prefixes, s+":")
		}
	}
	for _, prefix := range prefixes {
		for _, f := range Catalogue() {
			specs = append(specs, prefix+strings.TrimSuffix(f.Name+"="+f.Example, "="))
		}
	}
	return specs
}

// Check returns an error if spec names no fault, or gives it a wrong value.
func Check(spec string) error {
	_, err := NewSet(spec)
	return err
}

// CheckOf returns the check of SERVICE:FAULT, where SERVICE is one of services.
func CheckOf(services []string) func(text string) error {
	return func(text string) error {
		service, spec, ok := strings.Cut(text, ":")
		if !ok || !slices.Contains(services, service) {
			return fmt.Errorf("write it as SERVICE:FAULT, where SERVICE is %s", strings.Join(services, " or "))
		}
		return Check(spec)
	}
}

// NewSet switches on the faults that specs name: "slow=2s", "no-export".
func NewSet(specs ...string) (*Set, error) {
	s := new(Set)
	for _, spec := range specs {
		if err := s.Enable(spec); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// State returns the faults that are on now. A nil Set has every fault off.
func (s *Set) State() State {
	if s == nil {
		return State{}
	}
	if p := s.state.Load(); p != nil {
		return *p
	}
	return State{}
}

// Enable switches a fault on: its name, with "=value" where it takes one. Its
// error says what to type instead; a name that is not in the catalogue is
// ErrUnknown. After an error nothing has changed.
func (s *Set) Enable(spec string) error {
	name, value, hasValue := strings.Cut(spec, "=")
	f, err := find(name)
	if err != nil {
		return err
	}
	switch {
	case f.Example == "" && hasValue:
		return fmt.Errorf("fault %s takes no value, got %q: write %s", name, value, name)
	case f.Example != "" && !hasValue:
		return fmt.Errorf("fault %s needs a value: write %s=%s", name, name, f.Example)
	}
	return s.change(func(st *State) error { return f.set(st, value) })
}

// Disable switches a fault off. Switching off what is off is no error.
func (s *Set) Disable(name string) error {
	f, err := find(name)
	if err != nil {
		return err
	}
	return s.change(func(st *State) error { f.clear(st); return nil })
}

func (s *Set) change(do func(*State) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.State()
	if err := do(&next); err != nil {
		return err
	}
	s.state.Store(&next)
	return nil
}

// On lists what is switched on, as it would be typed.
func (s *Set) On() []string {
	state, on := s.State(), []string{}
	for _, f := range Catalogue() {
		if value, ok := f.get(state); ok {
			if value != "" {
				value = "=" + value
			}
			on = append(on, f.Name+value)
		}
	}
	return on
}

func find(name string) (Fault, error) {
	var names []string
	for _, f := range Catalogue() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Fault{}, fmt.Errorf("%w %q: choose one of %s", ErrUnknown, name, strings.Join(names, ", "))
}

// The three kinds of fault: a plain switch, a duration and a share.

func flag(name, summary string, field func(*State) *bool) Fault {
	return Fault{Name: name, Summary: summary,
		set:   func(s *State, _ string) error { *field(s) = true; return nil },
		clear: func(s *State) { *field(s) = false },
		get:   func(s State) (string, bool) { return "", *field(&s) },
	}
}

func duration(name, example, summary string, low, high time.Duration, field func(*State) *time.Duration) Fault {
	return Fault{Name: name, Example: example, Summary: summary,
		set: func(s *State, text string) error {
			d, err := time.ParseDuration(text)
			if err != nil || d < low || d > high {
				return fmt.Errorf("fault %s=%s: want a duration from %v to %v, such as %s", name, text, low, high, example)
			}
			if d == 0 {
				return errNoFault(name, text)
			}
			*field(s) = d
			return nil
		},
		clear: func(s *State) { *field(s) = 0 },
		get:   func(s State) (string, bool) { return field(&s).String(), *field(&s) != 0 },
	}
}

func share(name, example, summary string, field func(*State) *float64) Fault {
	return Fault{Name: name, Example: example, Summary: summary,
		set: func(s *State, text string) error {
			percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
			if err != nil || !strings.HasSuffix(text, "%") || !(percent >= 0 && percent <= 100) {
				return fmt.Errorf("fault %s=%s: want a share from 0%% to 100%%, such as %s", name, text, example)
			}
			if percent = thousandths(percent); percent == 0 {
				return errNoFault(name, text)
			}
			*field(s) = percent / 100
			return nil
		},
		clear: func(s *State) { *field(s) = 0 },
		get: func(s State) (string, bool) {
			return strconv.FormatFloat(thousandths(*field(&s)*100), 'f', -1, 64) + "%", *field(&s) != 0
		},
	}
}

// thousandths rounds a percentage, so that 7% is not listed as
// 7.000000000000001%.
func thousandths(percent float64) float64 { return math.Round(percent*1000) / 1000 }

// errNoFault refuses a value with which a fault would be on and change nothing.
func errNoFault(name, text string) error {
	return fmt.Errorf("fault %s=%s: that is no fault; switch it off instead", name, text)
}

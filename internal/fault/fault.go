// Package fault is the catalogue of things that can be broken on purpose, and
// the switch for each. A service checks its Set in the code that the fault
// breaks; nothing else in the lab knows about faults. Probes and /metrics are
// spared, so that a broken service can still be watched.
//
// A fault that a quest has switched on is hidden: it works as any other, but no list
// shows it, and failures do not name it.
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

	"dicelab/internal/contract"
)

// Bounds of the values, so that a typing error does not block the lab.
const (
	maxSkew = time.Hour
	maxSlow = time.Minute

	maxRetry = 10
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
	FailFair        float64       // the same, of rolls of the fair die
	FailRisky       float64       // the same, of rolls of the risky die, besides those that fail anyway
	DropFailed      bool          // spans with status Error are thrown away
	Retry           int           // times that the front end repeats a failed call, 0 to 10
	Timeout         time.Duration // after which the front end gives a call up, 0 to 1 min; 0: its usual time
	Hidden          bool          // a quest has switched a fault on: failures must not name it
}

// FailShare returns the share of rolls of a die that fail, 0 to 1.
func (s State) FailShare(die string) float64 {
	switch die {
	case contract.DieFair:
		return max(s.Fail, s.FailFair)
	case contract.DieRisky:
		return max(s.Fail, s.FailRisky)
	}
	return s.Fail
}

// Failure describes a roll that failed because of FailShare.
type Failure struct {
	Message string // of the log line
	Cause   error
	Detail  string // for the caller
}

// Failure returns the description of a failed roll of a die. where is the end of its
// sentence. A hidden fault is not named.
func (s State) Failure(die, where string) Failure {
	if s.Hidden {
		return Failure{contract.MsgRollFailed, errors.New("the die fell off the table"), "The die fell off the table. Roll again."}
	}
	name := "fail"
	if s.FailShare(die) > s.Fail {
		name += "-" + die
	}
	return Failure{contract.MsgFaultInjected, fmt.Errorf("fault %s=%.6g%% struck", name, s.FailShare(die)*100),
		fmt.Sprintf("The roll failed because the fault %q is switched on%s.", name, where)}
}

// Fault describes one entry of the catalogue.
type Fault struct {
	Name    string // as typed after --fault
	Example string // a value to start from; empty for a plain switch
	Summary string // what breaks, in a few words
	Service string // the one service that it can break; "" for any

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
		share("fail-fair", "50%", "that share of rolls of the fair die fails", func(s *State) *float64 { return &s.FailFair }),
		share("fail-risky", "50%", "that share of rolls of the risky die fails, besides those that fail anyway", func(s *State) *float64 { return &s.FailRisky }),
		flag("drop-failed", "spans that failed are thrown away: the traces that matter have holes", func(s *State) *bool { return &s.DropFailed }),
		count("retry", "3", "a failed call to the roller is repeated at once, up to that number of times", maxRetry, func(s *State) *int { return &s.Retry }).of(contract.ServiceFrontend),
		duration("timeout", "300ms", "a call to the roller is given up after that time, sooner than it answers", 0, maxSlow, func(s *State) *time.Duration { return &s.Timeout }).of(contract.ServiceFrontend),
	}
}

// ErrUnknown is the error of a name that the catalogue does not have.
var ErrUnknown = errors.New("unknown fault")

// Set is the faults of one service. It is safe for concurrent use; reading it
// costs one atomic load. The zero Set has every fault off.
type Set struct {
	service string // whose faults these are; "" for those of any

	mu     sync.Mutex            // serialises writers
	open   State                 // the faults that are listed
	hidden *hidden               // those that a quest has switched on; nil: no quest is under way
	state  atomic.Pointer[State] // both
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
			if prefix != "" && f.Service != "" && prefix != f.Service+":" {
				continue
			}
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
		_, err := NewSetOf(service, spec)
		return err
	}
}

// NewSetOf returns the faults of a service. Those that specs name are on. It
// refuses faults that another service alone can have.
func NewSetOf(service string, specs ...string) (*Set, error) {
	s := &Set{service: service}
	for _, spec := range specs {
		if err := s.Enable(spec); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// NewSet switches on the faults that specs name: "slow=2s", "no-export".
func NewSet(specs ...string) (*Set, error) { return NewSetOf("", specs...) }

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
	return s.change(func(st *State) error { return s.enable(st, spec) })
}

// enable switches a fault on in a state.
func (s *Set) enable(st *State, spec string) error {
	name, value, hasValue := strings.Cut(spec, "=")
	f, err := s.find(name)
	if err != nil {
		return err
	}
	switch {
	case f.Example == "" && hasValue:
		return fmt.Errorf("fault %s takes no value, got %q: write %s", name, value, name)
	case f.Example != "" && !hasValue:
		return fmt.Errorf("fault %s needs a value: write %s=%s", name, name, f.Example)
	}
	return f.set(st, value)
}

// Disable switches a fault off. Switching off what is off is no error.
func (s *Set) Disable(name string) error {
	f, err := s.find(name)
	if err != nil {
		return err
	}
	return s.change(func(st *State) error { f.clear(st); return nil })
}

func (s *Set) change(do func(*State) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.open
	if err := do(&next); err != nil {
		return err
	}
	s.open = next
	s.store()
	return nil
}

// listed returns the faults that are on and not hidden, and whether a quest is under way.
func (s *Set) listed() (open State, quest bool) {
	if s == nil {
		return State{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, s.hidden != nil
}

// On lists what is switched on and not hidden, as it would be typed.
func (s *Set) On() []string {
	on := []string{}
	state, _ := s.listed()
	for _, f := range s.catalogue() {
		if value, ok := f.get(state); ok {
			if value != "" {
				value = "=" + value
			}
			on = append(on, f.Name+value)
		}
	}
	return on
}

// catalogue lists the faults that the service can have.
func (s *Set) catalogue() []Fault {
	return slices.DeleteFunc(Catalogue(), func(f Fault) bool {
		return s != nil && s.service != "" && f.Service != "" && f.Service != s.service
	})
}

func (s *Set) find(name string) (Fault, error) {
	var names []string
	for _, f := range s.catalogue() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Fault{}, fmt.Errorf("%w %q: choose one of %s", ErrUnknown, name, strings.Join(names, ", "))
}

// of limits a fault to a service.
func (f Fault) of(service string) Fault {
	f.Service = service
	return f
}

// The kinds of fault: a plain switch, a duration, a share and a count.

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

func count(name, example, summary string, most int, field func(*State) *int) Fault {
	return Fault{Name: name, Example: example, Summary: summary,
		set: func(s *State, text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > most {
				return fmt.Errorf("fault %s=%s: want a number from 1 to %d, such as %s", name, text, most, example)
			}
			if n == 0 {
				return errNoFault(name, text)
			}
			*field(s) = n
			return nil
		},
		clear: func(s *State) { *field(s) = 0 },
		get:   func(s State) (string, bool) { return strconv.Itoa(*field(&s)), *field(&s) != 0 },
	}
}

// thousandths rounds a percentage, so that 7% is not listed as
// 7.000000000000001%.
func thousandths(percent float64) float64 { return math.Round(percent*1000) / 1000 }

// errNoFault refuses a value with which a fault would be on and change nothing.
func errNoFault(name, text string) error {
	return fmt.Errorf("fault %s=%s: that is no fault; switch it off instead", name, text)
}

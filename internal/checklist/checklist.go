// Package checklist is the vocabulary of the checklist: package verify fills it in,
// the explorer's page and the reports show it.
//
// The JSON names are a contract: "dicelab verify --format json" and the explorer's
// download write them.
package checklist

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Row is one line of the checklist: what is checked.
type Row struct {
	Group   string `json:"group"`
	Name    string `json:"name"`          // unique; lower-case words with hyphens, never changed
	Box     string `json:"box,omitempty"` // the words of the manual checklist, internal/verify/checklist.md; empty beyond it
	Does    string `json:"does"`          // the request or query
	Expects string `json:"expects"`
	// Help is the section of docs/troubleshooting.md about a failure, as the fragment
	// of a URL.
	Help string `json:"help"`
}

// Outcome is the outcome of a check.
type Outcome string

// The outcomes.
const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	NotApplicable Outcome = "not-applicable"
)

// Result is a check that has ended.
type Result struct {
	Row
	Outcome  Outcome `json:"outcome"`
	Evidence string  `json:"evidence,omitempty"` // of a pass: a trace ID, a value, a count
	Why      string  `json:"why,omitempty"`      // of any other outcome
	// BlockedBy is the name of the row whose failure explains this one. It is empty
	// for a failure of its own.
	BlockedBy string `json:"blocked_by,omitempty"`
	// Page is the path of the explorer's page that shows what was checked, or empty.
	Page string `json:"page,omitempty"`
	// Reproduce is a command for a shell that shows what was seen; empty if nothing
	// was requested.
	Reproduce string     `json:"reproduce,omitempty"`
	Exchanges []Exchange `json:"exchanges,omitempty"` // the requests and the last answers to them
	Took      Seconds    `json:"took_seconds"`
}

// Text is the evidence of a check that passed, or the reason of any other outcome.
func (r Result) Text() string {
	if r.Outcome == Pass {
		return r.Evidence
	}
	return r.Why
}

// Cause reports whether the check failed and no other failure explains it.
func (r Result) Cause() bool { return r.Outcome == Fail && r.BlockedBy == "" }

// Exchange is a request and its answer.
type Exchange struct {
	Request string `json:"request"`          // method and URL
	Command string `json:"command"`          // the same for a shell
	Status  int    `json:"status,omitempty"` // 0: there was no answer
	Answer  string `json:"answer,omitempty"` // its beginning, or why there was none
	Cut     bool   `json:"cut,omitempty"`    // whether the answer is longer
}

// Mode names the kind of a lab's telemetry servers. It decides what a few rows mean; the
// checks are the same.
type Mode string

// The modes.
const (
	Embedded Mode = "embedded" // the lab's own store
	Native   Mode = "native"   // the real servers as processes; Alloy reads files
	Compose  Mode = "compose"  // the real servers in containers; Alloy discovers them
	Own      Mode = "own"      // your own servers
)

// Modes lists them.
func Modes() []Mode { return []Mode{Embedded, Native, Compose, Own} }

// Check returns an error for a mode that does not exist. The empty one is valid: it
// is found out.
func (m Mode) Check() error {
	if m == "" || slices.Contains(Modes(), m) {
		return nil
	}
	return fmt.Errorf("there is no mode %q: choose embedded, native, compose or own", string(m))
}

// Start describes a run when its checks begin.
type Start struct {
	Mode    Mode   `json:"mode"`
	ModeWhy string `json:"mode_why"` // how the mode was found out
	// Faults lists the faults that are on, as in Report.
	Faults []string `json:"faults,omitempty"`
	Rows   []Row    `json:"rows"` // what will be checked
}

// Report is a run that has ended.
type Report struct {
	Mode    Mode      `json:"mode"`
	ModeWhy string    `json:"mode_why"`
	Began   time.Time `json:"began"`
	Took    Seconds   `json:"took_seconds"`
	// Faults lists the faults that were on when the run began, as "up --fault" takes
	// them: dice-roller:slow=2s.
	Faults        []string `json:"faults,omitempty"`
	Rolls         int      `json:"rolls"` // number of rolls made, without the traffic generator's
	Passed        int      `json:"passed"`
	Failed        int      `json:"failed"`
	NotApplicable int      `json:"not_applicable"`
	Results       []Result `json:"results"`
}

// Add appends a result and counts it.
func (r *Report) Add(result Result) {
	r.Results = append(r.Results, result)
	switch result.Outcome {
	case Pass:
		r.Passed++
	case Fail:
		r.Failed++
	default:
		r.NotApplicable++
	}
}

// Causes lists the names of the failures that no other failure explains. If all are
// explained by checks that are not in the report, it names those.
func (r Report) Causes() (names []string) {
	shown := map[string]bool{}
	for _, result := range r.Results {
		shown[result.Name] = true
	}
	for _, result := range r.Results {
		name := result.BlockedBy
		if result.Cause() {
			name = result.Name
		} else if result.Outcome != Fail || shown[name] {
			continue
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// WriteJSON writes the report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(r); err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	return nil
}

// Seconds is a duration that JSON has as a number of seconds, to the millisecond.
type Seconds time.Duration

// MarshalJSON writes the number: 0.25.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Round(time.Millisecond).Seconds(), 'f', -1, 64), nil
}

// Slug is a group's name as one word: "service-health".
func Slug(group string) string { return strings.ReplaceAll(strings.ToLower(group), " ", "-") }

// UnreachableError is the error of a run that could not begin: nothing can be
// checked without the front end.
type UnreachableError struct {
	URL  string // the front end's
	Err  error
	Hint string // what to do, or empty
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the front end at %s does not answer: %v", e.URL, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Server is one of those that the checks look at.
type Server struct {
	Name string
	URL  string // empty: there is none
	Flag string // sets the URL; empty if no flag does
	// Given reports whether the flag was given.
	Given bool
	// Optional is set for a server that a lab may well do without.
	Optional bool
}

// Missing reports whether a flag that was not given would set the URL.
func (s Server) Missing() bool { return s.Flag != "" && !s.Given && !s.Optional }

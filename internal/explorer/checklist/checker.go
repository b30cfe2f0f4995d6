package checklist

import (
	"context"
	"time"
)

// Checker performs a checklist. Its methods may be called at the same time, Run
// by one caller.
type Checker interface {
	// Rows lists what can be checked, group by group.
	Rows() []Row
	// Servers lists what is looked at.
	Servers() []Server
	// Run checks the rows of a group, of all groups where it is empty. It calls
	// began once, and each with every result in the order of the rows. A row that
	// fails is no error. Its error is a *BeginError, or that of a context that
	// ended.
	Run(ctx context.Context, group string, began func(Start), each func(Result)) (Report, error)
}

// Server is one of those that are looked at.
type Server struct {
	Name string
	URL  string // empty: there is none
	Flag string // that tells the URL; empty where nobody is asked for it
	Told bool   // whether the flag was given
	// Optional is of those that a lab may well do without.
	Optional bool
}

// Missing tells whether a flag that was not given would tell where the server is.
func (s Server) Missing() bool { return s.Flag != "" && !s.Told && !s.Optional }

// Row is one line of the checklist.
type Row struct {
	Group   string
	Name    string // unique
	Box     string // of the original checklist, in its words; empty beyond it
	Does    string // the request or query
	Expects string
}

// Outcome is how a check ended.
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
	Outcome   Outcome
	Evidence  string     // of a pass
	Why       string     // of any other outcome
	BlockedBy string     // the row that tells why this one could not be checked, or empty
	Reproduce string     // a command for a shell, or empty
	Exchanges []Exchange // what was asked, and the answers
	Took      time.Duration
}

// Exchange is a request and its answer.
type Exchange struct {
	Request string // method and URL
	Command string // the same for a shell
	Status  int    // 0: there was no answer
	Answer  string // its beginning, or why there was none
	Cut     bool   // whether the answer went on
}

// Start is what is known when the checks begin.
type Start struct {
	Mode    string // how the lab runs
	ModeWhy string // how that was found out
	Rows    []Row  // what will be checked
}

// Report is a run that has come to its end.
type Report struct {
	Passed, Failed, NotApplicable int
	Rolls                         int // that were made
	Took                          time.Duration
	JSON                          []byte // all of it, for programs
}

// BeginError is the error of a run that could not begin.
type BeginError struct {
	Err  error
	Hint string // what to do, or empty
}

func (e *BeginError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *BeginError) Unwrap() error { return e.Err }

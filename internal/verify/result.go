package verify

import (
	"strconv"
	"time"
)

// Row is one line of the table of checks. The JSON names of this file are a
// contract: "dicelab verify --json" and the explorer's page write them.
type Row struct {
	Group   string `json:"group"`
	Name    string `json:"name"`          // unique; lower-case words with hyphens, never changed
	Box     string `json:"box,omitempty"` // the box of the original checklist, in its words; empty beyond it
	Does    string `json:"does"`          // the request or query
	Expects string `json:"expects"`
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
	Outcome  Outcome `json:"outcome"`
	Evidence string  `json:"evidence,omitempty"` // of a pass: a trace ID, a value, a count
	Why      string  `json:"why,omitempty"`      // of any other outcome
	// BlockedBy is the name of the row that tells why this one could not be
	// checked. It is empty for a failure of its own.
	BlockedBy string `json:"blocked_by,omitempty"`
	// Reproduce is a command for a shell that shows what was seen; empty where
	// nothing was asked.
	Reproduce string     `json:"reproduce,omitempty"`
	Exchanges []Exchange `json:"exchanges,omitempty"` // what was asked, and the last answers to it
	Took      Seconds    `json:"took_seconds"`
}

// Exchange is a request and its answer.
type Exchange struct {
	Request string `json:"request"`          // method and URL
	Command string `json:"command"`          // the same for a shell
	Status  int    `json:"status,omitempty"` // 0: there was no answer
	Answer  string `json:"answer,omitempty"` // its beginning, or why there was none
	Cut     bool   `json:"cut,omitempty"`    // whether the answer went on
}

// Start is what is known when the checks begin.
type Start struct {
	Mode    Mode   `json:"mode"`
	ModeWhy string `json:"mode_why"` // how the mode was found out
	Rows    []Row  `json:"rows"`     // what will be checked
}

// Report is a run that has ended.
type Report struct {
	Mode          Mode      `json:"mode"`
	ModeWhy       string    `json:"mode_why"`
	Began         time.Time `json:"began"`
	Took          Seconds   `json:"took_seconds"`
	Rolls         int       `json:"rolls"` // that were made, without the traffic generator's
	Passed        int       `json:"passed"`
	Failed        int       `json:"failed"`
	NotApplicable int       `json:"not_applicable"`
	Results       []Result  `json:"results"`
}

func (r *Report) add(result Result) {
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

// Seconds is a duration that JSON has as a number of seconds, to the millisecond.
type Seconds time.Duration

// MarshalJSON writes the number: 0.25.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Round(time.Millisecond).Seconds(), 'f', -1, 64), nil
}

package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Problem is an error as a program and a person can read it: a problem document
// of RFC 9457. It is the one error type of the HTTP services: a handler returns
// it, Fail writes it, and the status on the wire, in the span, in the metric and
// in the log is its Status.
type Problem struct {
	Title     string   `json:"title"`               // constant for a status; filled in from it when empty
	Status    int      `json:"status"`              // 400 to 599
	Detail    string   `json:"detail"`              // what is wrong with this request, and what to do
	Parameter string   `json:"parameter,omitempty"` // the input that is at fault
	Value     string   `json:"value,omitempty"`     // what it was
	Allowed   []string `json:"allowed,omitempty"`   // what it may be
	TraceID   string   `json:"trace_id,omitempty"`  // 32 hex digits: where to look

	// Cause is for spans and logs; it is never sent to the caller.
	Cause error `json:"-"`
}

// ProblemType is the media type of a Problem (RFC 9457, section 3).
const ProblemType = "application/problem+json"

func (p *Problem) Error() string {
	if p.Cause != nil {
		return p.Cause.Error()
	}
	return p.Detail
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// AsProblem finds the Problem in err. Any other error is a 500 whose cause is
// err and whose text is not shown to the caller.
func AsProblem(err error) *Problem {
	var p *Problem
	if !errors.As(err, &p) {
		p = &Problem{Status: http.StatusInternalServerError, Detail: "The request failed; the log has the cause.", Cause: err}
	}
	return p
}

// BadForm returns the problem of a form that cannot be parsed: 413 where it was larger
// than GuardForms lets through, else 400.
func BadForm(err error) *Problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Cause: err,
			Detail: fmt.Sprintf("The form is larger than %d bytes. Send only the fields that the form of the page has.", tooLarge.Limit)}
	}
	return &Problem{Status: http.StatusBadRequest, Cause: err,
		Detail: "The form cannot be read. Send it as application/x-www-form-urlencoded."}
}

// Fail answers with a problem document.
func Fail(w http.ResponseWriter, p *Problem) {
	Respond(w, p.Status, ProblemType, p.Titled())
}

// Titled returns p with its title filled in.
func (p *Problem) Titled() *Problem {
	if p.Title != "" {
		return p
	}
	c := *p
	if c.Title = http.StatusText(p.Status); c.Title == "" {
		c.Title = "Client Closed Request" // the only status in use that net/http has no text for
	}
	return &c
}

// Respond answers with a JSON document.
func Respond(w http.ResponseWriter, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil { // a type that cannot be marshalled is a mistake in the program
		status, contentType, text = http.StatusInternalServerError, ProblemType, []byte(`{"title":"Internal Server Error","status":500}`)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // client gone; nothing to do
}

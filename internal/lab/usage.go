package lab

import "errors"

// Exit statuses of the program.
const (
	ExitOK     = 0
	ExitFailed = 1 // it ran, and something went wrong
	ExitUsage  = 2 // it could not run as it was called
)

// UsageError is an error that the user can mend, such as a taken port or a data directory that
// cannot be written. Its text explains how.
type UsageError struct{ Err error }

// Error returns the text of the wrapped error.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *UsageError) Unwrap() error { return e.Err }

// ExitCode returns the exit status that err asks for.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if _, usage := errors.AsType[*UsageError](err); usage {
		return ExitUsage
	}
	return ExitFailed
}

// hintedError is an error with what to type next.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// Hint returns err with a hint: a sentence that says what to type next.
func Hint(err error, hint string) error { return &hintedError{err, hint} }

// HintOf returns the first hint in the tree of err, or an empty string.
func HintOf(err error) string {
	if hinted, ok := errors.AsType[*hintedError](err); ok {
		return hinted.hint
	}
	return ""
}

// Refuse returns err as a UsageError with a hint.
func Refuse(err error, hint string) error { return Hint(&UsageError{Err: err}, hint) }

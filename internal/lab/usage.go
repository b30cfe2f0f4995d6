package lab

import "errors"

// Exit statuses of the program.
const (
	ExitOK     = 0
	ExitFailed = 1 // it ran, and something went wrong
	ExitUsage  = 2 // it could not run as it was called
)

// UsageError is what the person who typed the command can mend: a taken port, a
// data directory that cannot be written. Its text says how.
type UsageError struct{ Err error }

// Error is the text of the wrapped error.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *UsageError) Unwrap() error { return e.Err }

// ExitCode is the exit status that err asks for.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if _, usage := errors.AsType[*UsageError](err); usage {
		return ExitUsage
	}
	return ExitFailed
}

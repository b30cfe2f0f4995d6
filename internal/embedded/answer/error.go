package answer

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// StatusError is an error with the status of the response to it. Its text is for the client.
type StatusError struct {
	Status int // of HTTP
	Err    error
}

// Error returns the text of the error.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap returns the error without its status.
func (e *StatusError) Unwrap() error { return e.Err }

// Errorf returns a [*StatusError] with a text that is formatted as by [fmt.Errorf].
func Errorf(status int, format string, args ...any) error {
	return &StatusError{status, fmt.Errorf(format, args...)}
}

// JSON responds with a value as a JSON document of the given content type.
func JSON(w http.ResponseWriter, contentType string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(append(text, '\n')) // an error means that the client is gone
	return nil
}

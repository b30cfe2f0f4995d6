package otlp

import (
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
)

// refusal is the error of an export that must not be sent again, with its status over
// both transports.
type refusal struct {
	status int // of HTTP
	code   codes.Code
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }

func (r *refusal) Unwrap() error { return r.err }

func malformed(err error) error {
	return &refusal{http.StatusBadRequest, codes.InvalidArgument, err}
}

func tooLarge(err error) error {
	return &refusal{http.StatusRequestEntityTooLarge, codes.ResourceExhausted, err}
}

func unsupported(err error) error {
	return &refusal{http.StatusUnsupportedMediaType, codes.Unimplemented, err}
}

// late is the error of an export that did not arrive in time. Its client may try again.
func late(err error) error {
	return &refusal{http.StatusRequestTimeout, codes.DeadlineExceeded, err}
}

// statusOf returns the status of the response to an error. Any error but a refusal means
// that the export may be sent again.
func statusOf(err error) (status int, code codes.Code, again bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r.status, r.code, false
	}
	return http.StatusServiceUnavailable, codes.Unavailable, true
}

package telemetry

import (
	"net/http"

	"dicelab/internal/fault"
)

// recorder notes the status and the size of an answer on its way out.
type recorder struct {
	http.ResponseWriter
	faults  *fault.Set
	status  int // 0 until it is written
	written int64
}

// Status is what the handler answered; writing nothing means 200.
func (r *recorder) Status() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	if status >= 500 && r.faults.State().Status200 {
		status = http.StatusOK // on the wire alone: that is the fault
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach what the connection can do.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

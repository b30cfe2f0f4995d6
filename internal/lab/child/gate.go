package child

import (
	"io"
	"net/http"
	"sync/atomic"
)

// The paths that a closed gate answers or lets through.
const (
	pathReady   = "/readyz"
	pathHealthy = "/healthz"
	pathMetrics = "/metrics"
)

// Responses of a closed gate on /readyz.
const (
	bodyDraining = "draining"
	bodyDrained  = "drained"
)

// Gate stands before a service's handler. Open, it lets everything through and counts the requests
// under way. Closed, it answers new requests with 503, and /readyz reports whether the old ones
// have been answered; /metrics and /healthz stay as they are. So the lab can let rolls finish, read
// every counter at its last value, and only then end the process. The zero value is open.
type Gate struct {
	closed   atomic.Bool
	underWay atomic.Int64
}

// Close closes the gate for good.
func (g *Gate) Close() { g.closed.Store(true) }

// Wrap puts the gate before next. It belongs outside everything that measures:
// a request counts as answered when next has returned.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case pathHealthy, pathMetrics:
			next.ServeHTTP(w, r)
			return
		case pathReady:
			if g.closed.Load() {
				g.answer(w)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		// Counted before the look at closed, so that either Close sees the request or the request
		// sees that the gate is closed.
		g.underWay.Add(1)
		defer g.underWay.Add(-1)
		if g.closed.Load() {
			w.Header().Set("Connection", "close")
			http.Error(w, "the lab is stopping", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *Gate) answer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusServiceUnavailable)
	body := bodyDrained
	if g.underWay.Load() > 0 {
		body = bodyDraining
	}
	// An error means that the lab closed the connection; it will ask again.
	_, _ = io.WriteString(w, body+"\n")
}

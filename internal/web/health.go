package web

import (
	"net/http"
	"sync/atomic"
)

// Health answers the two probes of a service. The zero Health is alive and
// ready.
type Health struct{ draining atomic.Bool }

// Drain makes the service not ready, for good: it is about to stop, and whoever
// sends it requests should send them elsewhere.
func (h *Health) Drain() { h.draining.Store(true) }

// Alive answers /healthz: 200 as long as the process answers at all.
func (h *Health) Alive(w http.ResponseWriter, _ *http.Request) {
	Respond(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
}

// Ready answers /readyz: 200 when the service takes requests, 503 while it
// drains.
func (h *Health) Ready(w http.ResponseWriter, _ *http.Request) {
	if h.draining.Load() {
		Fail(w, &Problem{Status: http.StatusServiceUnavailable, Detail: "The service is stopping and takes no new requests."})
		return
	}
	Respond(w, http.StatusOK, "application/json", map[string]string{"status": "ready"})
}

package web

import "net/http"

// Alive answers /healthz: 200 as long as the process answers at all.
func Alive(w http.ResponseWriter, _ *http.Request) {
	Respond(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
}

// Ready answers /readyz of a service that takes requests as soon as it listens.
// Whoever stops the service answers for it while it drains.
func Ready(w http.ResponseWriter, _ *http.Request) {
	Respond(w, http.StatusOK, "application/json", map[string]string{"status": "ready"})
}

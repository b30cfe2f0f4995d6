package web

import (
	"fmt"
	"net/http"
)

// Unmatched answers with a problem document where mux has no route, and leaves
// the rest to mux. The mux decides between 404 and 405 and sets Allow.
func Unmatched(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		answer := &statusOnly{header: http.Header{}}
		refuse.ServeHTTP(answer, r)
		if answer.status < http.StatusBadRequest { // a redirect to the clean form of a path, which does not exist either
			answer.status = http.StatusNotFound
		}
		detail := fmt.Sprintf("There is nothing at %s.", r.URL.Path)
		if allow := answer.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			detail = fmt.Sprintf("%s does not take %s. It takes %s.", r.URL.Path, r.Method, allow)
		}
		Fail(w, &Problem{Status: answer.status, Detail: detail})
	})
}

// statusOnly notes what a handler would answer and drops the body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }

// OnlyGet refuses a method other than GET where GET would have an effect that
// its answer without a body would hide.
func OnlyGet() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", http.MethodGet)
		Fail(w, &Problem{Status: http.StatusMethodNotAllowed, Detail: fmt.Sprintf("%s does not take %s. It takes GET.", r.URL.Path, r.Method)})
	})
}

package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/promql/parser"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/intake"
)

// endpoint is an endpoint of Prometheus's API that is served, with its methods
// (https://prometheus.io/docs/prometheus/latest/querying/api/). Endpoints with GET and
// POST also read their parameters from a form.
type endpoint struct {
	path    string // below apiPrefix, as net/http.ServeMux writes patterns
	methods []string
}

// endpoints lists the endpoints of the API that are served.
func endpoints() []endpoint {
	get := []string{http.MethodGet}
	form := []string{http.MethodGet, http.MethodPost}
	return []endpoint{
		{"/query", form},
		{"/query_range", form},
		{"/query_exemplars", form},
		{"/series", form},
		{"/labels", form},
		{"/label/{name}/values", get},
		{"/metadata", get},
		{"/targets", get},
		{"/rules", get},
		{"/alerts", get},
		{"/format_query", form},
		{"/parse_query", form},
		{"/alertmanagers", get},
		{"/scrape_pools", get},
		{"/targets/metadata", get},
		{"/status/buildinfo", get},
		{"/status/config", get},
		{"/status/flags", get},
		{"/status/runtimeinfo", get},
		{"/status/tsdb", get},
		{"/status/walreplay", get},
		{"/features", get},
		{"/notifications", get},
	}
}

// newHandler returns the server's HTTP handler: the endpoints of the API, the probes, the
// server's own metrics, and redirects from the paths of Prometheus's pages.
func (s *Server) newHandler(api http.Handler, promQL parser.Parser, explorer *url.URL, registry *prometheus.Registry) http.Handler {
	probe := []string{http.MethodGet, http.MethodHead}
	mux := http.NewServeMux()
	query := func(next http.Handler) http.Handler {
		return s.bounded(s.answers.Handler(s.limited(s.whileOpen(next)), refuse))
	}
	for _, e := range endpoints() {
		mux.Handle(apiPrefix+e.path, allow(e.methods, query(api)))
	}
	mux.Handle(apiPrefix+"/read", allow([]string{http.MethodPost}, query(s.remoteRead(api))))
	mux.Handle("/federate", allow(probe, query(s.federate(promQL))))
	mux.Handle(apiPrefix+"/write", allow([]string{http.MethodPost}, s.remoteWrite(s.whileOpen(s.write))))
	// The texts are Prometheus's own (its management API).
	mux.Handle("/-/healthy", allow(probe, text("Prometheus Server is Healthy.\n")))
	mux.Handle("/-/ready", allow(probe, s.whileScraping(text("Prometheus Server is Ready.\n"))))
	mux.Handle("/metrics", allow(probe, promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})))
	if explorer != nil {
		mux.Handle("/{$}", allow(probe, redirect(explorer, "/")))
		mux.Handle("/targets", allow(probe, redirect(explorer, "/targets")))
		mux.Handle("/query", allow(probe, redirect(explorer, "/metrics")))
		mux.Handle("/graph", allow(probe, redirect(explorer, "/metrics")))
	}
	mux.Handle("/", http.HandlerFunc(notServed))
	return mux
}

// allow refuses all but the given methods.
func allow(methods []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			allowed := strings.Join(methods, ", ")
			w.Header().Set("Allow", allowed)
			fail(w, r, http.StatusMethodNotAllowed, "method_not_allowed",
				fmt.Sprintf("%s is not served for %s, which takes %s", r.URL.Path, r.Method, allowed))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bounded bounds a request's time, its form and its queries. The library treats a form
// that is too large as an empty one, and does not bound a query's text.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if status, err := parseForm(r); err != nil {
			fail(w, r, status, "bad_data", err.Error())
			return
		}
		if err := checkForm(r.Form); err != nil {
			fail(w, r, http.StatusBadRequest, "bad_data", err.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// parseForm parses everything that the library would read of a form, so that the library
// gets only checked values. Its error is for the client, with a status.
func parseForm(r *http.Request) (status int, err error) {
	if err = r.ParseForm(); err == nil {
		err = r.ParseMultipartForm(maxForm)
	}
	var large *http.MaxBytesError
	switch {
	case err == nil, errors.Is(err, http.ErrNotMultipart):
		return http.StatusOK, nil
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the form has more than %d bytes", large.Limit)
	}
	return intake.BodyStatus(err), fmt.Errorf("reading the form: %w", err)
}

// limited bounds the number of requests that are answered at once. The library bounds
// queries, too, but answers one that timed out while it waited with 400 (bad data).
func (s *Server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if s.semaphore.Acquire(ctx) == nil {
			defer s.semaphore.Release()
		}
		switch ctx.Err() {
		case nil:
			next.ServeHTTP(w, r)
		case context.Canceled:
			fail(w, r, contract.StatusClientClosedRequest, "canceled", "the request was cancelled by the client")
		default:
			fail(w, r, http.StatusServiceUnavailable, "timeout", fmt.Sprintf("the request took longer than %v, and %d are answered at once", s.timeout, cap(s.semaphore)))
		}
	})
}

// refuse responds if the response has no room.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, answer.ErrBusy) {
		w.Header().Set("Retry-After", "1")
		fail(w, r, http.StatusServiceUnavailable, "unavailable", err.Error())
		return
	}
	fail(w, r, http.StatusUnprocessableEntity, "execution", err.Error())
}

// whileOpen keeps the TSDB open while a request reads it: its files are mapped into
// memory, and reading them after Close would crash the process.
func (s *Server) whileOpen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.gate.RLock()
		defer s.gate.RUnlock()
		if s.closed {
			fail(w, r, http.StatusServiceUnavailable, "unavailable", "the metrics are closed: the lab is stopping")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// whileScraping answers 503 before the first and after the last scrape, and while
// samples cannot be stored.
func (s *Server) whileScraping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.scraper.running.Load() {
			fail(w, r, http.StatusServiceUnavailable, "unavailable", "Service Unavailable")
			return
		}
		if s.guard != nil {
			if err := s.guard.Err(); err != nil {
				fail(w, r, http.StatusServiceUnavailable, "unavailable", "Service Unavailable: "+err.Error())
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// text answers with a plain text.
func text(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, body) // an error means that the client is gone
	})
}

// redirect redirects to a page of the explorer, with the request's parameters. From a URL
// of Prometheus's own page, its first expression becomes "query".
func redirect(explorer *url.URL, page string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := explorer.JoinPath(page)
		query := r.URL.Query()
		if expr := query.Get("g0.expr"); expr != "" {
			query.Set("query", expr)
		}
		to.RawQuery = query.Encode()
		http.Redirect(w, r, to.String(), http.StatusFound)
	})
}

// notServed answers with the list of what is served, and with the way to the rest.
func notServed(w http.ResponseWriter, r *http.Request) {
	served := make([]string, 0, len(endpoints()))
	for _, e := range endpoints() {
		served = append(served, apiPrefix+e.path)
	}
	served = append(served, apiPrefix+"/read", apiPrefix+"/write", apiPrefix+"/otlp/v1/metrics", "/federate")
	fail(w, r, http.StatusNotFound, "not_found", fmt.Sprintf(
		"%s is not served by the embedded Prometheus; it serves %s, /metrics, /-/healthy and /-/ready; run the lab with --stack=native for all of Prometheus",
		r.URL.Path, strings.Join(served, ", ")))
}

// fail answers with an error, below /api/ in Prometheus's form.
func fail(w http.ResponseWriter, r *http.Request, status int, kind, message string) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = fmt.Fprintln(w, message) // an error means that the client is gone
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{ // an error means that the client is gone
		"status": "error", "errorType": kind, "error": message,
	})
}

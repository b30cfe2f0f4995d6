package tempo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/traceql"
)

// apiVersion is the version of Tempo whose API this is.
const apiVersion = "3.0.3"

// jsonType is the content type of responses in JSON.
const jsonType = "application/json"

const useNative = "start the lab with --stack=native, which runs Tempo itself"

// Store is the part of a store that the API uses.
type Store interface {
	Trace(ctx context.Context, id store.TraceID) (store.Trace, error)
	Search(ctx context.Context, q store.SearchQuery) (store.SearchResult, error)
	CountSpans(ctx context.Context, q store.SpanCount, yield func(by []any, until time.Time, n int)) (partial bool,
		err error)
	SampleSpans(ctx context.Context, from, to time.Time, where []store.Condition, n int,
		yield func(start time.Time, span store.Span)) error
	TagNames(ctx context.Context, scope store.Scope, limit int) ([]string, error)
	TagValues(ctx context.Context, scope store.Scope, name string, limit int) ([]store.TagValue, error)
	Services(ctx context.Context, limit int) ([]string, error)
	Names(ctx context.Context, limit int) ([]string, error)
	Health(ctx context.Context) error
}

// Options configure a handler. The zero value means the defaults.
type Options struct {
	Version string        // of dicelab, shown by buildinfo
	Timeout time.Duration // of a request; default 30 s
	Memory  int64         // bytes that the program may have, see [intake.NewSemaphore]
	// Answers bounds the responses to queries under way; default a pool of its own.
	Answers *answer.Pool
	Metrics http.Handler // answers /metrics; nil if it is not served
}

type api struct {
	store     Store
	opts      Options
	semaphore intake.Semaphore // of queries
}

// NewHandler returns the API's handler.
func NewHandler(s Store, opts Options) (http.Handler, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Answers == nil {
		opts.Answers = answer.NewPool(answer.Options{})
	}
	a := &api{store: s, opts: opts, semaphore: intake.NewSemaphore(opts.Memory)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", a.serve(a.ready))
	mux.HandleFunc("GET /api/echo", a.serve(func(w http.ResponseWriter, _ *http.Request) error {
		return writeText(w, "echo\n")
	}))
	mux.HandleFunc("GET /api/status/buildinfo", a.serve(a.buildInfo))
	mux.Handle("GET /api/traces/{id}", a.limited(a.traceV1))
	mux.Handle("GET /api/v2/traces/{id}", a.limited(a.traceV2))
	mux.Handle("GET /api/search", a.limited(a.search))
	mux.Handle("GET /api/metrics/query_range", a.limited(a.metricsRange))
	mux.Handle("GET /api/metrics/query", a.limited(a.metricsInstant))
	mux.Handle("GET /api/search/tags", a.limited(a.tagNames))
	mux.Handle("GET /api/search/tag/{name}/values", a.limited(a.tagValues))
	mux.Handle("GET /api/v2/search/tags", a.limited(a.tagNamesV2))
	mux.Handle("GET /api/v2/search/tag/{name}/values", a.limited(a.tagValuesV2))
	if opts.Metrics != nil {
		mux.Handle("GET /metrics", opts.Metrics)
	}
	mux.HandleFunc("/", a.serve(func(_ http.ResponseWriter, r *http.Request) error {
		return badRequest("%s %s is not served by the embedded stack: %s", r.Method, r.URL.Path, useNative)
	}))
	return streaming(mux)
}

func badRequest(format string, args ...any) error {
	return answer.Errorf(http.StatusBadRequest, format, args...)
}

// serve bounds the time of a request and maps its error to an answer.
func (a *api) serve(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), a.opts.Timeout)
		defer cancel()
		err := h(w, r.WithContext(ctx))
		if err != nil {
			answer.Reset(w)
		}
		var marked *answer.StatusError
		var query *traceql.Error
		switch {
		case err == nil, r.Context().Err() != nil: // answered, or the client is gone
		case errors.As(err, &marked):
			http.Error(w, marked.Error(), marked.Status)
		case errors.As(err, &query):
			http.Error(w, query.Error(), http.StatusBadRequest)
		case ctx.Err() != nil:
			http.Error(w, fmt.Sprintf("the query took longer than %v: narrow its time range or add conditions on service, "+
				"name or status", a.opts.Timeout), http.StatusGatewayTimeout)
		default:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// limited bounds the number of requests that h serves at once. A request counts until
// its response is complete.
func (a *api) limited(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	served := a.serve(func(w http.ResponseWriter, r *http.Request) error {
		if err := a.semaphore.Acquire(r.Context()); err != nil {
			return err
		}
		defer a.semaphore.Release()
		return h(w, r)
	})
	return a.opts.Answers.Handler(served, func(w http.ResponseWriter, _ *http.Request, err error) {
		if errors.Is(err, answer.ErrBusy) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	})
}

func writeText(w http.ResponseWriter, s string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, s) // an error means that the client is gone
	return nil
}

func (a *api) ready(w http.ResponseWriter, r *http.Request) error {
	if err := a.store.Health(r.Context()); err != nil {
		return answer.Errorf(http.StatusServiceUnavailable, "not ready: %w", err)
	}
	return writeText(w, "ready\n")
}

func (a *api) buildInfo(w http.ResponseWriter, _ *http.Request) error {
	return answer.JSON(w, jsonType, map[string]string{
		"version": apiVersion, "revision": a.opts.Version, "branch": contract.EmbeddedBranch,
		"buildUser": "", "buildDate": "", "goVersion": runtime.Version(),
	})
}

// parseTraceID parses 1 to 32 hex digits; leading zeros may be missing.
func parseTraceID(s string) (id store.TraceID, err error) {
	if len(s) > 32 || s == "" {
		return id, badRequest("trace ID %.40q has %d digits: a trace ID has 32 hex digits, of which leading zeros may be "+
			"left out", s, len(s))
	}
	b, err := hex.DecodeString(strings.Repeat("0", 32-len(s)) + s)
	if err != nil {
		return id, badRequest("trace ID %q is not hexadecimal: a trace ID has 32 hex digits, of which leading zeros may be "+
			"left out", s)
	}
	id = store.TraceID(b)
	if id == (store.TraceID{}) {
		return id, badRequest("trace ID %q is zero, which means none", s)
	}
	return id, nil
}

// Package loki serves the part of Grafana Loki's HTTP API that the lab uses over
// the embedded store.
//
// Rules:
//   - Responses have the JSON of Loki 3 ("Loki HTTP API" in its documentation), so
//     that clients need not distinguish the two.
//   - A request that is not supported gets a 400 that names what is missing and how
//     to run the real Loki; never a wrong or an empty response.
//   - Every request is bounded: in the size of its body, in the lines, points and
//     series of its response, and in time. It ends when its client is gone.
//   - Errors are plain text, as Loki's.
package loki

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/promql"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/senders"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/tail"
)

// Store keeps the log lines.
type Store interface {
	// AppendLines stores lines and returns when they are stored. With a
	// [*streams.RefusedError] those are stored that were not refused, with another
	// error none.
	AppendLines(ctx context.Context, lines []store.Line) error
	// Lines calls yield for each line that q selects, in order of time, until it
	// returns false.
	Lines(ctx context.Context, q store.LineQuery, yield func(store.Line) bool) error
	// CountLines counts lines as far as it can without reading them.
	CountLines(ctx context.Context, q store.LineCount, yield func(stream, metadata map[string]string, times []int64, sizes []int) error) (not []store.Period, ok bool, err error)
	// Streams lists the labels of the streams that have lines in [from, to).
	Streams(ctx context.Context, from, to time.Time) ([]map[string]string, error)
}

// Options are the handler's settings. The zero value means the defaults.
type Options struct {
	Version string           // of Loki whose API this is, for buildinfo
	Timeout time.Duration    // of a request; default 1 minute, as in Loki (limits_config, query_timeout)
	Now     func() time.Time // default time.Now
	// Age is the greatest age of a line that is accepted, and Early the most by which
	// its time may lie in the future. Other lines are refused, as in Loki
	// (reject_old_samples_max_age, creation_grace_period). 0 means no limit.
	Age, Early time.Duration
	// Discover sets service_name and detected_level of pushed lines; see
	// [logline.Discover].
	Discover bool
	// Senders lists who pushes; nil for no list.
	Senders *senders.Table
	// Ready returns nil, or the reason why lines cannot be stored or read, which /ready
	// returns. Default nil: they always can.
	Ready func(context.Context) error
	// Budget bounds the memory of all pushes under way; one push may reserve half of
	// it. Default: a budget of its own, of [intake.DefaultBytes].
	Budget *intake.Budget
	Memory int64 // bytes that the program may have, see [intake.NewSemaphore]
	// Answers bounds the responses to queries under way; default a pool of its own.
	Answers *answer.Pool
	// Tails passes on the lines that are stored; default a hub that gets none.
	Tails *tail.Hub
	// Metrics are the metrics of the program, which /metrics shows; default none.
	Metrics prometheus.Gatherer
}

// Bounds of requests and responses. Where Loki has the same bound, its default.
const (
	maxLimit     = 5000     // lines of an answer (max_entries_limit_per_query)
	maxAnswer    = 16 << 20 // bytes of text and labels of an answer
	labelBytes   = 100      // of a label in memory, beside its name and value
	maxSelectors = 100      // of a request for series
	maxQueryBody = 64 << 10 // bytes of a query that comes as a form
	maxPushBody  = 4 << 20  // bytes of a push, compressed and not: four of Alloy's batches
)

// jsonType is the content type of responses in JSON.
const jsonType = "application/json; charset=UTF-8"

// NewHandler serves the API over s.
func NewHandler(s Store, opts Options) http.Handler {
	if opts.Timeout <= 0 {
		opts.Timeout = time.Minute
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Budget == nil {
		opts.Budget = intake.NewBudget(0)
	}
	if opts.Tails == nil {
		opts.Tails = tail.New()
	}
	if opts.Metrics == nil {
		opts.Metrics = prometheus.NewRegistry()
	}
	if opts.Answers == nil {
		opts.Answers = answer.NewPool(answer.Options{})
	}
	h := &handler{store: s, opts: opts, semaphore: intake.NewSemaphore(opts.Memory), engine: logql.NewEngine(opts.Timeout)}
	mux := http.NewServeMux()
	h.routes(mux)
	return mux
}

type handler struct {
	store     Store
	opts      Options
	semaphore intake.Semaphore // of queries
	engine    promql.QueryEngine
}

// routes lists every route.
func (h *handler) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /ready", h.ready)
	mux.Handle("/loki/api/v1/status/buildinfo", h.query(h.buildinfo))
	mux.Handle("/loki/api/v1/query", h.query(h.instant))
	mux.Handle("/loki/api/v1/query_range", h.query(h.queryRange))
	mux.Handle("/loki/api/v1/labels", h.query(h.labels))
	mux.Handle("/loki/api/v1/label/{name}/values", h.query(h.values))
	mux.Handle("/loki/api/v1/series", h.query(h.series))
	mux.Handle("/loki/api/v1/index/stats", h.query(h.indexStats))
	mux.Handle("/loki/api/v1/index/volume", h.query(h.volume))
	mux.Handle("/loki/api/v1/index/volume_range", h.query(h.volumeRange))
	mux.Handle("/loki/api/v1/detected_labels", h.query(h.detectedLabels))
	mux.Handle("/loki/api/v1/detected_fields", h.query(h.detectedFields))
	mux.Handle("/loki/api/v1/detected_field/{name}/values", h.query(h.fieldValues))
	mux.Handle("/loki/api/v1/patterns", h.query(h.patterns))
	mux.Handle("/loki/api/v1/drilldown-limits", h.query(h.drilldownLimits))
	mux.Handle("GET /loki/api/v1/tail", h.answer(h.tail))
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.opts.Metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.Handle("/loki/api/v1/push", h.serve([]string{http.MethodPost}, maxPushBody, h.push))
	for _, other := range []string{"/loki/", "/api/prom/", "/otlp/"} {
		mux.HandleFunc(other, unserved)
	}
	mux.HandleFunc("/", unknown)
}

func unserved(w http.ResponseWriter, r *http.Request) {
	fail(w, answer.Errorf(http.StatusBadRequest, "the embedded stack does not serve %s; the real Loki does: dicelab up --stack=native", r.URL.Path))
}

func unknown(w http.ResponseWriter, r *http.Request) {
	fail(w, answer.Errorf(http.StatusNotFound, "%s is not a path of Loki's API; queries go to /loki/api/v1/query_range", r.URL.Path))
}

// endpoint answers a request whose form has been parsed.
type endpoint func(w http.ResponseWriter, r *http.Request) error

// query serves an endpoint that reads its parameters from the URL or a form. A request
// counts as a query under way until its response is complete.
func (h *handler) query(e endpoint) http.Handler {
	limited := h.answer(func(w http.ResponseWriter, r *http.Request) error {
		if err := h.semaphore.Acquire(r.Context()); err != nil {
			return err
		}
		defer h.semaphore.Release()
		return e(w, r)
	})
	buffered := h.opts.Answers.Handler(limited, func(w http.ResponseWriter, _ *http.Request, err error) { fail(w, err) })
	return h.serve([]string{http.MethodGet, http.MethodHead, http.MethodPost}, maxQueryBody, func(w http.ResponseWriter, r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return bodyError("the parameters", err)
		}
		buffered.ServeHTTP(w, r)
		return nil
	})
}

// answer answers with an endpoint's error.
func (h *handler) answer(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := e(w, r)
		// A read that took too long ends the context, too.
		if err != nil && r.Context().Err() != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			err = r.Context().Err() // instead of the store's error
		}
		if err != nil {
			answer.Reset(w)
			fail(w, err)
		}
	})
}

// serve bounds the time of a request.
func (h *handler) serve(methods []string, body int64, e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			fail(w, answer.Errorf(http.StatusMethodNotAllowed, "%s does not take %s; use %s", r.URL.Path, r.Method, methods[0]))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, body)
		h.answer(e).ServeHTTP(w, r)
	})
}

// badRequest marks err as a mistake of the client.
func badRequest(err error) error {
	return &answer.StatusError{Status: http.StatusBadRequest, Err: err}
}

// fail answers with an error as Loki does.
func fail(w http.ResponseWriter, err error) {
	var marked *answer.StatusError
	var large *http.MaxBytesError
	var tooLarge *answer.TooLargeError
	status, text := http.StatusInternalServerError, err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		status, text = http.StatusGatewayTimeout, "request timed out, decrease the duration of the request or add more label matchers "+
			"(prefer exact match over regex match) to reduce the amount of data processed"
	case errors.Is(err, context.Canceled):
		status, text = contract.StatusClientClosedRequest, "the request was cancelled by the client"
	case errors.Is(err, intake.ErrBusy), errors.Is(err, answer.ErrBusy):
		status = http.StatusServiceUnavailable
	case errors.As(err, &large):
		status, text = http.StatusRequestEntityTooLarge, fmt.Sprintf("the request body is larger than %d bytes; send less at a time", large.Limit)
	case errors.As(err, &tooLarge):
		status = http.StatusBadRequest
	case errors.As(err, &marked):
		status = marked.Status
	}
	h := w.Header()
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // an error means that the client is gone
}

// parseQuery parses the parameter query.
func parseQuery(r *http.Request) (*logql.Query, error) {
	q, err := logql.Parse(r.Form.Get("query"))
	if err != nil {
		return nil, badRequest(err)
	}
	return q, nil
}

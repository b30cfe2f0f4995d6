package roller

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/fault"
	"dicelab/internal/telemetry"
	"dicelab/internal/web"
)

// NewHandler serves the dice roller's API.
func NewHandler(o Options) (http.Handler, error) {
	s := &service{Telemetry: o.Telemetry, dice: o.Dice, version: o.Version, faults: o.Faults,
		metrics: newMetrics(o.Telemetry.Registry)}
	docs, err := newDocs(o.Version)
	if err != nil {
		return nil, err
	}
	return o.Telemetry.Handler(s.routes(docs, o), func(next http.Handler) http.Handler {
		return web.GuardForms(next, o.Hosts...)
	}), nil
}

// routes returns every path of the service.
func (s *service) routes(docs *docs, o Options) []telemetry.Route {
	list := []telemetry.Route{
		{Pattern: "GET /{$}", Watch: telemetry.Traced, Handler: http.HandlerFunc(s.getRoot)},
		{Pattern: "GET /roll", Watch: telemetry.Traced, Handler: web.NoLinks(http.HandlerFunc(s.getRoll))},
		{Pattern: "HEAD /{$}", Watch: telemetry.Counted, Handler: web.OnlyGet()},  // a GET pattern would match HEAD too,
		{Pattern: "HEAD /roll", Watch: telemetry.Counted, Handler: web.OnlyGet()}, // and roll a die for no answer
		{Pattern: "GET /openapi.json", Watch: telemetry.Counted, Handler: web.Asset("application/openapi+json", docs.spec)},
		{Pattern: "GET /docs", Watch: telemetry.Counted, Handler: docs.page},
		{Pattern: "GET /assets/docs.css", Watch: telemetry.Counted, Handler: web.Asset("text/css; charset=utf-8", docsCSS)},
		{Pattern: "GET /assets/theme.css", Watch: telemetry.Counted, Handler: web.Theme()},
		{Pattern: "GET /metrics", Watch: telemetry.Silent, Handler: s.MetricsHandler()},
		{Pattern: "GET /healthz", Watch: telemetry.Silent, Handler: http.HandlerFunc(web.Alive)},
		{Pattern: "GET /readyz", Watch: telemetry.Silent, Handler: http.HandlerFunc(web.Ready)},
		{Pattern: "GET /faults", Watch: telemetry.Silent, Handler: fault.List(s.faults, o.Switches)},
	}
	if o.Control != "" {
		list = append(list, telemetry.Route{Pattern: "POST /faults/quest", Watch: telemetry.Silent, Handler: fault.Control(s.faults, o.Control)})
	}
	if o.Switches {
		list = append(list, telemetry.Route{Pattern: "POST /faults", Watch: telemetry.Silent, Handler: fault.Switch(s.faults)})
	}
	return list
}

// root describes the service.
type root struct {
	Service   string   `json:"service"`
	Version   string   `json:"version"`
	Endpoints []string `json:"endpoints"`
}

// Outcome is the body of a successful roll.
type Outcome struct {
	Roll int `json:"roll"` // 1 to 7
}

func (s *service) getRoot(w http.ResponseWriter, _ *http.Request) {
	web.Respond(w, http.StatusOK, "application/json",
		root{Service: "Dice Roller API", Version: s.version, Endpoints: []string{"/roll"}})
}

// getRoll reads a roll's parameters; roll checks them, so that a wrong die leaves
// its log line.
func (s *service) getRoll(w http.ResponseWriter, r *http.Request) {
	value, err := s.roll(r.Context(), rollInput{
		die:         r.URL.Query().Get("die"),
		traceparent: strings.Join(r.Header.Values("Traceparent"), ","),
		baggage:     strings.Join(r.Header.Values("Baggage"), ","),
	})
	if err != nil {
		p := *web.AsProblem(err)
		if sc := trace.SpanContextFromContext(r.Context()); sc.IsSampled() {
			p.TraceID = sc.TraceID().String()
		}
		web.Fail(w, &p)
		return
	}
	web.Respond(w, http.StatusOK, "application/json", Outcome{Roll: value})
}

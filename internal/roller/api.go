package roller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/fault"
	"dicelab/internal/telemetry"
	"dicelab/internal/web"
)

// NewHandler serves the dice roller's API.
func NewHandler(o Options) (http.Handler, error) {
	s := &service{Telemetry: o.Telemetry, dice: o.Dice, faults: o.Faults, metrics: newMetrics(o.Telemetry.Registry)}
	api, spec := s.api(o.Version)
	docs, err := newDocs(spec)
	if err != nil {
		return nil, err
	}
	return o.Telemetry.Handler(routes(api, s.rollHandler(), docs, o), func(next http.Handler) http.Handler {
		return web.GuardForms(next, o.Hosts...)
	}), nil
}

// routes is every path that the service answers.
func routes(api, roll, docs http.Handler, o Options) []telemetry.Route {
	list := []telemetry.Route{
		{Pattern: "GET /{$}", Watch: telemetry.Traced, Handler: api},
		{Pattern: "GET /roll", Watch: telemetry.Traced, Handler: web.NoLinks(roll)},
		{Pattern: "HEAD /{$}", Watch: telemetry.Counted, Handler: web.OnlyGet()},  // a GET pattern would take HEAD too,
		{Pattern: "HEAD /roll", Watch: telemetry.Counted, Handler: web.OnlyGet()}, // and roll a die that nobody sees
		{Pattern: "GET /openapi.json", Watch: telemetry.Counted, Handler: api},
		{Pattern: "GET /docs", Watch: telemetry.Counted, Handler: docs},
		{Pattern: "GET /assets/docs.css", Watch: telemetry.Counted, Handler: web.Asset("text/css; charset=utf-8", docsCSS)},
		{Pattern: "GET /assets/theme.css", Watch: telemetry.Counted, Handler: web.Theme()},
		{Pattern: "GET /metrics", Watch: telemetry.Silent, Handler: o.Telemetry.MetricsHandler()},
		{Pattern: "GET /healthz", Watch: telemetry.Silent, Handler: http.HandlerFunc(web.Alive)},
		{Pattern: "GET /readyz", Watch: telemetry.Silent, Handler: http.HandlerFunc(web.Ready)},
	}
	if o.Switches {
		list = append(list,
			telemetry.Route{Pattern: "GET /faults", Watch: telemetry.Silent, Handler: fault.List(o.Faults)},
			telemetry.Route{Pattern: "POST /faults", Watch: telemetry.Silent, Handler: fault.Switch(o.Faults)})
	}
	return list
}

// root describes the service.
type root struct {
	Body struct {
		Service   string   `json:"service" example:"Dice Roller API"`
		Version   string   `json:"version" example:"0.1.0"`
		Endpoints []string `json:"endpoints" example:"[\"/roll\"]"`
	}
}

// rollInput is checked by hand in roll, so that a wrong die leaves its log line
// and a missing one is told apart from a wrong one.
type rollInput struct {
	Die         string `query:"die" required:"true" enum:"fair,risky" doc:"fair: a standard die, 1 to 6. risky: 2 to 7, but it fails one time in ten."`
	Traceparent string `header:"traceparent" doc:"W3C Trace Context: the caller's span, which becomes the parent of this service's."`
	Baggage     string `header:"baggage" doc:"W3C Baggage: what the caller says about the roll; it is recorded on the span."`
}

// Outcome is the body of a successful roll.
type Outcome struct {
	Roll int `json:"roll" minimum:"1" maximum:"7" doc:"What the die shows."`
}

type rollOutput struct{ Body Outcome }

// api is the part of the service that its OpenAPI document describes.
func (s *service) api(version string) (http.Handler, *huma.OpenAPI) {
	config := huma.DefaultConfig("Dice Roller API", version)
	config.Info.Description = "Rolls a fair or a risky die. The header traceresponse of an answer has the ID of its trace."
	config.CreateHooks = nil // it would add $schema to every body; {"roll":n} is the contract
	config.DocsPath = ""     // its page loads scripts from another host
	mux := http.NewServeMux()
	api := humago.New(mux, config)

	problem := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[web.Problem](), true, "Problem")
	answers := func(good string, bad map[string]string) map[string]*huma.Response {
		list := map[string]*huma.Response{"200": {Description: good}} // huma adds its type
		for status, text := range bad {
			list[status] = &huma.Response{Description: text, Content: map[string]*huma.MediaType{web.ProblemType: {Schema: problem}}}
		}
		return list
	}
	huma.Register(api, huma.Operation{
		OperationID: "root", Method: http.MethodGet, Path: "/", Summary: "What this service is",
		Responses: answers("Its name, version and endpoints.", map[string]string{"default": "Any other failure."}),
	}, func(context.Context, *struct{}) (*root, error) {
		out := new(root)
		out.Body.Service, out.Body.Version, out.Body.Endpoints = "Dice Roller API", version, []string{"/roll"}
		return out, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "roll", Method: http.MethodGet, Path: "/roll", Summary: "Roll a die", SkipValidateParams: true,
		Responses: answers("The die has settled.", map[string]string{
			"422":     "The die is missing, or is neither fair nor risky.",
			"500":     "The risky die failed.",
			"default": "Any other failure.",
		}),
	}, func(context.Context, *rollInput) (*rollOutput, error) {
		return nil, errors.New("GET /roll is served by another handler") // see rollHandler
	})
	schemas := api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's own errors: this service answers problems
	delete(schemas, "ErrorDetail")
	return noStore(mux), api.OpenAPI()
}

// noStore keeps caches from answering for the die.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// queryDie reads the parameter "die". The usual query, "die=fair", needs no map of
// parameters.
func queryDie(u *url.URL) string {
	if die, ok := strings.CutPrefix(u.RawQuery, "die="); ok && !strings.ContainsAny(die, "&;%+") {
		return die
	}
	return u.Query().Get("die")
}

// rollHandler serves the operation "roll". huma documents it, but reading one
// parameter and writing one number through reflection would be a tenth of a
// roll's CPU time.
func (s *service) rollHandler() http.Handler {
	kind, cache := []string{"application/json"}, []string{"no-store"} // shared by all answers, which never change them
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		in := rollInput{Die: queryDie(r.URL), Traceparent: strings.Join(r.Header["Traceparent"], ","), Baggage: strings.Join(r.Header["Baggage"], ",")}
		value, err := s.roll(ctx, in)
		if err != nil {
			p := *web.AsProblem(err)
			if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
				p.TraceID = sc.TraceID().String()
			}
			web.Fail(w, &p)
			return
		}
		h := w.Header()
		h["Content-Type"], h["Cache-Control"] = kind, cache
		_, _ = fmt.Fprintf(w, "{\"roll\":%d}\n", value) // the reader is gone: nobody is left to tell
	})
}

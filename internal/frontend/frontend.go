// Package frontend is the web front end: a page with a button that rolls a die through the dice
// roller, and shows the roll's trace ID.
//
// A roll is one function from form to outcome (roll.go); the outcome is then
// shown as a page or as JSON (answer.go). Its names begin with "streamlit" since
// the demonstration that it grew out of was written with Streamlit, and other
// people's dashboards use them.
package frontend

import (
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
	"dicelab/internal/web"
)

// Options configures the front end.
type Options struct {
	Telemetry   *telemetry.Telemetry
	Roller      *roller.Client
	BackendURL  string        // shown on the page
	TraceURL    string        // where a trace is shown; {trace_id} stands for its ID
	LogsURL     string        // where its log lines are shown; with {trace_id} too
	ExplorerURL string        // where to look around; "" if there is none
	Faults      *fault.Set    // nil: nothing is broken
	Switches    *fault.Remote // the roller's switches; nil: no switches on the page
	Control     string        // the token with which quests hide faults; "" if they cannot
	Hosts       []string      // names besides localhost that it answers to on loopback
}

//go:embed page.html assets
var files embed.FS

// placeholder stands for the trace ID in TraceURL and LogsURL.
const placeholder = "{trace_id}"

type service struct {
	Options
	page    *template.Template
	metrics metrics
}

// NewHandler serves the front end.
func NewHandler(o Options) (http.Handler, error) {
	if err := o.checkLinks(); err != nil {
		return nil, err
	}
	o.ExplorerURL = strings.TrimRight(o.ExplorerURL, "/")
	page, err := template.ParseFS(files, "page.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the page: %w", err)
	}
	s := &service{Options: o, page: page, metrics: newMetrics(o.Telemetry.Registry)}
	list, err := s.routes()
	if err != nil {
		return nil, err
	}
	return o.Telemetry.Handler(list, func(next http.Handler) http.Handler { return web.GuardForms(next, o.Hosts...) }), nil
}

// checkLinks returns an error for a link that would lead nowhere, before it is clicked.
func (o Options) checkLinks() error {
	for _, link := range []struct{ name, address string }{{"trace link", o.TraceURL}, {"logs link", o.LogsURL}} {
		if !strings.Contains(link.address, placeholder) || web.CheckURL(strings.ReplaceAll(link.address, placeholder, "0")) != nil {
			return fmt.Errorf("%s %q: want an address with %s in it, such as http://localhost:%s/traces/%s",
				link.name, link.address, placeholder, contract.PortExplorer, placeholder)
		}
	}
	if o.ExplorerURL != "" && web.CheckURL(o.ExplorerURL) != nil {
		return fmt.Errorf("explorer URL %q: want an address such as http://localhost:%s", o.ExplorerURL, contract.PortExplorer)
	}
	return nil
}

// routes returns every path that the front end answers.
func (s *service) routes() ([]telemetry.Route, error) {
	style, err := fs.ReadFile(files, "assets/frontend.css")
	if err != nil {
		return nil, err
	}
	script, err := fs.ReadFile(files, "assets/frontend.js")
	if err != nil {
		return nil, err
	}
	list := []telemetry.Route{
		{Pattern: "GET /{$}", Watch: telemetry.Counted, Handler: http.HandlerFunc(s.showPage)},
		{Pattern: "POST /roll", Watch: telemetry.Traced, Handler: http.HandlerFunc(s.postRoll)},
		{Pattern: "GET /assets/theme.css", Watch: telemetry.Counted, Handler: web.Theme()},
		{Pattern: "GET /assets/frontend.css", Watch: telemetry.Counted, Handler: web.Asset("text/css; charset=utf-8", style)},
		{Pattern: "GET /assets/frontend.js", Watch: telemetry.Counted, Handler: web.Asset("text/javascript; charset=utf-8", script)},
		{Pattern: "GET /metrics", Watch: telemetry.Silent, Handler: s.Telemetry.MetricsHandler()},
		{Pattern: "GET /healthz", Watch: telemetry.Silent, Handler: http.HandlerFunc(web.Alive)},
		{Pattern: "GET /readyz", Watch: telemetry.Silent, Handler: http.HandlerFunc(web.Ready)},
		{Pattern: "GET /faults", Watch: telemetry.Silent, Handler: fault.List(s.Faults, s.Switches != nil)},
	}
	if s.Control != "" {
		list = append(list, telemetry.Route{Pattern: "POST /faults/quest", Watch: telemetry.Silent, Handler: fault.Control(s.Faults, s.Control)})
	}
	if s.Switches != nil {
		list = append(list,
			telemetry.Route{Pattern: "POST /faults", Watch: telemetry.Silent, Handler: fault.Switch(s.Faults)},
			telemetry.Route{Pattern: "POST /faults/switch", Watch: telemetry.Silent, Handler: http.HandlerFunc(s.switchFault)})
	}
	return list, nil
}

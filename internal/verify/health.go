package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dicelab/internal/contract"
)

// health are the rows of Service Health. The seed's "docker compose ps" shows
// what a container's health check found; it asks /readyz, as the row does in
// every mode.
func health() []check {
	return []check{
		{Row: Row{Name: "services-start", Box: "Both services start: `docker compose ps`",
			Does: "GET /readyz of both services, as a container's health check does", Expects: "200 from both"},
			run: servicesStart},
		{Row: Row{Name: "backend-responds", Box: "Backend responds: `curl http://localhost:8101/`",
			Does: "GET / of the dice roller", Expects: "200, JSON that names the service and its endpoint /roll"},
			run: backendResponds},
		{Row: Row{Name: "frontend-ui-loads", Box: "Frontend UI loads: Open http://localhost:8102",
			Does: "GET / of the front end", Expects: "200, an HTML page with a form, and nothing on it from another host"},
			run: uiLoads},
		{Row: Row{Name: "frontend-metrics-exposed", Box: "Frontend metrics exposed: `curl http://localhost:8102/metrics`",
			Does: "GET /metrics of the front end", Expects: strings.Join(frontendMetrics(), ", ")},
			run: exposed(contract.ServiceFrontend, frontendMetrics)},
		{Row: Row{Name: "backend-metrics-exposed", Box: "Backend metrics exposed: `curl http://localhost:8101/metrics`",
			Does: "GET /metrics of the dice roller", Expects: strings.Join(rollerMetrics(), ", ")},
			run: exposed(contract.ServiceRoller, rollerMetrics)},
		{Row: Row{Name: rowPrometheus, Does: "the query 1 of Prometheus", Expects: "an answer"}, run: answers(needPrometheus)},
		{Row: Row{Name: rowLoki, Does: "the labels that Loki has", Expects: "an answer"}, run: answers(needLoki)},
		{Row: Row{Name: rowTempo, Does: "a search of Tempo", Expects: "an answer"}, run: answers(needTempo)},
	}
}

// The metrics that a service has from its start.
func frontendMetrics() []string {
	return []string{contract.MetricButtonClicks, contract.MetricBackendRequests, contract.MetricBackendDuration, contract.MetricHTTPRequests, contract.MetricHTTPDuration}
}

func rollerMetrics() []string {
	return []string{contract.MetricDiceRolls, contract.MetricDiceRollValue, contract.MetricHTTPRequests, contract.MetricHTTPDuration}
}

func servicesStart(ctx context.Context, p *probe) finding {
	for _, service := range contract.Services() {
		if _, err := p.get(ctx, p.at(p.services()[service], "/readyz")); err != nil {
			return fail("%s is not ready: %v", service, err)
		}
	}
	return pass("%s are ready", strings.Join(contract.Services(), " and "))
}

func backendResponds(ctx context.Context, p *probe) finding {
	a, err := p.get(ctx, p.at(p.Roller, "/"))
	if err != nil {
		return fail("%v", err)
	}
	var said struct {
		Service, Version string
		Endpoints        []string
	}
	if err := json.Unmarshal(a.body, &said); err != nil {
		return fail("the answer is no JSON: %s", shorten(string(a.body)))
	}
	if said.Service == "" || !slices.Contains(said.Endpoints, "/roll") {
		return fail("the answer is not a dice roller's: %s", shorten(string(a.body)))
	}
	return pass("%s %s, endpoints %s", said.Service, said.Version, strings.Join(said.Endpoints, " "))
}

func uiLoads(ctx context.Context, p *probe) finding {
	pg, f := p.frontPage(ctx)
	switch {
	case f != nil:
		return *f
	case !pg.form:
		return fail("the page %q has no form that rolls a die", pg.title)
	case len(pg.external) > 0:
		return fail("the page loads from another host: %s", strings.Join(pg.external, ", "))
	}
	return pass("page %q, nothing on it from another host", pg.title)
}

// frontPage is the front end's page without a roll.
func (p *probe) frontPage(ctx context.Context) (page, *finding) {
	a, err := p.get(ctx, p.at(p.Frontend, "/"))
	if err == nil && !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		err = fmt.Errorf("the answer is %q, not text/html", a.header.Get("Content-Type"))
	}
	var pg page
	if err == nil {
		pg, err = parsePage(a.body)
	}
	if err != nil {
		f := fail("%v", err)
		return page{}, &f
	}
	return pg, nil
}

// exposed checks that a service shows metrics. Families without a series yet are
// not shown: rolls come first.
func exposed(service string, names func() []string) func(context.Context, *probe) finding {
	return func(ctx context.Context, p *probe) finding {
		families, err := p.metricsOf(ctx, p.services()[service])
		if err != nil {
			return fail("%v", err)
		}
		var missing []string
		for _, name := range names() {
			if families[name] == nil {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			return fail("%s does not show %s", service, strings.Join(missing, ", "))
		}
		return pass("%d families, among them %s", len(families), names()[0])
	}
}

// answers tells what the first look at a telemetry server brought.
func answers(server need) func(context.Context, *probe) finding {
	return func(_ context.Context, p *probe) finding {
		p.mu.Lock()
		p.asked = append(p.asked, p.looked[server]...)
		p.mu.Unlock()
		if why, down := p.down[server]; down {
			return fail("%s", why)
		}
		return pass("it answers at %s", map[need]string{needPrometheus: p.Prometheus, needLoki: p.Loki, needTempo: p.Tempo}[server])
	}
}

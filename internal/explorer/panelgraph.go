package explorer

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"math"
	"slices"

	"dicelab/internal/contract"
	"dicelab/internal/explorer/chart"
	"dicelab/internal/grafana"
)

// mostEdges limits the edges of a service map to the busiest ones.
const mostEdges = 30

// call is one edge of the service graph, per second.
type call struct {
	client, server            string
	requests, seconds, failed float64
}

func (d drawing) graph(ctx context.Context) error {
	html, err := d.e.serviceMap(ctx, d.Title, d.queries, d.win, d.chartHeight()+50)
	d.Chart = html
	return err
}

// serviceMap draws which service calls which, from the queries that Grafana makes for it.
func (e *explorer) serviceMap(ctx context.Context, label string, queries []grafana.Query, win window, height int) (template.HTML, error) {
	calls, err := e.edges(ctx, queries, win)
	if err != nil || len(calls) == 0 {
		return "", err
	}
	shown := calls[:min(len(calls), mostEdges)]
	html := e.drawMap(label, shown, win, height)
	if more := len(calls) - len(shown); more > 0 {
		html += template.HTML(fmt.Sprintf(`<p class="soft">These are the %d busiest calls; %s more are not drawn. The page of a service lists its own.</p>`,
			len(shown), grouped(more)))
	}
	return html, nil
}

// edges reads which service calls which, the busiest first.
func (e *explorer) edges(ctx context.Context, queries []grafana.Query, win window) ([]call, error) {
	type pair struct{ client, server string }
	calls := map[pair]*call{}
	for _, q := range queries {
		res, err := e.Prometheus.Query(ctx, q.Expr, win.End)
		if err != nil {
			return nil, err
		}
		for _, s := range res.Series {
			p := pair{s.Labels[contract.LabelClient], s.Labels[contract.LabelServer]}
			if calls[p] == nil {
				calls[p] = &call{client: p.client, server: p.server}
			}
			switch q.Graph {
			case grafana.GraphRequests:
				calls[p].requests = s.Last()
			case grafana.GraphSeconds:
				calls[p].seconds = s.Last()
			case grafana.GraphFailed:
				calls[p].failed = s.Last()
			}
		}
	}
	var busy []call
	for _, c := range calls {
		if c.requests > 0 {
			busy = append(busy, *c)
		}
	}
	slices.SortFunc(busy, func(a, b call) int {
		return cmp.Or(cmp.Compare(b.requests, a.requests), cmp.Compare(a.client, b.client), cmp.Compare(a.server, b.server))
	})
	return busy, nil
}

func (e *explorer) drawMap(label string, calls []call, win window, height int) template.HTML {
	g := chart.Graph{Label: label, Height: height}
	into := map[string]*call{} // what is called, by server
	var names []string
	for _, c := range calls {
		names = append(names, c.client, c.server)
		if into[c.server] == nil {
			into[c.server] = &call{}
		}
		in := into[c.server]
		in.requests, in.seconds, in.failed = in.requests+c.requests, in.seconds+c.seconds, in.failed+c.failed
		rate := unitFormat(grafana.UnitReqPerSec)(c.requests)
		g.Edges = append(g.Edges, chart.Edge{From: c.client, To: c.server, Text: rate, Failed: c.failed > expectedFailures(c.server)*c.requests,
			Title: c.client + " calls " + c.server + ": " + rate + ", " + secondsText(c.seconds/c.requests) + " on average, " + percent(c.failed/c.requests) + " failed"})
	}
	slices.SortFunc(names, compareServices)
	for _, name := range slices.Compact(names) {
		n := chart.Node{Name: name, Class: e.class(name)}
		if name != contract.ClientUser {
			n.Href = serviceHref(name)
		}
		if in := into[name]; in != nil {
			n.Failed = in.failed / in.requests
			n.Lines = []string{"mean " + secondsText(in.seconds/in.requests)}
			if n.Failed > 0 && !math.IsInf(n.Failed, 0) {
				n.Lines = append(n.Lines, percent(n.Failed)+" failed")
			}
		}
		g.Nodes = append(g.Nodes, n)
	}
	return g.HTML()
}

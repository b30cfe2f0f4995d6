package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

// dashboard are the rows of Dashboard.
func dashboard() []check {
	const stores = needPrometheus | needLoki | needTempo | aSuccess | aFailure
	return append([]check{
		{Row: Row{Name: "dashboard-in-grafana", Box: "Stage 2 Dashboard appears in Grafana",
			Does: "GET /api/dashboards/uid/UID of Grafana", Expects: "the dashboard of the file, under its title"},
			run: inGrafana},
		{Row: Row{Name: "panels-load", Box: "All panels load without errors",
			Does: "the queries of every panel, with the variables filled in", Expects: "no error"},
			needs: stores, run: panelsLoad},
		{Row: Row{Name: "backend-panels-data", Box: "Backend metrics panels show data (inherited from Stage 1)",
			Does: "the queries of the panels that do not name the front end", Expects: "data from each"},
			needs: stores, run: panelsShow(false)},
		{Row: Row{Name: "frontend-panels-data",
			Box:  "Frontend metrics panels show data (Note: dashboard currently has Stage 1 panels only, needs manual addition of frontend panels)",
			Does: "the queries of the panels that name the front end", Expects: "data from each"},
			needs: stores, run: panelsShow(true)},
	}, links()...)
}

// files reads Grafana's files, once.
func (p *probe) files(ctx context.Context) (grafana.Files, error) {
	return p.seen.files.get(ctx, p, func(context.Context, *probe) (grafana.Files, error) {
		if p.Stack == nil {
			return grafana.Files{}, fs.ErrNotExist
		}
		return grafana.Load(p.Stack)
	})
}

// DefaultGrafana is where a lab in containers has it. Elsewhere nobody is asked
// to have one there.
const DefaultGrafana = "http://localhost:3000"

func inGrafana(ctx context.Context, p *probe) finding {
	base := p.Grafana
	if base == "" {
		return notApplicable("Grafana is left out, as --grafana-url says")
	}
	if base == DefaultGrafana && p.mode != Compose {
		return notApplicable("only a lab in containers has a Grafana; --grafana-url says where another one is")
	}
	files, err := p.files(ctx)
	if err != nil {
		return fail("%v", err)
	}
	title, err := until(ctx, p, func(ctx context.Context) (string, error) {
		a, err := p.do(ctx, http.MethodGet, p.at(base, "/api/dashboards/uid/"+files.Dashboard.UID), p.Header.Clone(), "")
		if err != nil {
			return "", fmt.Errorf("asking Grafana at %s: %w", base, err)
		}
		var said struct{ Dashboard struct{ Title string } }
		if a.status != http.StatusOK || json.Unmarshal(a.body, &said) != nil {
			return "", fmt.Errorf("asking Grafana at %s: answered %d: %s", base, a.status, shorten(string(a.body)))
		}
		if said.Dashboard.Title != files.Dashboard.Title {
			return "", fmt.Errorf("the dashboard %s of Grafana is %q, that of the file %q", files.Dashboard.UID, said.Dashboard.Title, files.Dashboard.Title)
		}
		return said.Dashboard.Title, nil
	})
	if err != nil {
		return fail("%v", err)
	}
	return pass("%q at %s/d/%s", title, base, files.Dashboard.UID)
}

// What a person who opens the dashboard right after the rolls would have chosen:
// its own range.
const (
	panelRange = 15 * time.Minute
	panelStep  = 5 * time.Second
)

// shown is what a query of a panel brought.
type shown struct {
	query grafana.Query
	err   error // it was refused
	empty bool  // it brought nothing until the time was over
	asked []*exchange
}

func (s shown) String() string { return fmt.Sprintf("%q (%s)", s.query.Panel.Title, s.query.Expr) }

// frontend tells whether a panel is about the front end, whose metrics and
// service begin with this word.
func (s shown) frontend() bool { return strings.Contains(s.query.Expr, "streamlit") }

// fromTraces tells whether a panel shows traces, or metrics that are made of them.
func (s shown) fromTraces() bool {
	return s.query.Server == grafana.TypeTempo || strings.Contains(s.query.Expr, "traces_")
}

// panels asks what every panel asks, once, and waits for data.
func (p *probe) panels(ctx context.Context) ([]shown, error) {
	return p.seen.panels.get(ctx, p, func(ctx context.Context, p *probe) ([]shown, error) {
		files, err := p.files(ctx)
		if err != nil {
			return nil, err
		}
		queries, err := files.Dashboard.Queries(grafana.Settings{Range: panelRange, Step: panelStep})
		if err != nil {
			return nil, fmt.Errorf("reading the dashboard: %w", err)
		}
		defer p.move(ctx)()
		out := make([]shown, len(queries))
		var wait sync.WaitGroup
		for i, q := range queries {
			wait.Go(func() {
				own := &probe{run: p.run}
				out[i] = own.panel(ctx, q)
				out[i].asked = own.asked
			})
		}
		wait.Wait()
		return out, nil
	})
}

var errEmpty = errors.New("no data")

// panel asks one query until it brings data. One that is refused will be refused
// again.
func (p *probe) panel(ctx context.Context, q grafana.Query) shown {
	out := shown{query: q}
	_, err := until(ctx, p, func(ctx context.Context) (struct{}, error) {
		err := p.data(ctx, q)
		if e, ok := errors.AsType[*query.Error](err); ok && e.Status/100 == 4 {
			out.err, err = err, nil
		}
		return struct{}{}, err
	})
	switch {
	case errors.Is(err, errEmpty):
		out.empty = true
	case err != nil:
		out.err = err
	}
	return out
}

// data is nil where a query brings data, errEmpty where it brings none.
func (p *probe) data(ctx context.Context, q grafana.Query) error {
	now := time.Now()
	any := false
	switch q.Server {
	case grafana.TypePrometheus:
		var r *query.Result
		var err error
		if q.Instant {
			r, err = p.prometheus().Query(ctx, q.Expr, now)
		} else {
			r, err = p.prometheus().QueryRange(ctx, q.Expr, now.Add(-panelRange), now, max(q.Step, time.Second))
		}
		if err != nil {
			return err
		}
		any = hasNumber(r.Series)
	case grafana.TypeLoki:
		r, err := p.loki().QueryRange(ctx, query.LogQuery{LogQL: q.Expr, Start: now.Add(-panelRange), End: p.till(), Limit: q.Limit})
		if err != nil {
			return err
		}
		any = len(r.Lines) > 0 || hasNumber(r.Series)
	case grafana.TypeTempo:
		r, err := p.tempo().Search(ctx, query.Search{TraceQL: q.Expr, Start: now.Add(-panelRange), End: p.till(), Limit: q.Limit})
		if err != nil {
			return err
		}
		any = len(r.Traces) > 0
	default:
		return fmt.Errorf("no server is known for %q", q.Server)
	}
	if !any {
		return errEmpty
	}
	return nil
}

// hasNumber tells whether there is something to draw.
func hasNumber(series []query.Series) bool {
	for _, s := range series {
		for _, p := range s.Points {
			if p.Value == p.Value { // not NaN
				return true
			}
		}
	}
	return false
}

// ofFiles is the finding of a row whose files cannot be read.
func ofFiles(err error) *finding {
	f := fail("%v", err)
	if errors.Is(err, fs.ErrNotExist) {
		f = notApplicable("there are no Grafana files here: %v", err)
	}
	return &f
}

func panelsLoad(ctx context.Context, p *probe) finding {
	all, err := p.panels(ctx)
	if err != nil {
		return *ofFiles(err)
	}
	var bad []string
	titles := map[int]bool{}
	for _, s := range all {
		titles[s.query.Panel.ID] = true
		if s.err != nil {
			bad = append(bad, fmt.Sprintf("%s: %v", s, s.err))
			p.show(s)
		}
	}
	if len(bad) > 0 {
		return fail("%s", listed(bad))
	}
	return pass("%d queries of %d panels", len(all), len(titles))
}

func panelsShow(frontend bool) func(context.Context, *probe) finding {
	return func(ctx context.Context, p *probe) finding {
		all, err := p.panels(ctx)
		if err != nil {
			return *ofFiles(err)
		}
		var bad []string
		n, fromTraces := 0, true
		for _, s := range all {
			if s.frontend() != frontend || s.err != nil { // what is refused, panels-load tells
				continue
			}
			n++
			if s.empty {
				bad = append(bad, s.String())
				fromTraces = fromTraces && s.fromTraces()
				p.show(s)
			}
		}
		if len(bad) > 0 {
			if fromTraces {
				if f := p.halved(ctx); f != nil {
					return *f
				}
			}
			return fail("no data in panel %s", listed(bad))
		}
		if n == 0 {
			return fail("the dashboard has no such panel")
		}
		return pass("data from %d queries", n)
	}
}

// show adds what was asked for a panel.
func (p *probe) show(s shown) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, s.asked...)
}

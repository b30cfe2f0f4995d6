package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
	"dicelab/internal/verify/compare"
	"dicelab/internal/wait"
)

// grafanaFiles reads Grafana's files, once.
func (p *Probe) grafanaFiles() (grafana.Files, error) {
	files, err := p.files.get(p, struct{}{}, func(*Probe) (grafana.Files, error) {
		if p.Stack == nil {
			return grafana.Files{}, fs.ErrNotExist
		}
		return grafana.Load(p.Stack)
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = skip("there are no Grafana files here: %v", err)
	}
	return files, err
}

// DefaultGrafana is the address of Grafana in a lab in containers. In other modes this
// address is not asked.
const DefaultGrafana = "http://localhost:3000"

func inGrafana(ctx context.Context, p *Probe) (string, error) {
	base := p.Grafana
	if base == "" {
		return "", skip("Grafana is left out, as --grafana-url says")
	}
	if base == DefaultGrafana && p.mode != checklist.Compose {
		return "", skip("only a lab in containers has a Grafana; --grafana-url says where another one is")
	}
	files, err := p.grafanaFiles()
	if err != nil {
		return "", err
	}
	want := files.Dashboard
	err = p.until(ctx, func() error {
		a, err := p.do(ctx, http.MethodGet, p.at(base, "/api/dashboards/uid/"+want.UID), p.Header.Clone(), "")
		if err != nil {
			return fmt.Errorf("asking Grafana at %s: %w", base, err)
		}
		var got struct{ Dashboard struct{ Title string } }
		if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil {
			return fmt.Errorf("asking Grafana at %s: answered %d: %.160q", base, a.status, a.body)
		}
		if got.Dashboard.Title != want.Title {
			return fmt.Errorf("Grafana's dashboard %s is %q, that of the file %q", want.UID, got.Dashboard.Title, want.Title)
		}
		return nil
	})
	return fmt.Sprintf("%q at %s", want.Title, base), err
}

// A person who opens the dashboard right after the rolls sees this range in steps of
// this length.
const (
	panelRange = 15 * time.Minute
	panelStep  = 5 * time.Second
)

var errEmpty = errors.New("no data")

// ask sends a panel's query. It returns errEmpty if the query brings nothing to draw,
// and a final error if the query is refused: it will be refused again.
func (p *Probe) ask(ctx context.Context, q grafana.Query) error {
	now := time.Now()
	from, to := now.Add(-panelRange), now.Add(skew)
	there, err := false, fmt.Errorf("no server is known for %q", q.Server)
	switch q.Server {
	case grafana.TypePrometheus:
		var r *query.Result
		if q.Instant {
			r, err = p.prometheus().Query(ctx, q.Expr, now)
		} else {
			r, err = p.prometheus().QueryRange(ctx, q.Expr, from, now, max(q.Step, time.Second))
		}
		there = err == nil && hasNumber(r.Series)
	case grafana.TypeLoki:
		var r *query.LogResult
		r, err = p.loki().QueryRange(ctx, query.LogQuery{LogQL: q.Expr, Start: from, End: to, Limit: q.Limit})
		there = err == nil && (len(r.Lines) > 0 || hasNumber(r.Series))
	case grafana.TypeTempo:
		var r *query.SearchResult
		r, err = p.tempo().Search(ctx, query.Search{TraceQL: q.Expr, Start: from, End: to, Limit: q.Limit})
		there = err == nil && len(r.Traces) > 0
	}
	switch {
	case err == nil && !there:
		return errEmpty
	case refused(err):
		return wait.Final(err)
	}
	return err
}

func refused(err error) bool {
	e, ok := errors.AsType[*query.Error](err)
	return ok && e.Status/100 == 4
}

// hasNumber reports whether there is something to draw.
func hasNumber(series []query.Series) bool {
	return slices.ContainsFunc(series, func(s query.Series) bool {
		return slices.ContainsFunc(s.Points, func(p query.Point) bool { return !math.IsNaN(p.Value) })
	})
}

// eachPanel calls look for every query of the panels that are about a service, of all
// panels if it is "", at the same time. It lists those for which look returns an
// error, and returns the number of all.
func (p *Probe) eachPanel(service string, look func(*Probe, grafana.Query) error) (bad []string, n int, err error) {
	files, err := p.grafanaFiles()
	if err != nil {
		return nil, 0, err
	}
	all, err := files.Dashboard.Queries(grafana.Settings{Range: panelRange, Step: panelStep})
	if err != nil {
		return nil, 0, fmt.Errorf("reading the dashboard: %w", err)
	}
	if service != "" {
		all = slices.DeleteFunc(all, func(q grafana.Query) bool { return q.Panel.Service != service })
	}
	probes, errs := make([]*Probe, len(all)), make([]error, len(all))
	var done sync.WaitGroup
	for i, q := range all {
		probes[i] = &Probe{run: p.run, deadline: p.deadline}
		done.Go(func() { errs[i] = look(probes[i], q) })
	}
	done.Wait()
	for i, q := range all {
		if errs[i] != nil {
			bad = append(bad, fmt.Sprintf("%q (%s): %v", q.Panel.Title, q.Expr, errs[i]))
			p.Add(probes[i].All()...)
			p.page = fmt.Sprintf("/metrics#panel-%d", q.Panel.ID)
		}
	}
	return bad, len(all), nil
}

func panelsLoad(ctx context.Context, p *Probe) (string, error) {
	bad, n, err := p.eachPanel("", func(p *Probe, q grafana.Query) error {
		return p.until(ctx, func() error {
			if err := p.ask(ctx, q); !errors.Is(err, errEmpty) {
				return err
			}
			return nil // data is another check's matter
		})
	})
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("panel %s", compare.List(bad))
	}
	return fmt.Sprintf("all %d queries of the dashboard", n), err
}

func panelsShow(service string) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		bad, n, err := p.eachPanel(service, func(p *Probe, q grafana.Query) error {
			err := p.until(ctx, func() error { return p.ask(ctx, q) })
			if refused(err) {
				return nil // panels-load is about those
			}
			return err
		})
		switch {
		case err != nil:
			return "", err
		case n == 0:
			return "", fmt.Errorf("no panel of the dashboard is about %s: the file says so with \"service\"", service)
		case len(bad) > 0:
			return "", fmt.Errorf("panel %s", compare.List(bad))
		}
		return fmt.Sprintf("data from %d queries", n), nil
	}
}

package grafana

import (
	"errors"
	"fmt"
	"time"
)

// Query is a query of a panel in the language of its data source, with the variables filled in.
type Query struct {
	Panel   Panel
	RefID   string
	Server  string // TypePrometheus, TypeLoki or TypeTempo
	Expr    string // PromQL, LogQL or TraceQL
	Legend  string // as in the file: names labels in double braces
	Instant bool   // asked for one moment: the end of the range
	// Exemplar reports whether Grafana asks for the exemplars of Expr, too.
	Exemplar bool
	Format   string
	Step     time.Duration // of a range of Prometheus
	Limit    int           // of lines or traces; 0: the server's own
	// Graph is the query's part in the service graph, which Grafana draws from several PromQL
	// queries that it makes itself; "" for any other query.
	Graph GraphPart
}

// Settings are the choices above the dashboard.
type Settings struct {
	Range time.Duration // that is shown
	// Step is the distance of points that the drawing has room for.
	Step time.Duration
	// Values are those of variables by name; what is not here is as in the file.
	Values map[string]string
}

// Queries returns the queries of every panel, in the order of panels. It fails for a value that
// cannot be chosen and for an undefined variable.
func (d Dashboard) Queries(s Settings) ([]Query, error) {
	var out []Query
	for _, p := range d.Panels {
		queries, err := d.PanelQueries(p, s)
		if err != nil {
			return nil, err
		}
		out = append(out, queries...)
	}
	return out, nil
}

// PanelQueries returns the queries of one panel.
func (d Dashboard) PanelQueries(p Panel, s Settings) ([]Query, error) {
	var out []Query
	for _, inner := range p.Panels {
		queries, err := d.PanelQueries(inner, s)
		if err != nil {
			return nil, err
		}
		out = append(out, queries...)
	}
	for _, t := range p.Targets {
		queries, err := d.target(p, t, s)
		if err != nil {
			return nil, fmt.Errorf("panel %q, query %s: %w", p.Title, t.RefID, err)
		}
		out = append(out, queries...)
	}
	return out, nil
}

func (d Dashboard) target(p Panel, t Target, s Settings) ([]Query, error) {
	values, err := d.values(s)
	if err != nil {
		return nil, err
	}
	q := Query{Panel: p, RefID: t.RefID, Server: t.Datasource.Type, Legend: t.LegendFormat, Format: t.Format, Exemplar: t.Exemplar}
	switch t.Datasource.Type {
	case TypePrometheus:
		var least time.Duration
		if t.Interval != "" {
			if least, err = time.ParseDuration(t.Interval); err != nil {
				return nil, fmt.Errorf("reading the interval: %w", err)
			}
		}
		q.Step, q.Instant = max(s.Step, least), t.Instant
		intervals(values, q.Step, least)
		q.Expr, err = fill(t.Expr, values)
	case TypeLoki:
		q.Limit = t.MaxLines
		intervals(values, s.Step, 0)
		q.Expr, err = fill(t.Expr, values)
	case TypeTempo:
		if t.QueryType == tempoServiceMap {
			filter, err := fill(t.ServiceMapQuery, values)
			if err != nil {
				return nil, err
			}
			return serviceGraph(q, filter, s.Range), nil
		}
		q.Limit = t.Limit
		q.Expr, err = fill(t.Query, values)
	default:
		err = fmt.Errorf("data source type %q is not known", t.Datasource.Type)
	}
	if err == nil && q.Expr == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, err
	}
	return []Query{q}, nil
}

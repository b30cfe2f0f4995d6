package explorer

import (
	"context"
	"time"

	"dicelab/internal/query"
)

// alertRow is an alert of the rules, with its state at this moment.
type alertRow struct {
	Name, State, Class string
	Texts              []string
}

func (d drawing) logs(ctx context.Context) error {
	for _, q := range d.queries {
		res, err := d.e.Loki.QueryRange(ctx, query.LogQuery{LogQL: q.Expr, Start: d.win.Start, End: d.win.End, Limit: q.Limit})
		if err != nil {
			return err
		}
		for _, l := range res.Lines {
			d.Lines = append(d.Lines, d.e.logRow(l))
		}
	}
	return nil
}

func (d drawing) traces(ctx context.Context) error {
	for _, q := range d.queries {
		rows, _, err := d.e.search(ctx, query.Search{TraceQL: q.Expr, Start: d.win.Start, End: d.win.End, Limit: q.Limit})
		if err != nil {
			return err
		}
		d.Traces = append(d.Traces, rows...)
	}
	return nil
}

func (d drawing) alerts(ctx context.Context) error {
	alerts, err := d.e.Prometheus.Alerts(ctx)
	if err != nil {
		return err
	}
	for _, a := range alerts {
		row := alertRow{Name: a.Name, State: a.State}
		switch a.State {
		case query.AlertFiring:
			row.Class = "bad"
		case query.AlertPending:
			row.Class = "warn"
		case query.AlertInactive:
			row.Class, row.State = "ok", "quiet"
		}
		for _, active := range a.Active {
			row.Texts = append(row.Texts, active.Annotations["summary"]+", for "+duration(d.e.Now().Sub(active.Since).Truncate(time.Second)))
		}
		d.Alerts = append(d.Alerts, row)
	}
	return nil
}

package explorer

import (
	"net/http"

	"dicelab/internal/query"
)

type targetsView struct {
	Failure *failure
	Targets []targetRow
	Up      int
	URL     string
}

type targetRow struct {
	query.Target
	Class, ServiceClass string
	Ago, Took           string
	Time                moment
	Scraped             bool
}

func (e *explorer) targets(w http.ResponseWriter, r *http.Request) {
	v := targetsView{URL: e.Prometheus.URL()}
	targets, err := e.Prometheus.Targets(r.Context())
	v.Failure = newFailure(err)
	for _, t := range targets {
		if t.Health == "up" {
			v.Up++
		}
		v.Targets = append(v.Targets, targetRow{Target: t, Class: healthClass(t.Health), ServiceClass: e.class(t.Job), Ago: e.ago(t.LastScrape),
			Took: duration(t.LastDuration), Time: e.moment(t.LastScrape), Scraped: !t.LastScrape.IsZero()})
	}
	e.render(w, v.Failure.status(), "targets", page{Title: "Targets", Section: "Targets", Live: true, Data: v})
}

func healthClass(health string) string {
	switch health {
	case "up":
		return "ok"
	case "down":
		return "bad"
	}
	return "warn"
}

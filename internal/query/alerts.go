package query

import (
	"context"
	"net/url"
	"time"
)

// States of an alert.
const (
	AlertFiring   = "firing"
	AlertPending  = "pending"
	AlertInactive = "inactive"
)

// Alert is an alerting rule and the alerts that are active.
type Alert struct {
	Name   string
	Query  string // PromQL
	State  string // Alert*: the most urgent of the active ones
	Active []ActiveAlert
}

// ActiveAlert is one series for which the rule's condition holds.
type ActiveAlert struct {
	Labels, Annotations map[string]string
	State               string
	Since               time.Time
}

// Alerts lists the alerting rules in the order of their files.
func (p *Prometheus) Alerts(ctx context.Context) ([]Alert, error) {
	var w struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name   string `json:"name"`
					Query  string `json:"query"`
					State  string `json:"state"`
					Alerts []struct {
						Labels      map[string]string `json:"labels"`
						Annotations map[string]string `json:"annotations"`
						State       string            `json:"state"`
						ActiveAt    time.Time         `json:"activeAt"`
					} `json:"alerts"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := p.getJSON(ctx, "/api/v1/rules", url.Values{"type": {"alert"}}, nil, &w); err != nil {
		return nil, err
	}
	var out []Alert
	for _, g := range w.Data.Groups {
		for _, r := range g.Rules {
			a := Alert{Name: r.Name, Query: r.Query, State: r.State}
			for _, active := range r.Alerts {
				a.Active = append(a.Active, ActiveAlert{Labels: active.Labels, Annotations: active.Annotations, State: active.State, Since: active.ActiveAt.UTC()})
			}
			out = append(out, a)
		}
	}
	return out, nil
}

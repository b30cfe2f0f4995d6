package verify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"dicelab/internal/checklist"
	"dicelab/internal/contract"
)

// find finds out whether the front end answers, and in which mode the lab runs.
func (r *run) find(ctx context.Context) error {
	p := &Probe{run: r}
	if _, err := p.do(ctx, http.MethodGet, r.at(r.Frontend, "/"), nil, ""); err != nil {
		return &checklist.UnreachableError{URL: r.Frontend, Err: err}
	}
	r.mode, r.modeWhy = r.Mode, "as --mode says"
	if r.mode == "" {
		r.mode, r.modeWhy = r.guess(ctx, p)
	}
	return ctx.Err()
}

// guess finds the mode from what the servers say of themselves.
func (r *run) guess(ctx context.Context, p *Probe) (checklist.Mode, string) {
	var info struct{ Branch string }
	tempo, err := p.get(ctx, r.at(r.Tempo, "/api/status/buildinfo"))
	if err == nil && json.Unmarshal(tempo.body, &info) == nil && info.Branch == contract.EmbeddedBranch {
		return checklist.Embedded, "Tempo at " + r.Tempo + " is dicelab's own store"
	}
	components, err := p.components(ctx)
	switch {
	case err != nil:
		return checklist.Own, "the servers are not dicelab's own, and no Alloy answers at " + r.Alloy
	case !slices.ContainsFunc(components, isAlloyFiles):
		return checklist.Own, "Alloy at " + r.Alloy + " has no " + alloyFiles
	}
	targets, err := p.prometheus().Targets(ctx)
	if err != nil {
		return checklist.Own, "Prometheus at " + r.Prometheus + " does not list its targets: " + err.Error()
	}
	for _, t := range targets {
		u, err := url.Parse(t.URL)
		if err == nil && slices.Contains(contract.Services(), u.Hostname()) {
			return checklist.Compose, "Prometheus at " + r.Prometheus + " scrapes " + u.Host + ", a container"
		}
	}
	return checklist.Native, "Alloy at " + r.Alloy + " reads the services' files"
}

// at is a path of a server, below the path of its base URL.
func (r *run) at(base, path string) string { return must(url.JoinPath(base, path)) }

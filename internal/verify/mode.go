package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// Mode is how a lab's telemetry servers run. It decides what a few rows mean; the
// checks are the same.
type Mode string

// The modes.
const (
	Embedded Mode = "embedded" // the lab's own store
	Native   Mode = "native"   // the real servers as processes; Alloy reads files
	Compose  Mode = "compose"  // the real servers in containers; Alloy discovers them
	Own      Mode = "own"      // somebody's own servers
)

// Modes lists them.
func Modes() []Mode { return []Mode{Embedded, Native, Compose, Own} }

func (m Mode) check() error {
	if m == "" || slices.Contains(Modes(), m) {
		return nil
	}
	return fmt.Errorf("there is no mode %q: choose embedded, native, compose or own", string(m))
}

// embeddedBranch is what the embedded stack's Tempo API says that it was built
// from.
const embeddedBranch = "dicelab-embedded"

// alloyFiles is the name of the component with which Alloy finds the services'
// log lines.
const alloyFiles = "local.file_match"

// defaultAlloy is where a lab has Alloy; it is looked at for the mode.
const defaultAlloy = "http://localhost:12345"

// lookTimeout bounds the first look at each telemetry server: one that was just
// started may not be ready.
const lookTimeout = 5 * time.Second

// find finds out who answers, and in which mode the lab runs.
func (r *run) find(ctx context.Context) error {
	r.deadline = time.Now().Add(lookTimeout)
	p := &probe{run: r}
	if _, err := p.do(ctx, http.MethodGet, r.at(r.Frontend, "/"), nil, ""); err != nil {
		return &UnreachableError{URL: r.Frontend, Err: err}
	}
	now := time.Now()
	looks := map[need]func(context.Context, *probe) error{
		needPrometheus: func(ctx context.Context, p *probe) error {
			_, err := p.prometheus().Query(ctx, "1", time.Time{})
			return err
		},
		needLoki: func(ctx context.Context, p *probe) error {
			_, err := p.loki().Labels(ctx, now.Add(-time.Hour), now)
			return err
		},
		needTempo: func(ctx context.Context, p *probe) error {
			_, err := p.tempo().Search(ctx, query.Search{Start: now.Add(-time.Minute), End: now, Limit: 1})
			return err
		},
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	for server, look := range looks {
		wait.Go(func() {
			p := &probe{run: r}
			_, err := until(ctx, p, func(ctx context.Context) (struct{}, error) { return struct{}{}, look(ctx, p) })
			mu.Lock()
			defer mu.Unlock()
			r.looked[server] = p.asked
			if err != nil {
				r.down[server] = err.Error()
			}
		})
	}
	wait.Wait()
	r.mode, r.modeWhy = r.Mode, "as it was called"
	if r.mode == "" {
		r.mode, r.modeWhy = r.guess(ctx, p)
	}
	return ctx.Err()
}

// guess finds the mode from what the servers say of themselves.
func (r *run) guess(ctx context.Context, p *probe) (Mode, string) {
	var info struct{ Branch string }
	tempo, err := p.get(ctx, r.at(r.Tempo, "/api/status/buildinfo"))
	if err == nil && json.Unmarshal(tempo.body, &info) == nil && info.Branch == embeddedBranch {
		return Embedded, "Tempo at " + r.Tempo + " says that it is dicelab's own"
	}
	names, err := p.alloy(ctx)
	switch {
	case err != nil:
		return Own, "neither are the servers dicelab's own, nor is there an Alloy at " + r.alloyURL()
	case !slices.Contains(names, alloyFiles):
		return Own, "Alloy at " + r.alloyURL() + " has no " + alloyFiles
	}
	targets, err := p.prometheus().Targets(ctx)
	if err != nil {
		return Own, "Prometheus at " + r.Prometheus + " does not list its targets: " + err.Error()
	}
	for _, t := range targets {
		u, err := url.Parse(t.URL)
		if err == nil && slices.Contains(contract.Services(), u.Hostname()) {
			return Compose, "Prometheus at " + r.Prometheus + " scrapes " + u.Host + ", a container"
		}
	}
	return Native, "Alloy at " + r.alloyURL() + " reads the services' files"
}

// at is a path of a server, below the path of its base URL.
func (r *run) at(base, path string) string {
	u, err := url.Parse(base)
	if err != nil { // New accepted it
		return base + path
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	return u.String()
}

func (r *run) alloyURL() string {
	if r.Alloy != "" {
		return r.Alloy
	}
	return defaultAlloy
}

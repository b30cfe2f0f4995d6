package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// startTime is the time in which a server that was just started becomes ready.
const startTime = 5 * time.Second

// answers makes a check of a telemetry server.
func answers(ask func(context.Context, *Probe) error) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		return "it answers", p.within(ctx, startTime, func() error { return ask(ctx, p) })
	}
}

func askPrometheus(ctx context.Context, p *Probe) error {
	_, err := p.prometheus().Query(ctx, "1", time.Time{})
	return err
}

func askLoki(ctx context.Context, p *Probe) error {
	_, err := p.loki().Labels(ctx, time.Now().Add(-time.Hour), time.Now())
	return err
}

func askTempo(ctx context.Context, p *Probe) error {
	_, err := p.tempo().Search(ctx, query.Search{Start: time.Now().Add(-time.Minute), End: time.Now(), Limit: 1})
	return err
}

// servicesStart asks /readyz, as a container's health check does.
func servicesStart(ctx context.Context, p *Probe) (string, error) {
	for _, service := range contract.Services() {
		if _, err := p.get(ctx, p.at(p.services()[service], "/readyz")); err != nil {
			return "", fmt.Errorf("%s is not ready: %w", service, err)
		}
	}
	return strings.Join(contract.Services(), " and ") + " are ready", nil
}

func backendResponds(ctx context.Context, p *Probe) (string, error) {
	a, err := p.get(ctx, p.at(p.Roller, "/"))
	if err != nil {
		return "", err
	}
	var root struct {
		Service, Version string
		Endpoints        []string
	}
	if json.Unmarshal(a.body, &root) != nil || root.Service == "" || !slices.Contains(root.Endpoints, "/roll") {
		return "", fmt.Errorf("the answer is not a dice roller's: %.160q", a.body)
	}
	return fmt.Sprintf("%s %s, endpoints %s", root.Service, root.Version, strings.Join(root.Endpoints, " ")), nil
}

// exposed checks that a service shows metrics.
func exposed(service string, names ...string) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		_, shown, err := p.metricsOf(ctx, service)
		if err != nil {
			return "", err
		}
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return shown[name] })
		if len(missing) > 0 {
			return "", fmt.Errorf("%s does not show %s", service, strings.Join(missing, ", "))
		}
		return fmt.Sprintf("%s and %d more", names[0], len(names)-1), nil
	}
}

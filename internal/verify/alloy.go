package verify

import (
	"context"
	"encoding/json"
	"fmt"
)

// component is one of Alloy's, as its API tells of it (the one behind its own
// pages).
type component struct {
	Name    string `json:"name"`    // of its kind: "local.file_match"
	LocalID string `json:"localID"` // of this one: "local.file_match.services"
	Health  struct {
		State   string `json:"state"` // "healthy"
		Message string `json:"message"`
	} `json:"health"`
}

// components asks Alloy what it runs.
func (p *probe) components(ctx context.Context) (out []component, err error) {
	ctx, cancel := context.WithTimeout(ctx, alloyTimeout)
	defer cancel()
	a, err := p.get(ctx, p.at(p.alloyURL(), "/api/v0/web/components"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		return nil, fmt.Errorf("reading Alloy's components: %w", err)
	}
	return out, nil
}

// alloy lists the kinds of Alloy's components.
func (p *probe) alloy(ctx context.Context) (names []string, err error) {
	components, err := p.components(ctx)
	for _, c := range components {
		names = append(names, c.Name)
	}
	return names, err
}

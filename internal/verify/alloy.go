package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/contract"
)

const (
	// alloyFiles is the component with which Alloy finds the services' log files.
	alloyFiles = "local.file_match"
	// alloyTimeout bounds a request to an Alloy that may not be there.
	alloyTimeout = 2 * time.Second
	alloyPath    = "/api/v0/web/components" // of the API behind Alloy's own pages
)

// component is one of Alloy's.
type component struct {
	Name    string `json:"name"`    // of its kind: "local.file_match"
	LocalID string `json:"localID"` // of this one: "local.file_match.services"
	Health  struct {
		State   string `json:"state"` // "healthy"
		Message string `json:"message"`
	} `json:"health"`
}

// components asks Alloy what it runs.
func (p *Probe) components(ctx context.Context) (out []component, err error) {
	ctx, cancel := context.WithTimeout(ctx, alloyTimeout)
	defer cancel()
	a, err := p.get(ctx, p.at(p.Alloy, alloyPath))
	if err == nil {
		if err = json.Unmarshal(a.body, &out); err != nil {
			err = fmt.Errorf("reading Alloy's components: %w", err)
		}
	}
	return out, err
}

func isAlloyFiles(c component) bool { return c.Name == alloyFiles }

func alloyDiscovers(ctx context.Context, p *Probe) (evidence string, err error) {
	switch p.mode {
	case checklist.Embedded:
		return "", skip("the embedded stack reads the services' output itself, without Alloy")
	case checklist.Own:
		if _, err := p.components(ctx); err != nil {
			return "", skip("no Alloy answers at %s; something else collects the lines", p.Alloy)
		}
		return "", skip("the Alloy at %s is not one of this lab's", p.Alloy)
	}
	err = p.until(ctx, func() error {
		components, err := p.components(ctx)
		if err != nil {
			return err
		}
		for _, c := range components {
			if c.Health.State != "healthy" {
				return fmt.Errorf("component %s of Alloy is %s: %s", c.LocalID, c.Health.State, c.Health.Message)
			}
		}
		i := slices.IndexFunc(components, isAlloyFiles)
		if i < 0 {
			return fmt.Errorf("no component of the Alloy at %s is a %s", p.Alloy, alloyFiles)
		}
		a, err := p.get(ctx, p.at(p.Alloy, alloyPath+"/"+components[i].LocalID))
		if err != nil {
			return err
		}
		for _, service := range contract.Services() {
			if !strings.Contains(string(a.body), service) {
				return fmt.Errorf("component %s of Alloy has not found %s", components[i].LocalID, service)
			}
		}
		evidence = fmt.Sprintf("%s and the other components are healthy; it has found both services", components[i].LocalID)
		return nil
	})
	return evidence, err
}

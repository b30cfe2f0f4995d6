package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/web"
)

// The services that can be sent rolls.
const (
	Frontend = "frontend" // as a person's browser does it
	Roller   = "roller"   // as the front end does it
)

// Targets lists them.
func Targets() []string { return []string{Frontend, Roller} }

// Target is the service to which rolls are sent.
type Target struct {
	Name string // one of Targets
	base string
}

// NewTarget returns the target of a name, at base, an absolute http or https URL
// without query. A password in base is refused: the URL goes into spans and log
// lines.
func NewTarget(name, base string) (Target, error) {
	if !slices.Contains(Targets(), name) {
		return Target{}, fmt.Errorf("target %q: choose one of %s", name, strings.Join(Targets(), ", "))
	}
	base, err := web.BaseURL(base, "http://localhost:"+port(name))
	if err != nil {
		return Target{}, fmt.Errorf("%s %w", name, err)
	}
	return Target{Name: name, base: base}, nil
}

// port returns the default port of a target.
func port(name string) string {
	if name == Frontend {
		return contract.PortFrontend
	}
	return contract.PortRoller
}

// URL returns the address that is requested, without the die.
func (t Target) URL() string { return t.base + "/roll" }

// request requests one roll, as JSON.
func (t Target) request(ctx context.Context, die, agent string) (req *http.Request, err error) {
	form := url.Values{"die": {die}}.Encode()
	if t.Name == Frontend {
		if req, err = http.NewRequestWithContext(ctx, http.MethodPost, t.URL(), strings.NewReader(form)); err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	} else {
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, t.URL()+"?"+form, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", agent)
	return req, nil
}

// Why a roll brought no value, besides what the target says.
var (
	errTimeout     = errors.New("no answer in time")
	errUnreachable = errors.New("no answer")
	errMalformed   = errors.New("the answer makes no sense")
)

package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dicelab/internal/web"
)

// Entry is one fault as GET /faults lists it.
type Entry struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
	Example string `json:"example,omitempty"` // a value to start from; empty for a plain switch
	On      bool   `json:"on"`
	Value   string `json:"value,omitempty"` // as switched on
}

// Entries lists the catalogue and what is on.
func (s *Set) Entries() []Entry {
	state := s.State()
	list := make([]Entry, 0, 10)
	for _, f := range Catalogue() {
		e := Entry{Name: f.Name, Summary: f.Summary, Example: f.Example}
		if value, on := f.get(state); on {
			e.On, e.Value = true, value
		}
		list = append(list, e)
	}
	return list
}

// Apply does what a switch asks: field "enable" holds a fault as it is typed
// after --fault, field "disable" a fault's name.
func (s *Set) Apply(form url.Values) error {
	if name := form.Get("disable"); name != "" {
		return s.Disable(name)
	}
	if spec := form.Get("enable"); spec != "" {
		if value := form.Get("value"); value != "" {
			spec += "=" + value
		}
		return s.Enable(spec)
	}
	return fmt.Errorf("nothing to switch: send the form field enable=NAME or disable=NAME")
}

// List answers GET /faults with every fault and whether it is on.
func List(s *Set) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		web.Respond(w, http.StatusOK, "application/json", s.Entries())
	})
}

// Switch answers POST /faults; see Set.Apply for its fields.
func Switch(s *Set) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			web.Fail(w, web.BadForm(err))
			return
		}
		if err := s.Apply(r.PostForm); err != nil {
			web.Fail(w, &web.Problem{Status: http.StatusUnprocessableEntity, Detail: err.Error()})
			return
		}
		web.Respond(w, http.StatusOK, "application/json", s.Entries())
	})
}

// Remote is the switches of a service elsewhere.
type Remote struct {
	URL    string       // the service's base URL
	Client *http.Client // untraced: switching a fault is not part of the demonstration
}

// remoteTimeout bounds one call; a page waits for it.
const remoteTimeout = 2 * time.Second

// Entries requests the faults of the service and whether they are on.
func (r Remote) Entries(ctx context.Context) ([]Entry, error) {
	return r.call(ctx, http.MethodGet, nil)
}

// Apply switches a fault there; see Set.Apply.
func (r Remote) Apply(ctx context.Context, form url.Values) error {
	_, err := r.call(ctx, http.MethodPost, form)
	return err
}

func (r Remote) call(ctx context.Context, method string, form url.Values) ([]Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	target := strings.TrimSuffix(r.URL, "/") + "/faults"
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", target, err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", target, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read; closing it can only fail to reuse the connection
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", target, err)
	}
	var list []Entry
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s is not there: start that service with --fault-switches too", target)
	case resp.StatusCode != http.StatusOK:
		var p web.Problem
		if json.Unmarshal(body, &p) == nil && p.Detail != "" {
			return nil, fmt.Errorf("%s", p.Detail)
		}
		return nil, fmt.Errorf("%s answered %s", target, resp.Status)
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("reading %s: %w", target, err)
	}
	return list, nil
}

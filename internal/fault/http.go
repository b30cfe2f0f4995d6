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

// Quest is the name of the entry that stands for all hidden faults, if there are any or not.
const Quest = "quest"

// Entries lists the catalogue and what is on. While a quest is under way it begins with
// the entry [Quest].
func (s *Set) Entries() []Entry {
	state, quest := s.listed()
	list := make([]Entry, 0, 16)
	if quest {
		list = append(list, Entry{Name: Quest, Summary: "a quest is under way: what it has switched on is not listed until it has ended", On: true})
	}
	for _, f := range s.catalogue() {
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

// List answers GET /faults with every fault and whether it is on: what is on is no
// secret, also where nothing can be switched. The header Allow says whether POST
// switches faults.
func List(s *Set, switches bool) http.Handler {
	allow := "GET, HEAD"
	if switches {
		allow += ", POST"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allow)
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

// Control answers POST /faults/quest, with which the lab's own process hides faults: the
// form fields "fault" are all that are on, as typed after --fault, "lease" is the time
// after which they go off unless they are sent again, and no lease ends the quest. It
// refuses requests without the token, which no page has.
func Control(s *Set, token string) http.Handler {
	return web.RequireToken(token, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := r.ParseForm()
		if err != nil {
			web.Fail(w, web.BadForm(err))
			return
		}
		lease := time.Duration(0)
		if text := r.PostForm.Get("lease"); text != "" {
			lease, err = time.ParseDuration(text)
		}
		if err == nil {
			err = s.Hide(lease, r.PostForm["fault"]...)
		}
		if err != nil {
			web.Fail(w, &web.Problem{Status: http.StatusUnprocessableEntity, Detail: err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

// Remote is the switches of a service elsewhere.
type Remote struct {
	URL    string       // the service's base URL
	Client *http.Client // untraced: switching a fault is not part of the demonstration
}

// remoteTimeout bounds one call; a page waits for it.
const remoteTimeout = 2 * time.Second

// Entries requests the faults of the service and whether they are on. It fails if
// they cannot be switched there.
func (r Remote) Entries(ctx context.Context) ([]Entry, error) {
	list, allow, err := r.call(ctx, http.MethodGet, nil)
	if err == nil && !strings.Contains(allow, http.MethodPost) {
		return nil, r.noSwitches()
	}
	return list, err
}

// On requests the faults that are on, each as it is typed after --fault.
func (r Remote) On(ctx context.Context) (on []string, err error) {
	list, _, err := r.call(ctx, http.MethodGet, nil)
	for _, e := range list {
		switch {
		case e.On && e.Value != "":
			on = append(on, e.Name+"="+e.Value)
		case e.On:
			on = append(on, e.Name)
		}
	}
	return on, err
}

// Apply switches a fault there; see Set.Apply.
func (r Remote) Apply(ctx context.Context, form url.Values) error {
	_, _, err := r.call(ctx, http.MethodPost, form)
	return err
}

// Hide sends the faults of a quest to the service; see [Control].
func (r Remote) Hide(ctx context.Context, token string, lease time.Duration, specs ...string) error {
	form := url.Values{"fault": specs}
	if lease > 0 {
		form.Set("lease", lease.String())
	}
	target := r.target() + "/quest"
	resp, body, err := r.send(ctx, http.MethodPost, target, form, http.Header{"Authorization": {"Bearer " + token}})
	if err == nil && resp.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("%s answered %s: %s", target, resp.Status, body)
	}
	return err
}

func (r Remote) target() string { return strings.TrimSuffix(r.URL, "/") + "/faults" }

func (r Remote) noSwitches() error {
	return fmt.Errorf("%s cannot be switched: start that service with --fault-switches too", r.target())
}

// send sends a request to the service and returns its answer, read to the end.
func (r Remote) send(ctx context.Context, method, target string, form url.Values, header http.Header) (
	*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, fmt.Errorf("asking %s: %w", target, err)
	}
	if header != nil {
		req.Header = header
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("asking %s: %w", target, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read; closing it can only fail to reuse the connection
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", target, err)
	}
	return resp, body, nil
}

// call returns the faults of the service, and the methods that /faults has there.
func (r Remote) call(ctx context.Context, method string, form url.Values) (list []Entry, allow string, err error) {
	target := r.target()
	resp, body, err := r.send(ctx, method, target, form, nil)
	if err != nil {
		return nil, "", err
	}
	switch {
	case resp.StatusCode == http.StatusMethodNotAllowed:
		return nil, "", r.noSwitches()
	case resp.StatusCode != http.StatusOK:
		var p web.Problem
		if json.Unmarshal(body, &p) == nil && p.Detail != "" {
			return nil, "", fmt.Errorf("%s", p.Detail)
		}
		return nil, "", fmt.Errorf("%s answered %s", target, resp.Status)
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", target, err)
	}
	return list, resp.Header.Get("Allow"), nil
}

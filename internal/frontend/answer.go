package frontend

import (
	"bytes"
	"context"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/traceparent"
	"dicelab/internal/web"
)

// links lead from a roll to what it left behind.
type links struct {
	Trace string `json:"trace"`
	Logs  string `json:"logs"`
}

// rolled is the JSON of a roll that brought a value.
type rolled struct {
	Die         string `json:"die"`
	Roll        int    `json:"roll"`
	TraceID     string `json:"trace_id"`
	Traceparent string `json:"traceparent,omitempty"`
	Recorded    bool   `json:"recorded"` // whether the trace can be found
	Links       *links `json:"links,omitempty"`
}

// failure is the JSON of one that did not.
type failure struct {
	*web.Problem
	Die         string `json:"die,omitempty"`
	Traceparent string `json:"traceparent,omitempty"`
	Links       *links `json:"links,omitempty"`
}

func (s *service) postRoll(w http.ResponseWriter, r *http.Request) {
	var out outcome
	if err := r.ParseForm(); err != nil {
		out = outcome{problem: web.BadForm(err), span: trace.SpanContextFromContext(r.Context())}
	} else {
		out = s.roll(r.Context(), r.PostForm.Get("die"))
	}
	w.Header().Set("Vary", "Accept")
	if wantsJSON(r.Header) {
		s.answerJSON(w, out)
		return
	}
	s.answerPage(w, r, out)
}

// wantsJSON reports whether the caller prefers JSON to HTML: the type with the greater weight in
// Accept, or the first one if weights are equal (RFC 9110, section 12.5.1). A caller that names
// neither gets the page, and so does a browser.
func wantsJSON(h http.Header) bool {
	var best float64
	var json bool
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue // RFC 9110 lets a server disregard what it cannot read
		}
		weight := 1.0
		if q, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		switch name {
		case "application/json", web.ProblemType, "text/html", "application/xhtml+xml":
			if weight > best {
				best, json = weight, strings.HasSuffix(name, "json")
			}
		}
	}
	return json
}

func (s *service) answerJSON(w http.ResponseWriter, out outcome) {
	id, links := s.trace(out)
	if out.problem != nil {
		p := *out.problem.Titled()
		p.TraceID = id
		web.Respond(w, p.Status, web.ProblemType, failure{Problem: &p, Die: out.die, Traceparent: out.sent, Links: links})
		return
	}
	web.Respond(w, http.StatusOK, "application/json", rolled{
		Die: out.die, Roll: out.value, TraceID: id, Traceparent: out.sent, Recorded: links != nil, Links: links})
}

// trace returns the ID of a roll's trace, "" if there is none, and the links to
// it, nil if it is not recorded.
func (s *service) trace(out outcome) (string, *links) {
	if !out.span.IsValid() {
		return "", nil
	}
	id := out.span.TraceID().String()
	if !out.span.IsSampled() || !s.Telemetry.Recording() {
		return id, nil
	}
	return id, &links{Trace: fill(s.TraceURL, id), Logs: fill(s.LogsURL, id)}
}

func fill(link, id string) string { return strings.ReplaceAll(link, placeholder, url.PathEscape(id)) }

// view is everything that page.html shows.
type view struct {
	Dice        []string
	Die         string // chosen
	BackendURL  string
	ExplorerURL string
	Recording   bool
	Result      *resultView
	Faults      []faultsView
	Refused     string // why a switch was not flipped
	Zone        string // of all times on the pages of the lab
	Offset      int    // of the zone from UTC, in seconds
}

// resultView is a roll on the page.
type resultView struct {
	Die     string
	Value   int
	Pips    []pip
	Problem *web.Problem
	TraceID string
	Parts   []part // of the traceparent that was sent; none if none was
	Sent    string
	Links   *links
}

// part is one field of a traceparent (W3C Trace Context, section 3.2).
type part struct{ Name, Value, Meaning string }

func parts(sent string) []part {
	header, err := traceparent.Parse(sent)
	if err != nil { // none was sent
		return nil
	}
	sampled := "sampled: record this trace"
	if !header.Sampled {
		sampled = "not sampled: do not record this trace"
	}
	return []part{
		{"version", header.Version, "of the header's format"},
		{"trace ID", header.TraceID, "the same in every service of this roll"},
		{"parent ID", header.ParentID, "the front end's GET span, the parent of the roller's"},
		{"flags", header.Flags, sampled},
	}
}

func (s *service) showPage(w http.ResponseWriter, r *http.Request) {
	s.render(r.Context(), w, http.StatusOK, s.view(r, contract.DieFair))
}

func (s *service) answerPage(w http.ResponseWriter, r *http.Request, out outcome) {
	v := s.view(r, out.die)
	id, links := s.trace(out)
	v.Result = &resultView{Die: out.die, Value: out.value, Pips: pips(out.value), TraceID: id, Links: links, Sent: out.sent, Parts: parts(out.sent)}
	status := http.StatusOK
	if out.problem != nil {
		v.Result.Problem = out.problem.Titled()
		status = out.problem.Status
	}
	s.render(r.Context(), w, status, v)
}

func (s *service) view(r *http.Request, die string) view {
	zone, offset := time.Now().Zone()
	return view{Zone: zone, Offset: offset, Dice: contract.Dice(), Die: die, BackendURL: s.BackendURL, ExplorerURL: s.ExplorerURL,
		Recording: s.Telemetry.Recording(), Faults: s.faultsViews(r.Context())}
}

// render writes the page once it is whole, so that a mistake in it is a 500 and
// not half a page.
func (s *service) render(ctx context.Context, w http.ResponseWriter, status int, v view) {
	var page bytes.Buffer
	if err := s.page.Execute(&page, v); err != nil {
		s.Telemetry.Logger.ErrorContext(ctx, "Rendering the page failed", contract.FieldError, err)
		web.Fail(w, web.AsProblem(err))
		return
	}
	web.Page(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // client gone; nothing to do
}

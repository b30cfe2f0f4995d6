package explorer

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"dicelab/internal/explorer/checklist"
	"dicelab/internal/web"
)

// checksView is the page Checklist.
type checksView struct {
	Groups  []choice // to choose from; the first is all
	Rows    int
	Servers []checklist.Server
	Untold  bool // whether a flag that would tell where one is was not given

	Run     *checksRun // that is shown, or nil
	Running bool       // whether it is under way
	Asked   string     // the group that was asked for while another run was under way
	Failure *failure   // why the latest run did not come to its end
	Plan    []planned  // the groups that the run shown leaves out
}

// planned is a group that has not been checked.
type planned struct {
	Name  string
	Boxes int // that the original checklist has
	Rows  []checklist.Row
}

// checksPath is where the page is.
const checksPath = "/checklist"

// checks shows the run that is under way, as it goes on, or else the last one
// and what can be checked.
func (e *explorer) checks(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet { // HEAD, which the route takes too, watches nothing
		if run, leave := e.desk.Watch(); run != nil {
			e.watchRun(w, r, run, leave)
			return
		}
	}
	last, err := e.desk.Last()
	v := e.checksView()
	v.Failure = runFailure(err)
	if last != nil {
		v.Run = e.checksRun(r.Context(), last, func() {})
		v.Plan = slices.DeleteFunc(v.Plan, func(p planned) bool { return last.Group == "" || p.Name == last.Group })
	}
	e.render(w, http.StatusOK, "checks", page{Title: "Checklist", Section: "Checklist", Data: v})
}

func (e *explorer) checksView() checksView {
	rows := e.desk.Rows()
	v := checksView{Rows: len(rows), Servers: e.desk.Servers()}
	for _, s := range v.Servers {
		v.Untold = v.Untold || s.Missing()
	}
	for _, row := range rows {
		if n := len(v.Plan); n == 0 || v.Plan[n-1].Name != row.Group {
			v.Plan = append(v.Plan, planned{Name: row.Group})
		}
		p := &v.Plan[len(v.Plan)-1]
		p.Rows = append(p.Rows, row)
		if row.Box != "" {
			p.Boxes++
		}
	}
	v.Groups = []choice{{Label: fmt.Sprintf("all %d checks", len(rows))}}
	for _, p := range v.Plan {
		v.Groups = append(v.Groups, choice{Value: p.Name, Label: p.Name})
	}
	return v
}

// startChecks starts a run and leads to the page that shows it. A page that is
// got, not posted, can be loaded again and come back to.
func (e *explorer) startChecks(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxField)
	if err := r.ParseForm(); err != nil {
		p := web.BadForm(err)
		e.message(w, p.Status, "The form cannot be read", p.Detail)
		return
	}
	group := r.PostForm.Get("group")
	if group != "" && !slices.ContainsFunc(e.desk.Rows(), func(row checklist.Row) bool { return row.Group == group }) {
		e.message(w, http.StatusBadRequest, "No such group", fmt.Sprintf("The checklist has no group %.80q. Choose one on the page Checklist.", group))
		return
	}
	run, err := e.desk.Start(r.Context(), group)
	if err != nil {
		return // the reader is gone: nobody is left to tell
	}
	target := checksPath
	if run.Group != group {
		target += "?" + url.Values{"asked": {group}}.Encode()
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// runFailure is what the page says of a run that did not come to its end.
func runFailure(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Title: "The run did not come to its end", Message: err.Error()}
	if errors.Is(err, checklist.ErrUnwatched) {
		f.Title, f.Message, f.Hint = "The run was stopped", "A run lasts while a page shows it, and "+err.Error()+".", "run it again, and leave its page open"
	}
	if begin, ok := errors.AsType[*checklist.BeginError](err); ok {
		f.Title, f.Hint = "Nothing could be checked", begin.Hint
	}
	return f
}

// checksJSON is the last report, as "dicelab verify --json" writes it.
func (e *explorer) checksJSON(w http.ResponseWriter, _ *http.Request) {
	last, _ := e.desk.Last()
	if last == nil {
		e.message(w, http.StatusNotFound, "No report yet", "No run has come to its end. Start one on the page Checklist.")
		return
	}
	report, _ := last.Report() // of a run that came to its end
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Disposition", `attachment; filename="checklist-`+last.Began.UTC().Format("20060102T150405Z")+`.json"`)
	_, _ = w.Write(report.JSON) // the reader is gone: nobody is left to tell
}

// piece is a stretch of text with or without a link.
type piece struct{ Text, Href string }

// traceID finds what a trace ID looks like. In a traceparent it is one, too.
var traceID = regexp.MustCompile(`\b[0-9a-f]{32}\b`)

// linked makes links of the trace IDs in a text.
func linked(text string) (pieces []piece) {
	at := 0
	for _, m := range traceID.FindAllStringIndex(text, -1) {
		pieces = append(pieces, piece{Text: text[at:m[0]]}, piece{Text: text[m[0]:m[1]], Href: "/traces/" + text[m[0]:m[1]]})
		at = m[1]
	}
	return append(pieces, piece{Text: text[at:]})
}

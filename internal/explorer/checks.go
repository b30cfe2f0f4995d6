package explorer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/web"
)

// Checker performs the checklist. Its methods may be called at once, Run by one caller.
type Checker interface {
	Rows() []checklist.Row       // what can be checked, group by group
	Servers() []checklist.Server // what is looked at
	// Run checks the rows of a group, of all groups if it is empty. It calls began once,
	// and each with every result in the order of the rows. A row that fails is no error.
	Run(ctx context.Context, group string, began func(checklist.Start), each func(checklist.Result)) (
		checklist.Report, error)
}

// checkRun is one run, as far as it has come. Its zero value is no run.
type checkRun struct {
	Group   string // empty: all
	Began   time.Time
	Running bool
	Start   *checklist.Start // nil until it is known
	Report  checklist.Report // complete unless Running
}

// checkRuns runs the checklist: one run at a time, since two would count each other's
// rolls. A run goes on whether or not a page shows it, until the server shuts down.
type checkRuns struct {
	Checker
	clock func() time.Time

	mu        sync.Mutex
	run, last checkRun // the latest, and the latest that came to its end
	err       error    // why the latest did not
}

// start begins a run of a group, unless one is under way. ctx is that of the request.
func (c *checkRuns) start(ctx context.Context, group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run.Running {
		return
	}
	c.run, c.err = checkRun{Group: group, Began: c.clock(), Running: true}, nil
	ctx, cancel := web.UntilDraining(ctx)
	go func() {
		defer cancel()
		report, err := c.Run(ctx, group, func(s checklist.Start) { c.change(func() { c.run.Start = &s }) },
			func(r checklist.Result) { c.change(func() { c.run.Report.Add(r) }) })
		c.change(func() {
			if c.run.Running, c.err = false, err; err == nil {
				c.run.Report, c.last = report, c.run
				c.last.Report = report
			}
			c.run = c.last
		})
	}()
}

func (c *checkRuns) change(change func()) { c.mu.Lock(); defer c.mu.Unlock(); change() }

// state returns the run to show, the last that came to its end, and the latest failure.
func (c *checkRuns) state() (run, last checkRun, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	run = c.run
	run.Report.Results = slices.Clone(run.Report.Results)
	return run, c.last, c.err
}

// checksView is the page Checklist, or the part of it that shows a run.
type checksView struct {
	Groups  []choice // to choose from; the first is all
	Servers []checklist.Server
	Rows    int
	Run     checkRun
	Time    moment // when it began
	Took    string
	Next    string     // what the run waits for
	Percent string     // of the rows that have ended
	Causes  []checkRow // failures of their own
	Follow  []checkRow // failures that those explain
	Parts   []checkGroup
	Failure *failure // why the latest run did not come to its end
}

// checkGroup is a group as a run leaves it.
type checkGroup struct {
	Name, Slug   string
	Failed, Left int             // Left: still to come
	Rows         []checkRow      // that did not fail
	Plan         []checklist.Row // that the run leaves out
}

// checkRow is a result.
type checkRow struct {
	checklist.Result
	Words []piece
	Time  string
}

// checks shows the run, and what can be checked; with "part", only what is about the run.
func (e *explorer) checks(w http.ResponseWriter, r *http.Request) {
	v := e.checksView()
	if r.URL.Query().Has("part") {
		e.part(w, "checks", "checks-run", v)
		return
	}
	e.render(w, http.StatusOK, "checks", page{Title: "Checklist", Section: "Checklist", Data: v,
		Reload: map[bool]int{true: 2}[v.Run.Running], ReloadURL: "/checklist", ReloadScripted: true})
}

func (e *explorer) checksView() checksView {
	rows := e.runs.Rows()
	run, _, err := e.runs.state()
	v := checksView{Servers: e.runs.Servers(), Rows: len(rows), Run: run, Time: e.moment(run.Began),
		Groups: []choice{{Label: fmt.Sprintf("all %d checks", len(rows))}}}
	if begin, ok := errors.AsType[*checklist.UnreachableError](err); ok {
		v.Failure = &failure{Title: "Nothing could be checked", Message: err.Error(), Hint: begin.Hint}
	} else if err != nil {
		v.Failure = &failure{Title: "The run did not come to its end", Message: err.Error()}
	}
	v.Time.Short, _, _ = strings.Cut(v.Time.Short, ".")
	v.Took = duration(time.Duration(run.Report.Took).Round(100 * time.Millisecond))
	all, results := len(rows), run.Report.Results // in the order of the rows
	for _, row := range rows {
		if n := len(v.Parts); n == 0 || v.Parts[n-1].Name != row.Group {
			v.Parts = append(v.Parts, checkGroup{Name: row.Group, Slug: checklist.Slug(row.Group)})
			v.Groups = append(v.Groups, choice{Value: row.Group, Label: row.Group, Selected: row.Group == run.Group})
		}
		g := &v.Parts[len(v.Parts)-1]
		if run.Began.IsZero() || run.Group != "" && run.Group != row.Group {
			all--
			g.Plan = append(g.Plan, row)
			continue
		}
		if len(results) == 0 {
			g.Left++
			v.Next = cmp.Or(v.Next, row.Name)
			continue
		}
		result := results[0]
		results = results[1:]
		line := checkRow{result, linked(result.Text()), duration(time.Duration(result.Took).Round(time.Millisecond))}
		switch {
		case result.Cause():
			g.Failed++
			v.Causes = append(v.Causes, line)
		case result.Outcome == checklist.Fail:
			g.Failed++
			v.Follow = append(v.Follow, line)
		default:
			g.Rows = append(g.Rows, line)
		}
	}
	v.Percent = fmt.Sprintf("%.1f%%", 100*float64(len(run.Report.Results))/float64(max(all, 1)))
	return v
}

// startChecks starts a run and leads to the page that shows it.
func (e *explorer) startChecks(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxField)
	if err := r.ParseForm(); err != nil {
		p := web.BadForm(err)
		e.message(w, p.Status, "The form cannot be read", p.Detail)
		return
	}
	group := r.PostForm.Get("group")
	if group != "" && !slices.ContainsFunc(e.runs.Rows(), func(row checklist.Row) bool { return row.Group == group }) {
		e.message(w, http.StatusBadRequest, "No such group", fmt.Sprintf("The checklist has no group %.80q.", group))
		return
	}
	e.runs.start(r.Context(), group)
	http.Redirect(w, r, "/checklist", http.StatusSeeOther)
}

// checksJSON responds with the last report, as "dicelab verify --format json" writes it.
func (e *explorer) checksJSON(w http.ResponseWriter, _ *http.Request) {
	_, last, _ := e.runs.state()
	if last.Began.IsZero() {
		e.message(w, http.StatusNotFound, "No report yet", "No run has come to its end. Start one on the page Checklist.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Disposition",
		last.Began.UTC().Format(`attachment; filename="checklist-20060102T150405Z.json"`))
	_ = last.Report.WriteJSON(w) // client gone; nothing to do
}

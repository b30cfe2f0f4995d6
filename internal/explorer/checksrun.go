package explorer

import (
	"context"
	"fmt"
	"html"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"dicelab/internal/explorer/checklist"
	"dicelab/internal/web"
)

// checksRun is a run as the page shows it. The page is written while it goes on:
// the template asks for the next item, and waits until there is one.
type checksRun struct {
	run   *checklist.Run
	ctx   context.Context // of the one who watches
	pause func()          // sends what has been written

	Group string // "" for all
	Began moment
}

// item is what comes next on the page. One of its fields is set.
type item struct {
	Progress *progress
	Start    *checklist.Start
	Group    *groupHead
	Check    *checkRow
	Failure  *failure
	Verdict  *verdict
}

// progress is how far a run has come.
type progress struct {
	Done, Total                   int
	Percent                       string
	Passed, Failed, NotApplicable int
	Next                          string // what is waited for
	Told                          string // what is worth a word to those who hear the page; "" for nothing
	Ended                         bool
}

type groupHead struct {
	Name, ID      string
	Checks, Boxes int
}

// checkRow is a result.
type checkRow struct {
	checklist.Result
	Mark, Word string // the outcome for those who see it, and for those who hear it
	Text       []piece
	Own        bool // it fails, and not since another does
	Took       string
	Asked      []askedRow
	First      bool // of its group
	Last       bool
}

type askedRow struct {
	checklist.Exchange
	Status string
}

// verdict is what came of a run.
type verdict struct {
	checklist.Report
	Group  string // that was checked; "" for all
	Took   string
	Causes []string // the rows that fail by themselves
}

func (e *explorer) checksRun(ctx context.Context, run *checklist.Run, pause func()) *checksRun {
	began := e.moment(run.Began)
	began.Short, _, _ = strings.Cut(began.Short, ".") // to the second: nobody compares runs by less
	return &checksRun{run: run, ctx: ctx, pause: pause, Group: run.Group, Began: began}
}

// Start is what was known when the run began, or nil.
func (v *checksRun) Start() *checklist.Start { return v.run.Start(v.ctx, v.pause) }

// Items are the results below the names of their groups.
func (v *checksRun) Items() iter.Seq[item] { return v.items(func(*progress) *progress { return nil }) }

// LiveItems are the items of a run that is under way, with how far it has come
// after each, and with its end.
func (v *checksRun) LiveItems() iter.Seq[item] {
	return func(yield func(item) bool) {
		show := func(p *progress) *progress { p.Percent = percentOf(p.Done, p.Total); return p }
		if !yield(item{Progress: show(&progress{Next: "what answers"})}) {
			return
		}
		start := v.Start()
		var last progress
		if start != nil {
			if !yield(item{Start: start}) || !yield(item{Progress: show(&progress{Total: len(start.Rows), Next: "rolls through the front end"})}) {
				return
			}
			for i := range v.items(show) {
				if !yield(i) {
					return
				}
				if i.Progress != nil {
					last = *i.Progress
				}
			}
		}
		end := v.end()
		if last.Ended, last.Next, last.Told = true, "", ""; !yield(item{Progress: show(&last)}) {
			return
		}
		yield(end)
	}
}

// percentOf is a width for an SVG.
func percentOf(n, of int) string { return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(max(of, 1))) }

func (v *checksRun) items(show func(*progress) *progress) iter.Seq[item] {
	return func(yield func(item) bool) {
		start := v.Start()
		if start == nil {
			return
		}
		rows := start.Rows
		p := progress{Total: len(rows)}
		for result := range v.run.Results(v.ctx, v.pause) {
			first := p.Done == 0 || rows[p.Done-1].Group != result.Group
			if first && !yield(item{Group: headOf(rows, result.Group)}) {
				return
			}
			p.count(result, rows)
			last := p.Done == len(rows) || rows[p.Done].Group != result.Group
			if !yield(item{Check: newCheckRow(result, first, last)}) {
				return
			}
			now := p
			if shown := show(&now); shown != nil && !yield(item{Progress: shown}) {
				return
			}
		}
	}
}

// count takes in the next result. Not each is worth a word: a failure is, and
// the end of a group.
func (p *progress) count(r checklist.Result, rows []checklist.Row) {
	p.Done++
	p.Next, p.Told = "", ""
	switch r.Outcome {
	case checklist.Pass:
		p.Passed++
	case checklist.Fail:
		p.Failed++
		p.Told = r.Name + " fails."
	default:
		p.NotApplicable++
	}
	if p.Done < len(rows) {
		p.Next = rows[p.Done].Name
	}
	if p.Done == len(rows) || rows[p.Done].Group != r.Group {
		p.Told = strings.TrimSpace(p.Told + " " + r.Group + " is checked.")
	}
}

func headOf(rows []checklist.Row, group string) *groupHead {
	g := &groupHead{Name: group, ID: "group-" + strings.ReplaceAll(strings.ToLower(group), " ", "-")}
	for _, r := range rows {
		if r.Group == group {
			if g.Checks++; r.Box != "" {
				g.Boxes++
			}
		}
	}
	return g
}

// mostAnswer bounds what is shown of an answer, in bytes; the JSON has more.
const mostAnswer = 1000

func newCheckRow(r checklist.Result, first, last bool) *checkRow {
	row := &checkRow{Result: r, First: first, Last: last, Took: duration(r.Took.Round(time.Millisecond))}
	switch r.Outcome {
	case checklist.Pass:
		row.Mark, row.Word, row.Text = "✓", "holds", linked(r.Evidence)
	case checklist.Fail:
		row.Mark, row.Word, row.Text, row.Own = "✗", "fails", linked(r.Why), r.BlockedBy == ""
	default:
		row.Mark, row.Word, row.Text = "–", "not applicable", linked(r.Why)
	}
	for _, x := range r.Exchanges {
		a := askedRow{Exchange: x, Status: "no answer"}
		if x.Status != 0 {
			a.Status = strings.TrimSpace(fmt.Sprint(x.Status, " ", http.StatusText(x.Status)))
		}
		if len(a.Answer) > mostAnswer {
			a.Answer, a.Cut = strings.ToValidUTF8(a.Answer[:mostAnswer], ""), true
		}
		row.Asked = append(row.Asked, a)
	}
	return row
}

// Verdict is what came of a run that came to its end.
func (v *checksRun) Verdict() *verdict {
	report, _ := v.run.Report()
	out := &verdict{Report: report, Group: v.Group, Took: duration(report.Took.Round(100 * time.Millisecond))}
	for r := range v.run.Results(v.ctx, func() {}) {
		if r.Outcome == checklist.Fail && r.BlockedBy == "" {
			out.Causes = append(out.Causes, r.Name)
		}
	}
	return out
}

// end is what the page ends with.
func (v *checksRun) end() item {
	_, err := v.run.Report()
	switch {
	case !v.run.Ended():
		return item{Failure: &failure{Title: "The run was stopped", Message: "The explorer is being stopped, and the run with it."}}
	case err != nil:
		return item{Failure: runFailure(err)}
	}
	return item{Verdict: v.Verdict()}
}

// watchRun writes the page of a run that is under way, while it goes on.
func (e *explorer) watchRun(w http.ResponseWriter, r *http.Request, run *checklist.Run, leave func(atOnce bool)) {
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		select {
		case <-web.Draining(r.Context()):
			stop()
		case <-ctx.Done():
		}
	}()
	defer func() {
		stop()
		<-drained
		select {
		case <-web.Draining(r.Context()):
			leave(true)
		default:
			leave(false)
		}
	}()
	out := newStream(w)
	web.Page(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	v := e.checksView()
	v.Run, v.Running, v.Plan = e.checksRun(ctx, run, out.flush), true, nil
	if i := slices.IndexFunc(v.Groups, func(c choice) bool { return c.Value == r.URL.Query().Get("asked") }); i >= 0 && r.URL.Query().Has("asked") {
		v.Asked = v.Groups[i].Label
	}
	if err := e.pages["checks"].Execute(out, e.filled(page{Title: "Checklist", Section: "Checklist", Data: v})); err != nil && out.Flush() == nil {
		fmt.Fprintf(out, "<p>making this page: %s</p>", html.EscapeString(err.Error()))
	}
	out.flush()
}

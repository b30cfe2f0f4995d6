package explorer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// Bounds and thresholds of the notes on the overview.
const (
	maxNotes       = 12              // sentences
	maxNamed       = 4               // services that a sentence names
	stillFor       = 2 * time.Minute // for which a counter has not moved
	stillBefore    = 15 * time.Minute
	compareFor     = 5 * time.Minute // the end of the page's time, in which lines and spans are counted
	stillExpected  = 20              // times that it should have moved in stillFor
	maxAheadLooked = 50              // lines, and traces, that are ahead of the clock
)

// note is one sentence about signals that do not agree, with its evidence.
type note struct{ Text, Href, Link, Doc string }

// agreement has the counts of a service by several signals.
type agreement struct {
	Name, Class          string
	Spans, Lines, WithID string
}

// signals has the values from which the notes are made.
type signals struct {
	e                      *explorer
	win                    window
	lines, withID          map[string]float64 // by service
	ahead                  []query.LogLine
	aheadTraces            []query.Found
	now, then, before      map[counterOf]float64 // sums of counters: at the end, stillFor ago, and stillBefore before that
	handled, handledThen   map[string]float64
	spans                  map[string]float64 // by service
	alerts                 []query.Alert
	linesErr, aheadErr     error
	countersErr, tracesErr error
	mu                     sync.Mutex // held while an error is kept: several queries share one
}

// failed keeps the first error of several queries.
func (s *signals) failed(kept *error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *kept == nil {
		*kept = err
	}
}

// counterOf is a counter of a job.
type counterOf struct{ name, job string }

// ask returns what reads the signals.
func (s *signals) ask(ctx context.Context) []func() {
	p, end := s.e.Prometheus, s.win.End
	all := query.LogFilter{}.LogQL()
	lineCount := func(to *map[string]float64, pipeline string) func() {
		return func() {
			q := fmt.Sprintf(
				"sum by (%s) (count_over_time(%s%s[%s]))",
				contract.StreamService,
				all,
				pipeline,
				s.win.rangeWindow(),
			)
			found, err := s.e.Loki.Query(ctx, q, end)
			if err != nil {
				s.failed(&s.linesErr, err)
				return
			}
			*to = byLabel(found.Series, contract.StreamService)
		}
	}
	over := func(d time.Duration, offset string) string { return fmt.Sprintf("[%ds]%s", int(d.Seconds()), offset) }
	offset := fmt.Sprintf(" offset %ds", int(stillFor.Seconds()))
	// A function such as increase drops the name, which identifies these series; their sums do not.
	sums := func(to *map[counterOf]float64, ago time.Duration) func() {
		return func() {
			found, err := p.Query(
				ctx,
				fmt.Sprintf(
					`sum by (__name__, job) ({__name__=~".+_total", job!=""} offset %ds)`,
					int(ago.Seconds()),
				),
				end,
			)
			if err != nil {
				s.failed(&s.countersErr, err)
				return
			}
			*to = map[counterOf]float64{}
			for _, series := range found.Series {
				(*to)[counterOf{series.Labels["__name__"], series.Labels["job"]}] = series.Last()
			}
		}
	}
	requests := func(to *map[string]float64, matchers, over string) func() {
		return func() {
			found, err := p.Query(ctx, spanIncrease(matchers, over), end)
			if err != nil {
				s.failed(&s.countersErr, err)
				return
			}
			*to = byLabel(found.Series, contract.LabelService)
		}
	}
	asks := []func(){
		lineCount(&s.lines, ""), lineCount(&s.withID, " | "+contract.FieldTraceID+`!=""`),
		sums(&s.now, 0), sums(&s.then, stillFor), sums(&s.before, stillFor+stillBefore),
		requests(&s.handled, handled, over(stillFor, "")), requests(&s.handledThen, handled, over(stillBefore, offset)),
		requests(&s.spans, "", "["+s.win.rangeWindow()+"]"),
		func() {
			var err error
			if s.alerts, err = p.Alerts(ctx); err != nil {
				s.failed(&s.countersErr, err)
			}
		},
	}
	if s.win.moves() {
		ahead := aheadOf(s.e.Now())
		asks = append(asks, func() {
			found, err := s.e.Loki.QueryRange(
				ctx,
				query.LogQuery{LogQL: all, Start: ahead.Start, End: ahead.End, Limit: maxAheadLooked},
			)
			if s.aheadErr = err; err == nil {
				s.ahead = found.Lines
			}
		}, func() {
			// Tempo rounds the start down to a whole second.
			found, err := s.e.Tempo.Search(
				ctx,
				query.Search{Start: ahead.Start.Add(time.Second), End: ahead.End, Limit: maxAheadLooked},
			)
			if s.tracesErr = err; err == nil {
				s.aheadTraces = found.Traces
			}
		})
	}
	return asks
}

func byLabel(series []query.Series, label string) map[string]float64 {
	out := map[string]float64{}
	for _, s := range series {
		out[s.Labels[label]] += s.Last()
	}
	return out
}

// notes returns what the signals say, after ask.
func (s *signals) notes(ctx context.Context) (out []note, failures []string) {
	still := s.still()
	for _, c := range still {
		out = append(out, c.note)
	}
	out = append(out, s.deafAlerts(still)...)
	withoutIDs, err := s.withoutIDs(ctx)
	out = append(out, withoutIDs...)
	out = append(out, s.withoutSpans()...)
	out = append(out, s.withoutLines()...)
	out = append(out, s.early()...)
	for _, err := range []error{s.linesErr, s.aheadErr, s.countersErr, s.tracesErr, err} {
		if err != nil {
			failures = append(failures, "Not compared: "+err.Error())
		}
	}
	if more := len(out) - maxNotes; more > 0 {
		out = append(out[:maxNotes], note{Text: fmt.Sprintf("And %d more.", more)})
	}
	return out, failures
}

// stillCounter is a counter that does not move while requests are handled.
type stillCounter struct {
	name string
	note note
}

// still finds counters that do not move: those that moved with the requests before, and
// those of the dashboard and of alerts, which somebody waits for.
func (s *signals) still() (out []stillCounter) {
	watched := map[string]bool{}
	for _, p := range s.e.Dashboard.Panels {
		for _, target := range p.Targets {
			for _, name := range counters(target.Expr) {
				watched[name] = true
			}
		}
	}
	for _, a := range s.alerts {
		for _, name := range counters(a.Query) {
			watched[name] = true
		}
	}
	for c, value := range s.now {
		name, job := c.name, c.job
		then, known := s.then[c]
		handled := s.handled[job]
		if !known || value != then || handled < 1 {
			continue
		}
		moved := then - s.before[c]
		expected := 0.0
		switch {
		case moved > 0 && s.handledThen[job] > 0:
			expected = moved / s.handledThen[job] * handled
		case watched[name] && !rarelyMoves(name):
			expected = handled
		}
		if expected < stillExpected {
			continue
		}
		out = append(out, stillCounter{name, note{
			Text: fmt.Sprintf(
				"%s of %s has not moved for %d minutes, while %s handled %s.",
				name,
				clip(job),
				int(stillFor.Minutes()),
				clip(job),
				count(int(handled+.5), "request", "requests"),
			),
			Href: "/metrics/find?" + merge(
				s.win,
				"metric",
				name,
				"fn",
				funcValue,
				"label",
				"job",
				"val",
				job,
			), Link: "The flat line", Doc: "faults.md"}})
	}
	slices.SortFunc(out, func(a, b stillCounter) int { return strings.Compare(a.note.Text, b.note.Text) })
	return out
}

// deafAlerts finds alerts that are quiet because what they are computed from stands still.
func (s *signals) deafAlerts(still []stillCounter) (out []note) {
	for _, a := range s.alerts {
		for _, c := range still {
			if a.State == query.AlertInactive && slices.Contains(counters(a.Query), c.name) {
				out = append(
					out,
					note{
						Text: fmt.Sprintf(
							"The alert %s is quiet, and cannot fire: it is computed from %s, which does not move.",
							a.Name,
							c.name,
						),
						Href: "/metrics?" + merge(s.win, "q", a.Query),
						Link: "Its condition",
					},
				)
				break
			}
		}
	}
	return out
}

// withoutIDs finds services whose lines all lack a trace ID.
func (s *signals) withoutIDs(ctx context.Context) (out []note, err error) {
	if s.linesErr != nil {
		return nil, nil
	}
	asked := 0
	for _, name := range slices.Sorted(maps.Keys(s.lines)) {
		if s.withID[name] > 0 || s.handled[name]+s.handledThen[name] == 0 || asked == maxNamed {
			continue
		}
		asked++
		of := query.LogFilter{Service: name}.LogQL()
		found, err := s.e.Loki.QueryRange(
			ctx,
			query.LogQuery{LogQL: of, Start: s.win.Start, End: s.win.End, Limit: 5},
		)
		if err != nil {
			return out, err
		}
		// An ID that stands in the line alone is found by a reader, though not by the index.
		if slices.ContainsFunc(found.Lines, func(l query.LogLine) bool { return l.TraceID() != "" }) {
			continue
		}
		out = append(
			out,
			note{Text: fmt.Sprintf("%s wrote %s %s, and none has a trace ID: no trace leads to them.", clip(name),
				count(int(s.lines[name]), "log line", "log lines"), s.win.phrase()),
				Href: "/logs?" + merge(s.win, "service", name), Link: "Its lines", Doc: "faults.md"},
		)
	}
	return out, nil
}

// withoutSpans finds services whose lines name traces, but which sent no span.
func (s *signals) withoutSpans() (out []note) {
	if s.spans == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.withID)) {
		if s.withID[name] >= 1 && s.spans[name] == 0 {
			out = append(
				out,
				note{Text: fmt.Sprintf("%s wrote %s with trace IDs %s, and no span of it has come.", clip(name),
					count(int(s.withID[name]), "log line", "log lines"), s.win.phrase()),
					Href: "/logs?" + merge(s.win, "service", name), Link: "Its lines", Doc: "faults.md"},
			)
		}
	}
	return out
}

// withoutLines finds services that send spans and no log lines.
func (s *signals) withoutLines() []note {
	if s.linesErr != nil {
		return nil
	}
	var names []string
	for name, spans := range s.spans {
		if name != "" && spans > 0 && s.lines[name] == 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, compareServices)
	if len(names) == 0 {
		return nil
	}
	return []note{
		{
			Text: fmt.Sprintf("%s %s spans, and no log lines %s.", list(names), plural(len(names), "sends", "send"),
				s.win.phrase()),
			Href: "/docs/send.md",
			Link: "How to send them",
		},
	}
}

// early finds lines and traces that are ahead of the clock of the explorer.
func (s *signals) early() (out []note) {
	newest := map[string]query.LogLine{}
	for _, l := range s.ahead {
		if name := cmp.Or(l.Service(), query.UnknownService); newest[name].Time.Before(l.Time) {
			newest[name] = l
		}
	}
	now, ahead := s.e.Now(), aheadOf(s.e.Now())
	by := func(t time.Time) string { return duration(t.Sub(now).Truncate(100 * time.Millisecond)) }
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		out = append(
			out,
			note{
				Text: fmt.Sprintf(
					"%s writes log lines with times that have not come yet: the newest is %s ahead of this machine's clock.",
					clip(name),
					by(newest[name].Time),
				),
				Href: "/logs?" + merge(ahead, "service", name),
				Link: "These lines",
				Doc:  "troubleshooting.md",
			},
		)
	}
	first := map[string]query.Found{}
	for _, t := range s.aheadTraces {
		if name := cmp.Or(t.RootService, query.UnknownService); t.Start.After(ahead.Start) &&
			first[name].Start.Before(t.Start) {
			first[name] = t
		}
	}
	for _, name := range slices.Sorted(maps.Keys(first)) {
		out = append(
			out,
			note{
				Text: fmt.Sprintf(
					"A trace that begins in %s starts %s ahead of this machine's clock.",
					clip(name),
					by(first[name].Start),
				),
				Href: "/traces/" + first[name].TraceID,
				Link: "This trace",
				Doc:  "troubleshooting.md",
			},
		)
	}
	return out
}

// agreements lists what was counted, of the services that are shown.
func (s *signals) agreements(names []string) (out []agreement) {
	for _, name := range names {
		out = append(out, agreement{Name: clip(cmp.Or(name, query.UnknownService)), Class: s.e.class(name),
			Spans: grouped(int(s.spans[name] + .5)), Lines: grouped(int(s.lines[name])), WithID: grouped(int(s.withID[name]))})
	}
	return out
}

// newest returns the end of the window, of d at most.
func (w window) newest(d time.Duration) window {
	if w.End.Sub(w.Start) <= d {
		return w
	}
	w.Start, w.Open = w.End.Add(-d), false
	if w.Since != "" {
		w.Since = strconv.Itoa(int(d.Minutes())) + "m"
	}
	return w
}

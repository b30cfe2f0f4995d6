package explorer

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// Limits of the notes of a trace, and of what is read for them.
const (
	maxOddServices = 10  // services whose lines are read
	maxOddLines    = 500 // of them together
	maxCauses      = 3   // of spans whose parents are missing
)

// ahead is the least time in the future of a span that is reported. Clocks usually differ by
// milliseconds.
const ahead = time.Second

// traceNote is a remark on a trace: one sentence or two, and a link to the evidence.
type traceNote struct {
	Text string
	Link control
	Soft bool // it may be as it should
}

// traceNotes returns what is wrong with a trace, if anything is.
func traceNotes(t *query.Trace, tree *query.Tree) []traceNote {
	var notes []string
	if t.Partial {
		notes = append(notes, "The trace store says that spans are missing. "+t.Message)
	}
	var orphans, cycles, duplicates, shared, unfinished, backwards, dropped int
	tree.Walk(func(n *query.Node) bool {
		if n.Orphan {
			orphans++
		}
		if n.Cycle {
			cycles++
		}
		if n.Duplicate {
			duplicates++
		}
		if n.Shared {
			shared++
		}
		if n.Unfinished {
			unfinished++
		}
		if n.Backwards > 0 {
			backwards++
		}
		if d := n.Dropped; d.Attributes+d.Events+d.Links > 0 {
			dropped++
		}
		return true
	})
	if orphans > 0 {
		notes = append(notes, count(orphans, "span names a parent that is",
			"spans name parents that are")+" not in this trace.")
	}
	if len(tree.Roots)-orphans > 1 {
		notes = append(notes, fmt.Sprintf("This trace has %d roots.", len(tree.Roots)))
	}
	if cycles > 0 {
		notes = append(notes, count(cycles, "span has",
			"spans have")+" a parent beneath itself; it is shown as a root.")
	}
	if duplicates > 0 {
		notes = append(notes, count(duplicates, "span shares its", "spans share their")+" ID with an earlier one.")
	}
	if tree.Redundant > 0 {
		notes = append(notes, count(tree.Redundant, "span was", "spans were")+" delivered twice and is shown once.")
	}
	if shared > 0 {
		notes = append(notes, count(shared, "span has",
			"spans have")+" the span ID of the call that caused "+plural(shared, "it", "them")+
			": Zipkin's libraries give both sides of a call one ID.")
	}
	if unfinished > 0 {
		notes = append(notes, count(unfinished, "span has", "spans have")+" no end: "+plural(unfinished, "it was",
			"they were")+
			" not ended before "+plural(unfinished, "it was", "they were")+" sent. How long "+plural(unfinished, "it",
			"they")+" took is not known.")
	}
	if backwards > 0 {
		notes = append(notes, count(backwards, "span ends before it starts", "spans end before they start")+
			": the clock was set back meanwhile, or the times are wrong. "+plural(backwards, "Its",
			"Their")+" duration is shown as 0 s.")
	}
	if dropped > 0 {
		notes = append(notes, count(dropped, "span is",
			"spans are")+" incomplete: attributes, events or links were dropped where "+
			plural(dropped, "it was", "they were")+" recorded.")
	}
	var out []traceNote
	for _, text := range notes {
		out = append(out, traceNote{Text: text})
	}
	return out
}

// oddities returns what does not fit together in a trace: clocks, log lines, missing parents.
func (e *explorer) oddities(ctx context.Context, t *query.Trace, tree *query.Tree, lines traceLines,
	ask traceAsk) []traceNote {
	notes := e.clockNotes(tree, ask)
	notes = append(notes, e.orphanNotes(tree, ask)...)
	if lines.err == nil && len(lines.lines) > 0 && len(lines.lines) < maxLines {
		notes = append(notes, e.lineNotes(ctx, t, tree, lines.lines)...)
	}
	return notes
}

// clockNotes names the services whose clocks differ, and spans that lie in the future.
func (e *explorer) clockNotes(tree *query.Tree, ask traceAsk) (notes []traceNote) {
	for _, s := range tree.Skews {
		call, answer := s.Call.Parent, s.Call
		where := "ends " + duration(answer.End().Sub(call.End())) + " after its caller " + nameOf(call) +
			", which waited for it"
		switch {
		case answer.Start.Before(call.Start):
			where = "starts " + duration(call.Start.Sub(answer.Start)) + " before its caller " + nameOf(call)
		case answer.Start.After(call.End()):
			where = "starts " + duration(answer.Start.Sub(call.End())) + " after its caller " + nameOf(call) +
				" has ended"
		}
		direction := "ahead of"
		if s.Ahead < 0 {
			direction = "behind"
		}
		n := traceNote{Text: fmt.Sprintf("The clock of %s is about %s %s that of %s: %s %s. "+
			"Durations of single spans are right; times between the two services, "+
			"self time and critical path across that call are not.", clip(s.To),
			duration(s.Ahead.Abs().Round(s.Ahead.Abs()/100+1)), direction, clip(s.From), nameOf(answer), where)}
		n.Link = ask.link("Align the clocks", "", paramClock, "aligned")
		if ask.aligned {
			n.Text, n.Link = "Shown as if the clocks agreed. "+n.Text, ask.link("Show the times as they were sent", "",
				paramClock, "")
		}
		notes = append(notes, n)
	}
	var early *query.Node
	var future *query.Node
	now := e.Now()
	tree.Walk(func(n *query.Node) bool {
		if n.Ahead == 0 && n.Early > 0 && (early == nil || n.Early > early.Early) {
			early = n
		}
		if n.Start.Sub(now) >= ahead && (future == nil || n.Start.After(future.Start)) {
			future = n
		}
		return true
	})
	if early != nil {
		n := traceNote{Text: fmt.Sprintf("%s starts %s before its parent %s: ", nameOf(early), duration(early.Early),
			nameOf(early.Parent)), Link: showSpan(ask, early)}
		if early.Service == early.Parent.Service {
			n.Text += "one service recorded both, so its clock was set back meanwhile, or the parent is not the caller."
		} else {
			n.Text += "the clocks of " + clip(early.Parent.Service) + " and " + clip(early.Service) + " disagree."
		}
		notes = append(notes, n)
	}
	if future != nil {
		notes = append(notes,
			traceNote{Text: fmt.Sprintf("%s of %s starts %s in the future: by the clock of this machine it is %s.",
				nameOf(future), clip(future.Service),
				duration(future.Start.Sub(now)), now.Format("15:04:05")), Link: showSpan(ask, future)})
	}
	return notes
}

// nameOf returns a span's name as a sentence uses it.
func nameOf(n *query.Node) string { return cmp.Or(label(n.Name), noName) }

// showSpan leads to a span.
func showSpan(ask traceAsk, n *query.Node) control {
	return ask.link("Show span", "", append(whole(), paramSpan, n.SpanID, paramView, "")...)
}

// Flags of a span about its parent (trace.proto, message Span, flags).
const (
	flagSampled   = 0x001
	flagHasRemote = 0x100 // whether the parent is in another process is known
	flagRemote    = 0x200 // it is
)

// orphanNotes says where the parents that are missing were, and why they may be missing.
func (e *explorer) orphanNotes(tree *query.Tree, ask traceAsk) (notes []traceNote) {
	type cause struct {
		service         string
		remote, sampled bool
	}
	spans := map[cause][]*query.Node{}
	var order []cause
	for _, n := range tree.Roots {
		if !n.Orphan {
			continue
		}
		c := cause{n.Service, n.Kind == query.KindServer || n.Kind == query.KindConsumer, n.Flags == 0 ||
			n.Flags&flagSampled != 0}
		if n.Flags&flagHasRemote != 0 {
			c.remote = n.Flags&flagRemote != 0
		}
		if spans[c] == nil {
			order = append(order, c)
		}
		spans[c] = append(spans[c], n)
	}
	late := ""
	if e.Now().Sub(tree.End) < recentFor {
		late = " Or it is still on its way: this page looks again."
	}
	for _, c := range order[:min(len(order), maxCauses)] {
		first, service := spans[c][0], clip(c.service)
		text := fmt.Sprintf("The parent of %s in %s was in the same program, and is missing: "+
			"it has not ended, or was dropped before it was sent, by a full queue or the end of the program.", nameOf(first), service)
		switch {
		case c.remote && !c.sampled:
			text = fmt.Sprintf("The caller of %s in %s is missing: its flags say that it was not sampled.",
				nameOf(first), service)
		case c.remote:
			text = fmt.Sprintf("The caller of %s in %s is missing: the trace was lost at the hop into %s. "+
				"The caller does not send its spans here, or did not sample the trace.", nameOf(first), service, service)
		}
		if more := len(spans[c]) - 1; more > 0 {
			text += fmt.Sprintf(" The same goes for %s more.", count(more, "span", "spans"))
		}
		notes = append(notes, traceNote{Text: text + late, Link: showSpan(ask, first)})
	}
	return notes
}

// lineNotes names the services that answered calls of the trace and have no log line in it, although
// others have, and the lines without a trace ID that they wrote meanwhile.
func (e *explorer) lineNotes(ctx context.Context, t *query.Trace, tree *query.Tree,
	lines []query.LogLine) (notes []traceNote) {
	written := map[string]int{}
	var writers []string
	for _, l := range lines {
		if written[l.Service()]++; written[l.Service()] == 1 {
			writers = append(writers, clip(l.Service()))
		}
	}
	spans, answers := map[string]int{}, map[string]bool{}
	var silent []string
	for i := range t.Spans {
		s := &t.Spans[i]
		spans[s.Service]++
		if server := s.Kind == query.KindServer || s.Kind == query.KindConsumer; server && !answers[s.Service] &&
			written[s.Service] == 0 {
			answers[s.Service] = true
			silent = append(silent, s.Service)
		}
	}
	if len(silent) == 0 || len(silent) > maxOddServices || len(writers) == 0 {
		return nil
	}
	const margin = time.Second
	meanwhile := window{Start: tree.Start.Add(-margin), End: tree.End.Add(margin)}
	if meanwhile.Start.Before(earliest()) || meanwhile.End.After(latest()) ||
		meanwhile.End.Sub(meanwhile.Start) > maxWindow {
		return nil
	}
	var quoted []string
	for _, s := range silent {
		quoted = append(quoted, regexp.QuoteMeta(s))
	}
	ctx, cancel := context.WithTimeout(ctx, linesPatient)
	defer cancel()
	res, err := e.Loki.QueryRange(ctx, query.LogQuery{LogQL: "{" + contract.StreamService + "=~" +
		query.Quote(strings.Join(quoted, "|")) + "}",
		Start: meanwhile.Start, End: meanwhile.End, Limit: maxOddLines})
	if err != nil {
		return []traceNote{{Text: "The log lines of " + list(silent) + " could not be read: " + err.Error()}}
	}
	without := map[string]int{}
	for _, l := range res.Lines {
		if l.TraceID() == "" {
			without[l.Service()]++
		}
	}
	var quiet []string
	for _, s := range silent {
		if without[s] == 0 {
			quiet = append(quiet, s)
			continue
		}
		notes = append(notes,
			traceNote{Text: fmt.Sprintf("%s has %s in this trace and no log line, while %s. "+
				"Meanwhile it wrote %s without a trace ID.", clip(s),
				count(spans[s], "span", "spans"), haveLines(writers, len(lines)), count(without[s], "line", "lines")),
				Link: control{Text: "Show the lines", Href: logsHref(query.LogFilter{Service: s}, "", meanwhile)}})
	}
	if len(quiet) > 0 && e.Now().Sub(tree.End) > freshFor {
		notes = append(notes, traceNote{Soft: true,
			Text: fmt.Sprintf("%s %s calls in this trace and wrote no log line that names it, while %s.", list(quiet),
				plural(len(quiet), "answers", "answer"), haveLines(writers, len(lines)))})
	}
	return notes
}

// haveLines says which services wrote lines.
func haveLines(writers []string, lines int) string {
	return list(writers) + " wrote " + count(lines, "line", "lines")
}

// list names services in a sentence.
func list(names []string) string {
	names = slices.Clone(names)
	for i := range names {
		names[i] = clip(names[i])
	}
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed], fmt.Sprintf("%d more", more))
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

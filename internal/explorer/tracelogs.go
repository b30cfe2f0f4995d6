package explorer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// Limits of the log lines on the page of a trace.
const (
	maxLines     = 500             // that are read
	maxSpanLines = 20              // that are listed with a span
	maxRowMarks  = 40              // of a row
	linesPatient = 3 * time.Second // the longest wait for lines: a page without them is better than none
)

// traceLines are the log lines of a trace, oldest first.
type traceLines struct {
	lines []query.LogLine
	err   error
}

// spanLine is a log line as the details of its span show it.
type spanLine struct {
	At, Level, LevelClass, Text string
	Time                        moment
	Service, Class              string
}

// linesOf reads the log lines that name a trace.
func (e *explorer) linesOf(ctx context.Context, id string, w window) traceLines {
	ctx, cancel := context.WithTimeout(ctx, linesPatient)
	defer cancel()
	res, err := e.Loki.QueryRange(ctx, query.LogQuery{LogQL: query.LogFilter{TraceID: id}.LogQL(), Start: w.Start,
		End: w.End, Limit: maxLines})
	if err != nil {
		return traceLines{err: err}
	}
	slices.Reverse(res.Lines)
	return traceLines{lines: res.Lines}
}

// spanLine formats a line; start is the beginning of the trace.
func (e *explorer) spanLine(l query.LogLine, start time.Time) spanLine {
	row := e.logRow(l)
	text := []string{clip(row.Message)}
	for _, f := range row.Summary {
		text = append(text, f.Key+"="+label(f.Value))
	}
	return spanLine{At: offset(l.Time.Sub(start)), Level: row.Level, LevelClass: row.LevelClass,
		Text: strings.Join(text, " "), Time: row.Time,
		Service: row.Service, Class: row.Class}
}

// marked has the marks in the row of a span.
type marked struct {
	marks     []rowMark
	lines     []spanLine
	moreLines int
	group     []rowMark // in the row of the group that begins with the span
}

// placeLines finds the span of each line, and counts the lines that name none of the tree.
func placeLines(tree *query.Tree, lines []query.LogLine) (byNode map[*query.Node][]query.LogLine, without int) {
	byNode = map[*query.Node][]query.LogLine{}
	if len(lines) == 0 {
		return byNode, 0
	}
	type place struct{ span, service string }
	nodes := make(map[place]*query.Node, tree.Spans)
	tree.Walk(func(n *query.Node) bool {
		for _, p := range []place{{n.SpanID, n.Service}, {n.SpanID, ""}} {
			if nodes[p] == nil {
				nodes[p] = n
			}
		}
		return true
	})
	for _, l := range lines {
		n := cmp.Or(nodes[place{l.SpanID(), l.Service()}], nodes[place{l.SpanID(), ""}])
		if n == nil {
			without++
			continue
		}
		byNode[n] = append(byNode[n], l)
	}
	return byNode, without
}

// marks returns the events and log lines of each row. Those of a span without a row are in the row
// of its group, or of the span above it.
func (wf *waterfall) marks(s *selection) map[*query.Node]marked {
	out := map[*query.Node]marked{}
	for n := range s.rows {
		m := out[n]
		for _, ev := range n.Events[:min(len(n.Events), maxSpanRecords)] {
			if hasTime(ev) {
				m.marks = wf.addMark(m.marks, ev.Time, clip(ev.Name)+" "+wf.eventTime(ev), false,
					ev.Name == "exception")
			}
		}
		out[n] = m
	}
	wf.tree.Walk(func(n *query.Node) bool { // in order, so that the same lines are marked each time
		for _, l := range wf.lines[n] {
			line := wf.view.spanLine(l, wf.tree.Start)
			text := strings.TrimSpace(line.Level+" "+label(line.Text)) + " " + line.At
			at := n
			for at != nil && !s.rows[at] && s.groups[at] == nil {
				at = at.Parent
			}
			if at == nil {
				continue
			}
			if g := s.groups[at]; g != nil && !s.rows[at] {
				m := out[g.members[0]]
				m.group = wf.addMark(m.group, l.Time, text, true, line.LevelClass == "bad")
				out[g.members[0]] = m
				continue
			}
			m := out[at]
			m.marks = wf.addMark(m.marks, l.Time, text, true, line.LevelClass == "bad")
			if at == n {
				if len(m.lines) < maxSpanLines {
					m.lines = append(m.lines, line)
				} else {
					m.moreLines++
				}
			}
			out[at] = m
		}
		return true
	})
	return out
}

// addMark adds a mark if its time is shown and there is room.
func (wf *waterfall) addMark(marks []rowMark, at time.Time, title string, line, failed bool) []rowMark {
	x := wf.scale.At(at)
	if wf.ask.to > 0 && (x < 0 || x > 100) || len(marks) >= maxRowMarks {
		return marks
	}
	return append(marks, rowMark{X: chart.Percent(max(0, min(x, 100))), Title: title, Line: line, Failed: failed})
}

// linesText says how many log lines a trace has.
func linesText(n int) string {
	if n == maxLines {
		return fmt.Sprintf("the first %d", n)
	}
	return grouped(n)
}

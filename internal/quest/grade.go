package quest

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// Question is one question of a quest.
type Question struct {
	ID      string
	Ask     string
	Form    string   // what an answer looks like
	Choices []Choice // what may be answered; none: text
	// grade returns why an answer is wrong, or "". An error means that it could not be
	// graded.
	grade func(ctx context.Context, g grader, text string) (wrong string, err error)
}

// Choice is a possible answer.
type Choice struct {
	Value string `json:"value"`
	Says  string `json:"says"`
}

// grader holds what answers are graded against.
type grader struct {
	*Engine
	run     *run
	journal Journal           // as it was when the answers came; nothing that grading reads changes
	answers map[string]string // by question, those that stand before this one
}

// tolerance is the error that a time may have: times are read from lists and charts.
const tolerance = 3 * time.Second

// trace returns a stored trace, or why there is none.
func (g grader) trace(ctx context.Context, text string) (t *query.Trace, wrong string, err error) {
	id, err := query.ParseTraceID(text)
	if err != nil || len(strings.TrimSpace(text)) < 32 {
		return nil, "that is no trace ID: it has 32 hexadecimal digits", nil
	}
	g.mu.Lock()
	t = g.run.traces[id]
	g.mu.Unlock()
	if t != nil {
		return t, "", nil
	}
	t, err = g.Tempo.Trace(ctx, id)
	if errors.Is(err, query.ErrNotFound) {
		return nil, "no trace is stored under this ID", nil
	}
	if err != nil {
		return nil, "", err
	}
	if g.run.quest.incident() { // what was rolled in an incident has arrived; an exercise's roll may be of this moment
		g.mu.Lock()
		g.run.traces[id] = t
		g.mu.Unlock()
	}
	return t, "", nil
}

// moment returns when the roll of a trace was made: by the journal, or else by its spans.
func (g grader) moment(t *query.Trace) (at time.Time, part int, known bool) {
	for _, r := range g.journal.Rolls {
		if r.TraceID == t.ID {
			return r.Start, r.Part, true
		}
	}
	return t.Tree().Start, -1, false
}

// inside returns why a trace does not lie in the incident, or "".
func (g grader) inside(t *query.Trace) string {
	j := g.journal
	at, part, known := g.moment(t)
	switch {
	case known && part == before || !known && at.Before(j.From.Add(-time.Second)):
		return "this trace is of before the incident"
	case known && part == after || !known && at.After(j.To.Add(time.Second)):
		return "this trace is of after the incident"
	}
	return ""
}

// shows returns why a trace is no evidence of the incident, or "".
func (g grader) shows(t *query.Trace) string {
	if wrong := g.inside(t); wrong != "" {
		return wrong
	}
	return causes()[g.run.incident.Cause].shows(t, g.run.incident)
}

// affected returns the traces of the quest's rolls: whether each shows the incident.
func (g grader) affected(ctx context.Context) (map[string]bool, error) {
	found := map[string]bool{}
	for _, r := range g.journal.Rolls {
		if r.TraceID == "" {
			continue
		}
		found[r.TraceID] = false
		if r.Part != within || r.Harmless {
			continue
		}
		t, wrong, err := g.trace(ctx, r.TraceID)
		if err != nil {
			return nil, err
		}
		found[r.TraceID] = wrong == "" && g.shows(t) == ""
	}
	return found, nil
}

func what() Question {
	q := Question{ID: "what", Ask: "What broke?", Form: "one of the list"}
	names := []string{"slow", "needle", "errors", "propagation", "export", "sampling", "log-ids", "log-spelling", "clock", "counter", "retries", "timeout"}
	for _, name := range names {
		q.Choices = append(q.Choices, Choice{name, causes()[name].says})
	}
	q.grade = func(_ context.Context, g grader, text string) (string, error) {
		c, ok := causes()[text]
		switch {
		case !ok:
			return "that is none of the list: " + strings.Join(names, ", "), nil
		case text != g.run.incident.Cause:
			return "If it were so, " + c.would + ". That is not what is stored.", nil
		}
		return "", nil
	}
	return q
}

// choose returns a question with choices. One of them is the incident's.
func choose(id, ask string, list []string, right func(Incident) string, wrong string) Question {
	q := Question{ID: id, Ask: ask, Form: "one of the list"}
	for _, v := range list {
		q.Choices = append(q.Choices, Choice{v, v})
	}
	q.grade = func(_ context.Context, g grader, text string) (string, error) {
		switch {
		case !slices.Contains(list, text):
			return "that is none of the list: " + strings.Join(list, ", "), nil
		case text != right(g.run.incident):
			return wrong, nil
		}
		return "", nil
	}
	return q
}

func where() Question {
	return choose("where", "In which service is the cause?", contract.Services(), func(in Incident) string { return in.Service },
		"The other service is as it was. Which one's own signals have changed?")
}

func whose() Question {
	return choose("who", "Which rolls are affected?", append(contract.Dice(), "all"), func(in Incident) string {
		if in.Die == "" {
			return "all"
		}
		return in.Die
	}, "Compare affected rolls with those that are not: this is not what tells them apart.")
}

// when returns the questions about begin and end.
func when() []Question {
	q := func(id, ask string, edge func(Journal) time.Time, early, late string) Question {
		return Question{ID: id, Ask: ask, Form: "a time as the pages show it, such as 14:05:09; within 3 s", grade: func(_ context.Context, g grader, text string) (string, error) {
			j := g.journal
			at, err := clockTime(text, edge(j))
			if err != nil {
				return "that is no time: write it as 14:05:09", nil
			}
			switch off := at.Sub(edge(j)); {
			case off < -tolerance:
				return early, nil
			case off > tolerance:
				return late, nil
			}
			return "", nil
		}}
	}
	return []Question{
		q("from", "When did it begin? The time of the first roll that shows it.", func(j Journal) time.Time { return j.From },
			"At that time rolls were still well: it began later.", "Rolls before that time show it already: it began earlier."),
		q("to", "When did it end? The time of the last roll that shows it.", func(j Journal) time.Time { return j.To },
			"Rolls after that time still show it: it ended later.", "At that time rolls were well again: it ended earlier."),
	}
}

// clockTime reads a time of day as one near another time, in its zone; or a whole time.
func clockTime(text string, near time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	at, err := time.ParseInLocation("15:04:05", text, near.Location()) // takes fractions, too
	if err != nil {
		return at, err
	}
	y, m, d := near.Date()
	at = time.Date(y, m, d, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), near.Location())
	for _, days := range []int{-1, 1} { // near midnight
		if other := at.AddDate(0, 0, days); other.Sub(near).Abs() < at.Sub(near).Abs() {
			at = other
		}
	}
	return at, nil
}

const traceForm = "a trace ID, 32 hexadecimal digits"

func traceThat() Question {
	return Question{ID: "trace", Ask: "A trace that shows it.", Form: traceForm, grade: func(ctx context.Context, g grader, text string) (string, error) {
		t, wrong, err := g.trace(ctx, text)
		if err != nil || wrong != "" {
			return wrong, err
		}
		return g.shows(t), nil
	}}
}

// spanThat returns the question for the span of the trace that shows it.
func spanThat(ask string) Question {
	return Question{ID: "span", Ask: ask, Form: "a span ID, 16 hexadecimal digits", grade: func(ctx context.Context, g grader, text string) (string, error) {
		n, wrong, err := g.span(ctx, text)
		if err != nil || wrong != "" {
			return wrong, err
		}
		return causes()[g.run.incident.Cause].span(n, g.run.incident), nil
	}}
}

// noSuchSpan is why a span of the trace that was answered is none.
const noSuchSpan = "the trace that you gave has no such span"

// span returns a span of the trace that was answered.
func (g grader) span(ctx context.Context, text string) (*query.Node, string, error) {
	id, err := query.ParseSpanID(text)
	if err != nil {
		return nil, "that is no span ID: it has 16 hexadecimal digits", nil
	}
	if g.answers["trace"] == "" {
		return nil, "give the trace, too: a span is looked for in it", nil
	}
	t, wrong, err := g.trace(ctx, g.answers["trace"])
	if err != nil || wrong != "" {
		return nil, wrong, err
	}
	if n := t.Tree().Find(id); n != nil {
		return n, "", nil
	}
	return nil, noSuchSpan, nil
}

// number returns a question for a number.
func number(id, ask, form string, right func(Incident) float64, within float64, wrong string) Question {
	return Question{ID: id, Ask: ask, Form: form, grade: func(_ context.Context, g grader, text string) (string, error) {
		n, err := strconv.ParseFloat(strings.TrimPrefix(text, "+"), 64)
		switch {
		case err != nil:
			return "that is no number", nil
		case math.Abs(n-right(g.run.incident)) > within:
			return wrong, nil
		}
		return "", nil
	}}
}

// lost returns the question for a span that was made and is not stored.
func lost() Question {
	return Question{ID: "lost", Ask: "A span that was made and is not stored: its ID, from a log line of the trace or as the parent of a stored span.",
		Form: "a span ID, 16 hexadecimal digits", grade: func(ctx context.Context, g grader, text string) (string, error) {
			n, wrong, err := g.span(ctx, text)
			switch {
			case err != nil:
				return "", err
			case n != nil:
				return "this span is stored", nil
			case wrong != noSuchSpan:
				return wrong, nil
			}
			t, _, err := g.trace(ctx, g.answers["trace"])
			if err != nil {
				return "", err
			}
			if slices.ContainsFunc(t.Spans, func(s query.Span) bool { return s.ParentID == text }) {
				return "", nil
			}
			lines, err := g.lines(ctx, query.LogFilter{TraceID: t.ID}.LogQL())
			if err != nil {
				return "", err
			}
			if slices.ContainsFunc(lines, func(l query.LogLine) bool { return l.SpanID() == text }) {
				return "", nil
			}
			return "nothing that is stored names this span: neither a log line of the trace nor a span as its parent", nil
		}}
}

// lines runs a LogQL query over the time of the quest.
func (g grader) lines(ctx context.Context, logQL string) ([]query.LogLine, error) {
	from, to := g.rolled()
	r, err := g.Loki.QueryRange(ctx, query.LogQuery{LogQL: logQL, Start: from, End: to, Limit: maxLines})
	if err != nil {
		return nil, err
	}
	return r.Lines, nil
}

const (
	maxLines  = 5000
	maxTraces = 1000
)

// rolled returns the time of the quest's rolls, and of what they left.
func (g grader) rolled() (from, to time.Time) {
	j := g.journal
	return j.Began.Add(-time.Second), g.clock().Add(time.Minute)
}

// half returns the question for the other half of a roll whose trace is in two.
func half() Question {
	return Question{ID: "other", Ask: "The other half of the same roll: the trace that the other service made of it.", Form: traceForm,
		grade: func(ctx context.Context, g grader, text string) (string, error) {
			if g.answers["trace"] == "" {
				return "give the trace, too: this is the other half of it", nil
			}
			a, wrong, err := g.trace(ctx, g.answers["trace"])
			if err != nil || wrong != "" {
				return wrong, err
			}
			b, wrong, err := g.trace(ctx, text)
			if err != nil || wrong != "" {
				return wrong, err
			}
			if wrong := showsApart(b, g.run.incident); wrong != "" {
				return wrong, nil
			}
			if slices.Equal(a.Services(), b.Services()) {
				return "this trace is of the same service: it is the half of another roll", nil
			}
			client, server := callOf(a)
			if c, s := callOf(b); c != nil {
				client = c
			} else {
				server = s
			}
			if server.Start.Before(client.Start) || server.End().After(client.End()) || a.Text(contract.AttrDieType) != b.Text(contract.AttrDieType) {
				return "this is the half of another roll: time and die do not fit", nil
			}
			return "", nil
		}}
}

// line returns the question for a log line that shows it.
func line() Question {
	return Question{ID: "line", Ask: "A log line that shows it.", Form: "the whole line, a JSON object", grade: func(ctx context.Context, g grader, text string) (string, error) {
		in := g.run.incident
		lines, err := g.lines(ctx, query.LogFilter{}.LogQL())
		if err != nil {
			return "", err
		}
		i := slices.IndexFunc(lines, func(l query.LogLine) bool { return strings.TrimSpace(l.Text) == text })
		switch {
		case i < 0:
			return "no such line was stored since the quest began: copy the whole line", nil
		case lines[i].Service() != in.Service:
			return "this line is as it should be", nil
		case g.shown(lines[i]):
			return "", nil
		}
		return "this line has its trace_id, or belongs to no roll", nil
	}}
}

// shown reports whether a log line shows an incident of log lines.
func (g grader) shown(l query.LogLine) bool {
	j := g.journal
	in := g.run.incident
	return l.Service() == in.Service && l.TraceID() == "" && l.Field(contract.FieldDieType) != "" &&
		!l.Time.Before(j.From.Add(-time.Second)) && !l.Time.After(j.To.Add(time.Second)) && (l.Field("traceID") != "") == (in.Cause == "log-spelling")
}

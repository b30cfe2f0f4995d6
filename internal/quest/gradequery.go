package quest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"dicelab/internal/query"
)

// The languages of queries, as they may stand before one.
const (
	traceQL = "traceql"
	logQL   = "logql"
	promQL  = "promql"
)

// separates is the share of the affected rolls that a query must find. It need not be all
// of them, since a learner may set a threshold a little too high.
const separates = 0.8

// queryThat returns the question for a query whose result separates affected rolls from
// others. language is that of a query without a prefix.
func queryThat(language, ask string) Question {
	form := map[string]string{traceQL: "a TraceQL query, or a LogQL query behind logql:", logQL: "a LogQL query, or a TraceQL query behind traceql:",
		promQL: "a PromQL query, which is true where it has a series with a value other than 0"}[language]
	return Question{ID: "query", Ask: ask, Form: form, grade: func(ctx context.Context, g grader, text string) (wrong string, err error) {
		lang := language
		for _, l := range []string{traceQL, logQL, promQL} {
			if rest, ok := strings.CutPrefix(text, l+":"); ok {
				lang, text = l, strings.TrimSpace(rest)
			}
		}
		switch {
		case lang == promQL && language == promQL:
			wrong, err = g.alert(ctx, text)
		case lang == promQL || language == promQL:
			return "a query of this language cannot separate the rolls of this quest", nil
		case lang == traceQL && causes()[g.run.incident.Cause].shows == nil:
			return "traces are as they should be: a TraceQL query cannot separate the rolls of this quest", nil
		case lang == traceQL:
			wrong, err = g.separateTraces(ctx, text)
		default:
			wrong, err = g.separateLines(ctx, text)
		}
		if refused, ok := errors.AsType[*query.Error](err); ok && refused.Status == 400 {
			return refused.Server + " does not accept this query: " + refused.Message, nil
		}
		return wrong, err
	}}
}

func (g grader) separateTraces(ctx context.Context, text string) (string, error) {
	from, to := g.rolled()
	found, err := g.Tempo.Search(ctx, query.Search{TraceQL: text, Start: from, End: to, Limit: maxTraces})
	if err != nil {
		return "", err
	}
	var ids []string
	for _, t := range found.Traces {
		ids = append(ids, t.TraceID)
	}
	return g.separate(ctx, ids)
}

// separate returns why traces are not those that are affected, or "".
func (g grader) separate(ctx context.Context, ids []string) (string, error) {
	if len(ids) == 0 {
		return "this query finds nothing in the time of the quest", nil
	}
	known, err := g.affected(ctx)
	if err != nil {
		return "", err
	}
	all, hit, others, odd := 0, map[string]bool{}, 0, ""
	for _, affected := range known {
		if affected {
			all++
		}
	}
	for _, id := range ids {
		affected, ours := known[id]
		if !ours { // the other half of a roll, or a roll that somebody else made
			t, wrong, err := g.trace(ctx, id)
			if err != nil {
				return "", err
			}
			affected = wrong == "" && g.shows(t) == ""
		}
		switch {
		case affected:
			hit[id] = true
		case ours:
			others++
			odd = id
		}
	}
	switch {
	case others > 0 && len(hit) == 0:
		return "this query finds no affected roll, but others, such as " + odd, nil
	case others > 0:
		return fmt.Sprintf("this query does not separate: it finds %d rolls that are not affected, too, such as %s", others, odd), nil
	case float64(len(hit)) < separates*float64(all):
		return fmt.Sprintf("this query finds %d affected rolls, and misses others", len(hit)), nil
	}
	return "", nil
}

func (g grader) separateLines(ctx context.Context, text string) (string, error) {
	lines, err := g.lines(ctx, text)
	if err != nil {
		return "", err
	}
	if len(lines) == 0 {
		return "this query finds no lines in the time of the quest", nil
	}
	if causes()[g.run.incident.Cause].shows != nil {
		var ids []string
		for _, l := range lines {
			if id := l.TraceID(); id != "" {
				ids = append(ids, id)
			}
		}
		return g.separate(ctx, ids)
	}
	every, err := g.lines(ctx, query.LogFilter{Service: g.run.incident.Service}.LogQL())
	if err != nil {
		return "", err
	}
	all, hit := 0, 0
	for _, l := range every {
		if g.shown(l) {
			all++
		}
	}
	for _, l := range lines {
		switch {
		case g.shown(l):
			hit++
		case l.TraceID() != "":
			return "this query does not separate: it finds lines that are as they should be, too, such as: " + query.Clip(l.Text, 160), nil
		}
	}
	if float64(hit) < separates*float64(all) {
		return fmt.Sprintf("this query finds %d affected lines, and misses others", hit), nil
	}
	return "", nil
}

// alert returns why a PromQL query is not one that would have warned: quiet before the
// incident, true in it.
func (g grader) alert(ctx context.Context, text string) (string, error) {
	j := g.journal
	began := j.of(before)[0].Start
	step := min(time.Second, g.Scrape/2)
	lag := 2 * g.Scrape
	result, err := g.Prometheus.QueryRange(ctx, text, began, j.To.Add(lag), step)
	if err != nil {
		return "", err
	}
	early, late := false, false
	for _, s := range result.Series {
		for _, p := range s.Points {
			if math.IsNaN(p.Value) || math.Abs(p.Value) < 1e-3 {
				continue
			}
			if p.Time.Before(j.From) {
				early = true
			} else {
				late = true
			}
		}
	}
	switch {
	case len(result.Series) == 0:
		return "this query has no result in the time of the quest", nil
	case early && late:
		return "this query does not separate: it is true before the incident, too", nil
	case early:
		return "this query is true before the incident, and not in it", nil
	case !late:
		return "this query is 0 in the incident as before: it would have warned nobody", nil
	}
	return "", nil
}

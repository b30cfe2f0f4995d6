package explorer

import (
	"context"
	"html/template"
	"slices"
	"time"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// levelClasses are the levels of log lines that have a colour, in the order in which a
// histogram piles them up: what is worse lies at the bottom, where it is seen.
func levelClasses() [][2]string {
	return [][2]string{{"error", "c-bad"}, {"warn", "c-warn"}, {"info", "c-s0"}, {"debug", "c-other"}, {"trace", "c-other"}, {"no level", "c-none"}}
}

// levelOf returns which of the levels a spelling means.
func levelOf(spelling string) string {
	switch query.NormalLevel(spelling) {
	case query.LevelError, query.LevelCritical:
		return "error"
	case query.LevelWarning:
		return "warn"
	case query.LevelInfo:
		return "info"
	case query.LevelDebug:
		return "debug"
	case query.LevelTrace:
		return "trace"
	}
	return "no level"
}

// histogram draws the number of lines that a query finds, by level and over time. Each bar
// leads to its lines.
func (e *explorer) histogram(ctx context.Context, logQL string, win window, href func(window) string) (template.HTML, []legendItem, error) {
	step := win.step()
	// The line break ends a comment, which the query may end with.
	counted := "sum by (level, detected_level) (count_over_time(" + logQL + "\n[" + step.String() + "]))"
	found, err := e.Loki.QueryRange(ctx, query.LogQuery{LogQL: counted, Start: win.Start, End: win.End, Step: step})
	if err != nil {
		return "", nil, err
	}
	zone := e.Now().Location()
	counts := map[string]map[time.Time]float64{}
	for _, s := range found.Series {
		level := levelOf(s.Labels["detected_level"])
		if l := s.Labels["level"]; l != "" {
			level = levelOf(l)
		}
		if counts[level] == nil {
			counts[level] = map[time.Time]float64{}
		}
		for _, p := range s.Points {
			counts[level][p.Time.In(zone)] += p.Value
		}
	}
	h := chart.Histogram{Label: "Lines over time, by level", Start: win.Start.In(zone), End: win.End.In(zone), Step: step, Moments: e.moments(),
		Href: func(end time.Time) string { return href(window{Start: end.Add(-step), End: end}) }}
	var legend []legendItem
	for _, level := range levelClasses() {
		name, class := level[0], level[1]
		line := chart.Line{Name: name, Class: class}
		total := 0.0
		for at, n := range counts[name] {
			line.Samples = append(line.Samples, chart.Sample{Time: at, Value: n})
			total += n
		}
		if total == 0 {
			continue
		}
		slices.SortFunc(line.Samples, func(a, b chart.Sample) int { return a.Time.Compare(b.Time) })
		h.Lines = append(h.Lines, line)
		legend = append(legend, legendItem{name, class, short(total)})
	}
	if len(h.Lines) == 0 {
		return "", nil, nil
	}
	return h.HTML(), legend, nil
}

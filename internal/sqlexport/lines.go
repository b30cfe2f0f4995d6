package sqlexport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// pageLines is the most lines of one answer, Loki's default limit
// (max_entries_limit_per_query).
const pageLines = 5000

// lines writes all log lines, a stretch of at most maxWindow after the other.
func (e *export) lines(ctx context.Context) error {
	for from := e.From; from.Before(e.To); from = from.Add(maxWindow) {
		to := from.Add(maxWindow)
		if to.After(e.To) {
			to = e.To
		}
		labels, err := e.Loki.Labels(ctx, from, to)
		if err != nil {
			return err
		}
		for _, selector := range selectors(labels) {
			if err := e.selected(ctx, selector, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// selectors returns LogQL's selectors of which exactly one matches any stream. A
// selector must name a label that is not empty, and no label is on all streams: so
// each selects the streams that have a label and none of those before.
func selectors(labels []string) []string {
	labels = slices.Clone(labels)
	slices.SortStableFunc(labels, func(a, b string) int { // what nearly every stream has comes first
		switch {
		case a == contract.StreamService && b != a:
			return -1
		case b == contract.StreamService && a != b:
			return 1
		}
		return strings.Compare(a, b)
	})
	var list []string
	without := ""
	for _, name := range labels {
		list = append(list, fmt.Sprintf(`{%s=~".+"%s}`, name, without))
		without += fmt.Sprintf(`, %s=""`, name)
	}
	return list
}

// selected writes the lines of the streams that a selector matches.
func (e *export) selected(ctx context.Context, selector string, from, to time.Time) error {
	return windows(from, to, time.Nanosecond, func(from, to time.Time, last bool) (float64, error) {
		lines, err := e.Loki.Page(ctx, query.LogQuery{LogQL: selector, Start: from, End: to, Limit: pageLines})
		if failed, ok := errors.AsType[*query.Error](err); ok && failed.TooLong() && !last {
			return full, nil
		}
		switch {
		case err != nil:
			return 0, err
		case len(lines) >= pageLines && last:
			return 0, lost("the log lines", e.Loki.URL(), from)
		case len(lines) >= pageLines:
			return full, nil
		}
		for _, line := range lines {
			if err := e.file.AddLine(ctx, line); err != nil {
				return 0, err
			}
			e.counts.Lines++
		}
		e.progress()
		return float64(len(lines)) / pageLines, nil
	})
}

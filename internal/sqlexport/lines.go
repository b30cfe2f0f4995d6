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

// maxWindow is the longest time that one query covers. Servers refuse long ones:
// Tempo above 168 hours, Loki above 30 days, unless they are configured otherwise.
const maxWindow = 24 * time.Hour

// readLines reads all log lines, a stretch of at most maxWindow after the other.
func (e *export) readLines(ctx context.Context, send func([]query.LogLine) error) error {
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
			if err := e.selected(ctx, selector, from, to, send); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *export) writeLines(ctx context.Context, page []query.LogLine) error {
	for _, line := range page {
		if err := e.file.AddLine(ctx, line); err != nil {
			return err
		}
		e.counts.Lines++
	}
	e.Progress(e.counts)
	return nil
}

// selectors returns LogQL selectors such that exactly one of them matches any stream. A selector
// must name a label that is not empty, and no label is on all streams. So each selects the streams
// that have one label and none of the labels before it.
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

// selected reads the lines of the streams that a selector matches, page by page: a
// server gives the oldest ones first, so the next page begins where one ended.
func (e *export) selected(ctx context.Context, selector string, from, to time.Time,
	send func([]query.LogLine) error) error {
	limit, most := pageLines, pageLines
	for {
		page, err := e.Loki.Page(ctx, query.LogQuery{LogQL: selector, Start: from, End: to, Limit: limit})
		if failed, ok := errors.AsType[*query.Error](err); ok && failed.TooLong() && limit > 1 {
			limit /= 2
			most = limit
			continue
		}
		if err != nil {
			return err
		}
		if len(page) < limit {
			return send(page)
		}
		// There may be more lines of the last time.
		last := page[len(page)-1].Time
		page = slices.DeleteFunc(page, func(l query.LogLine) bool { return l.Time.Equal(last) })
		switch {
		case len(page) > 0:
			if err := send(page); err != nil {
				return err
			}
			from, most = last, pageLines
		case limit == most:
			return lost("the log lines", e.Loki.URL(), last)
		}
		limit = min(2*limit, most)
	}
}

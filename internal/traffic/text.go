package traffic

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The forms of a report.
const (
	FormText = "text"
	FormJSON = "json"
	FormNone = "none"
)

// Write writes the report in a form.
func (r Report) Write(out io.Writer, form string) (err error) {
	switch form {
	case FormText:
		err = r.Text(out)
	case FormJSON:
		err = json.NewEncoder(out).Encode(r)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// WriteReport writes the report of the run in a form.
func (g *Generator) WriteReport(out io.Writer, form string) error {
	r, err := g.Report()
	if err != nil {
		return err
	}
	return r.Write(out, form)
}

// Text writes the report for a person.
func (r Report) Text(out io.Writer) error {
	var b strings.Builder
	p := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
	p("target", "%s %s", r.Target, r.URL)
	p("seed", "%d", r.Seed)
	rate := perSecond(r.Achieved)
	if r.Offered > 0 {
		rate = fmt.Sprintf("offered %s, achieved %s, sent late by %s at most", perSecond(r.Offered), perSecond(r.Achieved), show(r.Late))
	}
	p("rolls", "%d in %s: %s", r.Rolls, show(r.Sending), rate)
	if r.Rolls == 0 {
		_, err := io.WriteString(out, b.String())
		return err
	}
	name := "outcomes"
	for _, outcome := range slices.SortedFunc(maps.Keys(r.Outcomes), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Outcomes[b], r.Outcomes[a]), cmp.Compare(a, b))
	}) {
		n := r.Outcomes[outcome]
		p(name, "%7d  %5.1f %%  %s", n, 100*float64(n)/float64(r.Rolls), spell(outcome))
		name = ""
	}
	l := r.Latency
	p("latency", "%9s %9s %9s %9s %9s %9s %9s", "min", "mean", "p50", "p90", "p95", "p99", "max")
	p("", "%9s %9s %9s %9s %9s %9s %9s", show(l.Min), show(l.Mean), show(l.P50), show(l.P90), show(l.P95), show(l.P99), show(l.Max))
	r.histogram(p)
	rolls(p, "slowest", r.Slowest)
	rolls(p, "failed", r.Failures)
	p("connections", "%d at most; the limit was %d, and this process may open %d files", r.Connections, r.ConnectionLimit, r.FileLimit)
	p("spans", "%s", r.spans())
	_, err := io.WriteString(out, b.String())
	return err
}

// spell adds the words to a status.
func spell(outcome string) string {
	if status, err := strconv.Atoi(outcome); err == nil {
		return strings.TrimSpace(outcome + " " + http.StatusText(status))
	}
	return outcome
}

// perSecond returns a rate; a low one keeps its digits.
func perSecond(rate float64) string {
	if rate > 0 && rate < 1 {
		return fmt.Sprintf("%.2g/s", rate)
	}
	return fmt.Sprintf("%.1f/s", rate)
}

// show returns a duration as a person reads it.
func show(s Seconds) string {
	switch d := time.Duration(s); {
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// barWidth is the length of the histogram's longest bar, in characters.
const barWidth = 40

// histogram draws the buckets from the first to the last that is not empty.
func (r Report) histogram(p func(name, format string, args ...any)) {
	filled := func(b Bucket) bool { return b.Rolls > 0 }
	first := slices.IndexFunc(r.Histogram, filled)
	if first < 0 {
		return
	}
	last, most := first, 0
	for i, b := range r.Histogram {
		if most = max(most, b.Rolls); filled(b) {
			last = i
		}
	}
	for _, b := range r.Histogram[first : last+1] {
		bar := (b.Rolls*barWidth + most - 1) / most // one roll among a million shows too
		p("", "from %7s  %7d  %s", time.Duration(b.From), b.Rolls, strings.Repeat("#", bar))
	}
}

func rolls(p func(name, format string, args ...any), name string, list []Roll) {
	for _, r := range list {
		where := r.Link
		switch {
		case where != "":
		case r.TraceID != "":
			where = r.TraceID + " (no link)"
		default:
			where = "(no trace)"
		}
		p(name, "%9s  %-5s  %-11s  %s", show(r.Latency), r.Die, r.Outcome, where)
		name = ""
	}
}

func (r Report) spans() string {
	if len(r.Dropped) == 0 {
		return "none dropped"
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(r.Dropped)) {
		parts = append(parts, fmt.Sprintf("%d dropped (%s)", r.Dropped[reason], reason))
	}
	return strings.Join(parts, ", ") + ": not every trace can be found"
}

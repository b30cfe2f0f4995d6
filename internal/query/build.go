package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
)

// SpanFilter selects traces by the spans that they must have. All conditions hold for one
// span; empty ones are left out.
type SpanFilter struct {
	Service string
	Name    string
	Die     string
	// Status is StatusError, StatusOK, StatusUnset, or StatusNotError. Without a condition
	// on a span it is that of the root, which says whether the whole failed.
	Status string
	// Min and Max bound the trace's duration, both included.
	Min, Max time.Duration
}

// StatusNotError means StatusOK or StatusUnset.
const StatusNotError = "not-error"

// Roots is the condition of TraceQL that a span has no parent.
const Roots = "nestedSetParent<0"

// TraceQL writes the filter, "{}" when it is empty.
func (f SpanFilter) TraceQL() string {
	var c []string
	add := func(format string, v any) { c = append(c, fmt.Sprintf(format, v)) }
	switch f.Service {
	case "":
	case UnknownService: // the name itself, or none
		add(`(resource.service.name="" || resource.service.name=%s)`, Quote(f.Service))
	default:
		add("resource.service.name=%s", Quote(f.Service))
	}
	if f.Name != "" {
		add("name=%s", Quote(f.Name))
	}
	if f.Die != "" {
		add("span."+contract.AttrDieType+"=%s", Quote(f.Die))
	}
	if f.Status != "" && len(c) == 0 {
		c = append(c, Roots)
	}
	switch f.Status {
	case "":
	case StatusNotError:
		c = append(c, "status!="+StatusError)
	default:
		add("status=%s", f.Status)
	}
	if f.Min > 0 {
		add("traceDuration>=%s", shortDuration(f.Min))
	}
	if f.Max > 0 {
		add("traceDuration<=%s", shortDuration(f.Max))
	}
	return "{" + strings.Join(c, " && ") + "}"
}

// shortDuration writes a duration in one unit, which TraceQL reads: 1500ms
// rather than Go's 1.5s, and 100ms rather than 0.1s.
func shortDuration(d time.Duration) string {
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}} {
		if d%u.d == 0 {
			return strconv.FormatInt(int64(d/u.d), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}

// LogFilter selects log lines. Empty conditions are left out.
type LogFilter struct {
	Service string
	Level   string
	Text    string // found anywhere in the line
	TraceID string // 32 hex digits
}

// LogQL writes the filter. Without a service it selects every service: Loki
// wants at least one matcher that does not match the empty text.
func (f LogFilter) LogQL() string {
	var b strings.Builder
	b.WriteString("{" + contract.StreamService)
	if f.Service != "" {
		b.WriteString("=" + Quote(f.Service))
	} else {
		b.WriteString(`=~".+"`)
	}
	if f.Level != "" {
		b.WriteString(", " + contract.StreamLevel + "=" + Quote(f.Level))
	}
	b.WriteString("}")
	if f.Text != "" {
		b.WriteString(" |= " + Quote(f.Text))
	}
	if f.TraceID != "" {
		b.WriteString(" | " + contract.FieldTraceID + "=" + Quote(f.TraceID))
	}
	return b.String()
}

// Quote writes a text as TraceQL, LogQL and PromQL read it: in double quotes,
// escaped as in Go, which all three use.
func Quote(s string) string { return strconv.Quote(s) }

package query

import (
	"fmt"
	"regexp"
	"slices"
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
	// Conditions are further ones, on attributes.
	Conditions []Condition
}

// Condition is a condition on an attribute of a span or its resource.
type Condition struct {
	// Attribute is a name with its scope, such as span.http.route, an intrinsic such as
	// name, or a name without a scope, which is searched in both.
	Attribute string
	// Op is one of Ops.
	Op string
	// Value is compared as a number or boolean, too, if it reads as one. An empty value
	// means that the attribute exists.
	Value string
}

// Ops are the comparisons that a condition may have.
func Ops() []string { return []string{"=", "!=", "=~", "!~", ">", ">=", "<", "<="} }

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
	for _, condition := range f.Conditions {
		c = append(c, condition.traceQL())
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

// plainName matches names of attributes that TraceQL reads without quotation marks.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*$`)

// traceQLNames are the intrinsics of TraceQL that need no scope.
func traceQLNames() []string {
	return []string{"duration", "kind", "name", "rootName", "rootServiceName", "status", "statusMessage",
		"traceDuration"}
}

// attributeName writes the name of an attribute as TraceQL reads it.
func attributeName(name string) string {
	if strings.Contains(name, ":") || slices.Contains(traceQLNames(), name) {
		return name
	}
	for _, scope := range []string{"span.", "resource.", "event.", "link.", "instrumentation.", "."} {
		if rest, found := strings.CutPrefix(name, scope); found && rest != "" {
			if !plainName.MatchString(rest) {
				rest = Quote(rest)
			}
			return scope + rest
		}
	}
	if !plainName.MatchString(name) {
		name = Quote(name)
	}
	return "." + name
}

// bareValue matches values that may be numbers, durations, booleans or keywords.
var bareValue = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h)?$|^(true|false)$`)

func (c Condition) traceQL() string {
	name := attributeName(c.Attribute)
	keyword := name == "status" || name == "kind" || strings.HasSuffix(name, ":status") ||
		strings.HasSuffix(name, ":kind")
	bare := bareValue.MatchString(c.Value)
	switch {
	case c.Value == "":
		return name + " != nil"
	case keyword,
		bare && strings.ContainsAny(c.Op, "<>"),
		bare && strings.HasSuffix(strings.ToLower(name), "duration"):
		return name + " " + c.Op + " " + c.Value
	case bare && c.Op == "=": // as it was recorded: a number or a text
		return "(" + name + " = " + c.Value + " || " + name + " = " + Quote(c.Value) + ")"
	case bare && c.Op == "!=":
		return "(" + name + " != " + c.Value + " && " + name + " != " + Quote(c.Value) + ")"
	}
	return name + " " + c.Op + " " + Quote(c.Value)
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
	// Level is one of the Level constants, and found in whatever spelling.
	Level   string
	Text    string // found anywhere in the line
	TraceID string // 32 hex digits
	// Fields are conditions on fields of lines that are JSON, and on labels and
	// structured metadata.
	Fields []FieldCondition
}

// FieldCondition is a condition on a field of a log line.
type FieldCondition struct {
	Key, Value string
	Not        bool // any other value
	InLine     bool // of a line that is JSON; or else a label, or structured metadata
}

// LogQL writes the condition as stages of a LogQL pipeline.
func (c FieldCondition) LogQL() string {
	op := "="
	if c.Not {
		op = "!="
	}
	if !c.InLine {
		return " | " + c.LabelName() + op + Quote(c.Value)
	}
	return c.Extract() + " | " + c.LabelName() + op + Quote(c.Value)
}

// Extract writes the stage of LogQL that makes a label of the field of a line.
func (c FieldCondition) Extract() string {
	if !c.InLine {
		return ""
	}
	return " | json " + c.LabelName() + "=" + Quote("["+Quote(c.Key)+"]")
}

// LabelName returns the name of the label that LogQL has for the field.
func (c FieldCondition) LabelName() string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, c.Key)
}

// spellings returns a regular expression of the spellings of a level, without regard to
// upper and lower case.
func spellings(level string) string {
	switch level {
	case LevelError:
		return "err|error|crit|critical|fatal|ftl|panic|alert|emerg|emergency|50|60"
	case LevelWarning:
		return "wrn|warn|warning|40"
	case LevelInfo:
		return "inf|info|information|informational|notice|30"
	case LevelDebug:
		return "dbg|debug|fine|20"
	case LevelTrace:
		return "trc|trace|verbose|vrb|finer|finest|10"
	}
	return regexp.QuoteMeta(level)
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
	b.WriteString("}")
	if f.Text != "" {
		b.WriteString(" |= " + Quote(f.Text))
	}
	if f.Level != "" {
		pattern := Quote("(?i)(" + spellings(f.Level) + ")")
		b.WriteString(" | " + contract.StreamLevel + "=~" + pattern + " or detected_level=~" + pattern)
	}
	if f.TraceID != "" {
		b.WriteString(" | " + contract.FieldTraceID + "=" + Quote(f.TraceID))
	}
	for _, c := range f.Fields {
		b.WriteString(c.LogQL())
	}
	return b.String()
}

// Quote writes a text as TraceQL, LogQL and PromQL read it: in double quotes,
// escaped as in Go, which all three use.
func Quote(s string) string { return strconv.Quote(s) }

package tempo

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of the numbers in requests.
const (
	defaultLimit = 20
	maxLimit     = 1000
	defaultSpans = 3      // spans per span set
	maxSpans     = 100    // Tempo's default (query_frontend, max_spans_per_span_set)
	maxTags      = 10_000 // names or values in a list
)

// number parses a parameter from 1 to most.
func number(values url.Values, name string, fallback, most int) (int, error) {
	s := values.Get(name)
	if s == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, badRequest("invalid %s: %q: it must be a number from 1 to %d", name, s, most)
	}
	return n, nil
}

// timeRange parses start and end, in seconds since 1970. The second of end is included, so
// that a query until now includes the present second.
func timeRange(values url.Values) (from, to time.Time, err error) {
	if from, err = seconds(values, "start"); err != nil {
		return from, to, err
	}
	if to, err = seconds(values, "end"); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && from.After(to) {
		return from, to, badRequest("http parameter start must be before end. received start=%s end=%s",
			values.Get("start"), values.Get("end"))
	}
	if !to.IsZero() {
		to = to.Add(time.Second)
	}
	return from, to, nil
}

func seconds(values url.Values, name string) (time.Time, error) {
	s := values.Get(name)
	if s == "" || s == "0" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<33 {
		return time.Time{}, badRequest("invalid %s: %q: it must be in whole seconds since 1970, such as %d", name, s,
			1700000000)
	}
	return time.Unix(n, 0), nil
}

// legacyQuery translates the search parameters from before TraceQL to TraceQL: tags
// (logfmt) are attributes of the span or its resource, minDuration and maxDuration bound
// the trace.
func legacyQuery(values url.Values) (string, error) {
	tags, err := parseTags(values.Get("tags"))
	if err != nil {
		return "", err
	}
	var conditions []string
	for _, tag := range tags {
		conditions = append(conditions, tagCondition(tag[0], tag[1]))
	}
	for _, bound := range [][2]string{{"minDuration", ">="}, {"maxDuration", "<="}} {
		s := values.Get(bound[0])
		if s == "" {
			continue
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return "", badRequest("invalid %s: %q: write it like 100ms, 1.5s or 2m", bound[0], s)
		}
		conditions = append(conditions, fmt.Sprintf("traceDuration %s %dns", bound[1], d))
	}
	return "{" + strings.Join(conditions, " && ") + "}", nil
}

func tagCondition(name, value string) string {
	quoted := strconv.Quote(value)
	switch name {
	case "name":
		return "name = " + quoted
	case "root.name":
		return "rootName = " + quoted
	case "root.service.name":
		return "rootServiceName = " + quoted
	case "status.code":
		return "status = " + value
	}
	field := "." + strconv.Quote(name)
	condition := field + " = " + quoted
	whole, fraction, point := strings.Cut(value, ".")
	number := digits(whole) && (!point || digits(fraction))
	if number || value == "true" || value == "false" {
		return "(" + condition + " || " + field + " = " + value + ")" // tags have no types
	}
	return condition
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// parseTags parses logfmt: key=value key="value with space".
func parseTags(s string) (tags [][2]string, err error) {
	wrong := func() error {
		return badRequest(`invalid tags: %.100q: write them like service.name=dice-roller name="GET /roll"`, s)
	}
	for rest := strings.TrimSpace(s); rest != ""; rest = strings.TrimSpace(rest) {
		name, value, ok := strings.Cut(rest, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \"") {
			return nil, wrong()
		}
		if strings.HasPrefix(value, `"`) {
			quoted, err := strconv.QuotedPrefix(value)
			if err != nil {
				return nil, wrong()
			}
			rest = value[len(quoted):]
			if value, err = strconv.Unquote(quoted); err != nil {
				return nil, wrong()
			}
		} else {
			value, rest, _ = strings.Cut(value, " ")
		}
		tags = append(tags, [2]string{name, value})
	}
	return tags, nil
}

package conformance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Normalise writes a response as golden files have it: status and content type, then
// the body. It replaces everything that may differ between two servers with the same
// data, or between two requests:
//
//	what                             becomes            because
//	times of the data set            @ and a duration   its base differs each time
//	times after the data set         <now>              they are times of the request, or of a scrape
//	Tempo's trace IDs in searches    32 digits          Tempo leaves out leading zeros; clients pad them
//	order of traces, spans, batches, sorted             the servers promise none: parts of an answer come from
//	attributes, streams, series,                        several places at once
//	tags, fields and values
//	batches of one resource, scopes  joined             they are as exporters happened to send them
//	of one name
//	exemplars of Tempo               left out           they are a random choice
//	attributes that are nil in a     left out           Tempo shows those of a selection that a span does not
//	search                                              have if its files have a column for them
//	spanSet of a search              left out           deprecated, and the same as the first of spanSets;
//	                                                    kept where it is not
//	metrics of Tempo, stats of Loki  left out           they describe the work for a response, not its content
//	values of buildinfo              <text>             the servers are different programs
//	text and type of errors          its key phrases    each server has its own; Prometheus' are kept
//	Prometheus' targets: what of     left out           discovery differs: files there, a fixed list here
//	discovery and its URL
//	address of the scraped endpoint  <endpoint>         its port differs each time
//	rules: file, times, durations    left out           they depend on the machine
//
// If a query shows only a part of a response, it is reduced to that part (Show…).
func Normalise(q Query, a Answer, base time.Time, endpoint string) (string, error) {
	head := fmt.Sprintf("%d %s\n", a.Status, a.ContentType)
	body := strings.ReplaceAll(string(a.Body), endpoint, "<endpoint>")
	switch {
	case q.Show == ShowStatus:
		return head, nil
	case a.Status >= 400 && q.Server != Prometheus:
		return fmt.Sprintf("%d\n%s", a.Status, phrases(body)), nil
	case !strings.HasPrefix(a.ContentType, "application/json"):
		return head + body, nil
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return "", fmt.Errorf("decoding the answer to %s: %w", q.Name, err)
	}
	v = clock{base}.relative(v)
	if strings.HasSuffix(q.Path, "/buildinfo") {
		v = blank(v)
	}
	switch q.Server {
	case Tempo:
		v = tempo(q, v)
	case Loki:
		v = loki(v)
	case Prometheus:
		v = prometheus(v)
	}
	return head + format(v), nil
}

// clock holds the base of the data set.
type clock struct{ base time.Time }

// relative replaces the times in a value.
func (c clock) relative(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = c.relative(v[key])
		}
	case []any:
		for i := range v {
			v[i] = c.relative(v[i])
		}
	case json.Number:
		if seconds, err := v.Float64(); err == nil && len(v) >= 10 {
			return c.name(v, time.UnixMilli(int64(seconds*1000+0.5)))
		}
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err == nil && len(v) == 19 {
			return c.name(v, time.Unix(0, n))
		}
		if err == nil && len(v) == 13 {
			return c.name(v, time.UnixMilli(n))
		}
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return c.name(v, t)
		}
	}
	return v
}

// name returns a time as a golden file has it. A value that is not within the day of the
// data set is no time, and stays unchanged.
func (c clock) name(v any, t time.Time) any {
	switch d := t.Sub(c.base); {
	case d.Abs() > 24*time.Hour:
		return v
	case d > Length:
		return "<now>"
	default:
		return "@" + d.String()
	}
}

// blank replaces texts by a mark that shows that there was one.
func blank(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			if key != "status" {
				v[key] = blank(v[key])
			}
		}
	case string:
		return "<text>"
	}
	return v
}

// phrases returns the phrases that errors of Tempo and Loki have in common with those
// of the embedded stack.
func phrases(body string) string {
	found := regexp.MustCompile(`parse error at line \d+, col \d+|trace not found|JSONParserErr`).FindAllString(body, -1)
	return strings.Join(found, "\n") + "\n"
}

func tempo(q Query, v any) any {
	body, _ := v.(map[string]any)
	if body == nil {
		return v
	}
	if q.Path == "/api/search" {
		return search(q, body)
	}
	delete(body, "metrics")
	series, _ := body["series"].([]any)
	for _, s := range series {
		forget(s, "exemplars")
		sortList(at(s, "labels"))
	}
	sortList(series)
	for _, list := range []string{"scopes", "tagValues", "tagNames"} {
		if elements, ok := body[list].([]any); ok {
			for _, e := range elements {
				sortList(at(e, "tags"))
			}
			sortList(elements)
		}
	}
	trace := body
	if inner, ok := body["trace"].(map[string]any); ok {
		trace = inner
	}
	for _, key := range []string{"batches", "resourceSpans"} {
		if batches, ok := trace[key].([]any); ok {
			trace[key] = joined(batches)
			if q.Show == ShowDigest {
				trace[key] = digest(batches)
			}
		}
	}
	return body
}

// search normalises the response to a search.
func search(q Query, body map[string]any) any {
	delete(body, "metrics")
	traces, _ := body["traces"].([]any)
	for _, t := range traces {
		t, ok := t.(map[string]any)
		if !ok {
			continue
		}
		if id, ok := t["traceID"].(string); ok && len(id) < 32 {
			t["traceID"] = strings.Repeat("0", 32-len(id)) + id
		}
		sets, _ := t["spanSets"].([]any)
		if len(sets) > 0 && oneLine(sets[0]) == oneLine(t["spanSet"]) {
			delete(t, "spanSet")
		}
		for _, set := range append(sets, t["spanSet"]) {
			spans, _ := at(set, "spans").([]any)
			for _, s := range spans {
				sortList(at(s, "attributes"))
				if s, ok := s.(map[string]any); ok {
					withoutNil(s)
				}
			}
			sortList(spans)
			sortList(at(set, "attributes"))
			if set, ok := set.(map[string]any); ok && q.Show == ShowDigest {
				set["spans"] = json.Number(strconv.Itoa(len(spans)))
			}
		}
	}
	for _, t := range traces {
		sortList(at(t, "spanSets"))
	}
	sortList(traces)
	if q.Show == ShowCount {
		body["traces"] = json.Number(strconv.Itoa(len(traces)))
	}
	return body
}

// withoutNil removes the attributes of a span that are nil.
func withoutNil(span map[string]any) {
	attributes, _ := span["attributes"].([]any)
	kept := slices.DeleteFunc(attributes, func(a any) bool { return at(at(a, "value"), "stringValue") == "nil" })
	if delete(span, "attributes"); len(kept) > 0 {
		span["attributes"] = kept
	}
}

// joined returns the batches of a trace: one for each resource, with one part for each
// scope, in which the spans are sorted.
func joined(batches []any) any {
	resources := map[string]map[string]any{}
	scopes := map[string]map[string]any{}
	var out []any
	for _, b := range batches {
		b, _ := b.(map[string]any)
		parts, _ := b["scopeSpans"].([]any)
		delete(b, "scopeSpans")
		sortList(at(b["resource"], "attributes"))
		key := oneLine(b)
		if resources[key] == nil {
			resources[key] = b
			b["scopeSpans"] = []any{}
			out = append(out, b)
		}
		for _, p := range parts {
			p, _ := p.(map[string]any)
			spans, _ := p["spans"].([]any)
			delete(p, "spans")
			inner := key + oneLine(p)
			if scopes[inner] == nil {
				scopes[inner] = p
				p["spans"] = []any{}
				resources[key]["scopeSpans"] = append(resources[key]["scopeSpans"].([]any), p)
			}
			scopes[inner]["spans"] = append(scopes[inner]["spans"].([]any), spans...)
		}
	}
	for _, p := range scopes {
		for _, s := range p["spans"].([]any) {
			sortList(at(s, "attributes"))
		}
		sortList(p["spans"])
	}
	sortList(out)
	return out
}

// digest counts the spans of a trace by name.
func digest(batches []any) any {
	counts := map[string]int{}
	for _, b := range batches {
		parts, _ := at(b, "scopeSpans").([]any)
		for _, p := range parts {
			spans, _ := at(p, "spans").([]any)
			for _, s := range spans {
				counts[fmt.Sprint(at(s, "name"))]++
			}
		}
	}
	out := map[string]any{}
	for name, n := range counts {
		out[name] = json.Number(strconv.Itoa(n))
	}
	return out
}

func loki(v any) any {
	fields, _ := at(v, "fields").([]any)
	for _, f := range fields {
		sortList(at(f, "parsers"))
	}
	for _, key := range []string{"detectedLabels", "fields", "values"} {
		sortList(at(v, key))
	}
	data, _ := at(v, "data").(map[string]any)
	if data == nil {
		sortList(at(v, "data"))
		return v
	}
	delete(data, "stats")
	sortList(data["result"])
	return v
}

func prometheus(v any) any {
	data := at(v, "data")
	sortList(data)
	sortList(at(data, "result"))
	if targets, ok := at(data, "activeTargets").([]any); ok {
		for _, t := range targets {
			forget(t, "discoveredLabels", "globalUrl", "lastScrape", "lastScrapeDuration")
		}
	}
	if groups, ok := at(data, "groups").([]any); ok {
		for _, g := range groups {
			forget(g, "file", "evaluationTime", "lastEvaluation")
			rules, _ := at(g, "rules").([]any)
			for _, r := range rules {
				forget(r, "evaluationTime", "lastEvaluation")
			}
		}
	}
	return v
}

// at returns a member of an object, or nil for any other value.
func at(v any, key string) any {
	object, _ := v.(map[string]any)
	return object[key]
}

// forget removes members from an object.
func forget(v any, keys ...string) {
	object, _ := v.(map[string]any)
	for _, key := range keys {
		delete(object, key)
	}
}

// sortList sorts a list in place, by the text of its elements.
func sortList(v any) {
	elements, _ := v.([]any)
	slices.SortStableFunc(elements, func(a, b any) int { return cmp.Compare(sortKey(a), sortKey(b)) })
}

// sortKey returns a key that sorts spans and traces by time.
func sortKey(v any) string {
	start, _ := at(v, "startTimeUnixNano").(string)
	d, err := time.ParseDuration(strings.TrimPrefix(start, "@"))
	if err == nil {
		start = fmt.Sprintf("%020d", d)
	}
	var b bytes.Buffer
	b.WriteString(start)
	b.WriteString(oneLine(v))
	return b.String()
}

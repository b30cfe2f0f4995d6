package conformance

import (
	_ "embed" // the list of queries
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// MaxQueries is the largest number of queries in the list. It bounds the time of the tests:
// there is a query for each construct of a language, alone or with others.
const MaxQueries = 200

// The servers that answer queries.
const (
	Prometheus = "prometheus"
	Tempo      = "tempo"
	Loki       = "loki"
)

// The parts of a response that are compared.
const (
	ShowAll    = ""       // everything
	ShowDigest = "digest" // the number of spans of a trace, or of the spans that a search shows
	ShowCount  = "count"  // the number of traces of a search
	ShowStatus = "status" // status and content type
)

// Query is one request of the list.
type Query struct {
	Name    string // name of its golden file
	Method  string
	Server  string // Prometheus, Tempo or Loki
	Path    string
	Params  url.Values // times as @ and a duration since the data set's base
	Header  http.Header
	Show    string // Show…
	Differs string // reason why the embedded stack's response differs; empty if it does not
}

//go:embed queries.txt
var listed string

// Queries reads the list. Its error names a line of queries.txt.
func Queries() ([]Query, error) {
	r := reader{defaults: map[string]url.Values{}}
	for i, line := range strings.Split(listed, "\n") {
		if err := r.line(strings.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("reading line %d of queries.txt: %w", i+1, err)
		}
	}
	for i := range r.queries {
		q := &r.queries[i]
		if q.Path == "" {
			return nil, fmt.Errorf("reading queries.txt: %s asks for nothing", q.Name)
		}
		for key, values := range r.defaults[q.Server+" "+q.Path] {
			if !q.Params.Has(key) {
				q.Params[key] = slices.Clone(values)
			}
		}
	}
	return r.queries, nil
}

// reader holds the part of the list that has been read.
type reader struct {
	queries  []Query
	defaults map[string]url.Values // by server and path
	params   url.Values            // of the section that is being read
}

func (r *reader) line(line string) error {
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
		return nil
	case strings.HasPrefix(line, "["):
		return r.section(strings.Trim(line, "[]"))
	case r.params == nil:
		return fmt.Errorf("%q comes before the first [section]", line)
	}
	if key, value, ok := strings.Cut(line, " = "); ok && !strings.ContainsAny(key, ": ") {
		r.params.Add(key, value)
		return nil
	}
	if len(r.queries) == 0 {
		return fmt.Errorf("%q is not of the form key = value", line)
	}
	q := &r.queries[len(r.queries)-1]
	if key, value, ok := strings.Cut(line, ": "); ok {
		return q.set(key, value)
	}
	return q.request(line)
}

// section begins a query, or the default parameters of the queries of a path.
func (r *reader) section(name string) error {
	if target, ok := strings.CutPrefix(name, "defaults "); ok {
		r.params = url.Values{}
		r.defaults[target] = r.params
		return nil
	}
	if slices.ContainsFunc(r.queries, func(q Query) bool { return q.Name == name }) {
		return fmt.Errorf("%s is there twice", name)
	}
	r.params = url.Values{}
	r.queries = append(r.queries, Query{Name: name, Params: r.params, Header: http.Header{}})
	return nil
}

func (q *Query) set(key, value string) error {
	switch key {
	case "show":
		q.Show = value
		if !slices.Contains([]string{ShowDigest, ShowCount, ShowStatus}, value) {
			return fmt.Errorf("there is no %q to show", value)
		}
	case "differs":
		q.Differs = strings.TrimSpace(q.Differs + " " + value)
	case "header":
		name, value, ok := strings.Cut(value, ": ")
		if !ok {
			return fmt.Errorf("the header %q has no value", name)
		}
		q.Header.Add(name, value)
	default:
		return fmt.Errorf("there is no %q to set: show, differs, header", key)
	}
	return nil
}

// request reads METHOD server /path.
func (q *Query) request(line string) error {
	words := strings.Fields(line)
	if q.Path != "" || len(words) != 3 || !slices.Contains([]string{Prometheus, Tempo, Loki}, words[1]) || !strings.HasPrefix(words[2], "/") {
		return fmt.Errorf("%q is not METHOD server /path, once a section", line)
	}
	q.Method, q.Server, q.Path = words[0], words[1], words[2]
	return nil
}

// values returns the parameters with times as the server writes them.
func (q Query) values(base time.Time) (url.Values, error) {
	out := url.Values{}
	for _, key := range slices.Sorted(maps.Keys(q.Params)) {
		for _, value := range q.Params[key] {
			if offset, ok := strings.CutPrefix(value, "@"); ok {
				d, err := time.ParseDuration(offset)
				if err != nil {
					return nil, fmt.Errorf("reading %s of %s: %w", key, q.Name, err)
				}
				value = q.stamp(base.Add(d))
			}
			out.Add(key, value)
		}
	}
	return out, nil
}

// stamp writes a time as clients of the server do: for Tempo in whole seconds, for Loki in
// nanoseconds, for Prometheus in seconds.
func (q Query) stamp(t time.Time) string {
	switch q.Server {
	case Tempo:
		return fmt.Sprint(t.Unix())
	case Loki:
		return fmt.Sprint(t.UnixNano())
	}
	return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000)
}

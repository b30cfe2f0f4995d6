package loki

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/uuid"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
)

// Defaults of the parameters of detected_fields, as in Loki.
const (
	defaultLines  = 100
	defaultFields = 1000
)

// detectedLabels answers /loki/api/v1/detected_labels: the labels of streams, without those
// whose values are all numbers or UUIDs.
func (h *handler) detectedLabels(w http.ResponseWriter, r *http.Request) error {
	var chosen []logql.Selector
	if text := r.Form.Get("query"); text != "" {
		s, err := selectorOf(r)
		if err != nil {
			return err
		}
		chosen = append(chosen, s)
	}
	streams, err := h.streams(r, chosen)
	if err != nil {
		return err
	}
	values := map[string]map[string]bool{}
	for _, stream := range streams {
		for name, value := range stream {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][value] = true
		}
	}
	type label struct {
		Label       string `json:"label"`
		Cardinality int    `json:"cardinality"`
	}
	var found []label
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if slices.Contains([]string{"cluster", "namespace", "instance", "pod"}, name) || !onlyIDs(values[name]) {
			found = append(found, label{name, len(values[name])})
		}
	}
	return answer.JSON(w, jsonType, struct {
		Labels []label `json:"detectedLabels"`
	}{found})
}

// onlyIDs reports whether all values are numbers or UUIDs, and not 0 and 1 alone.
func onlyIDs(values map[string]bool) bool {
	bits := 0
	for value := range values {
		if value == "0" || value == "1" {
			bits++
		}
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			continue
		}
		if _, err := uuid.Parse(value); err != nil {
			return false
		}
	}
	return bits < len(values)
}

// detected is a name of structured metadata, or one that a parser finds in lines.
type detected struct {
	kind    string
	parsers []string
	path    []string // in JSON
	values  map[string]bool
}

// detectedFields answers /loki/api/v1/detected_fields: the fields of the newest lines of a
// query.
func (h *handler) detectedFields(w http.ResponseWriter, r *http.Request) error {
	fields, limit, err := h.fields(r)
	if err != nil {
		return err
	}
	type found struct {
		Label       string   `json:"label"`
		Type        string   `json:"type"`
		Cardinality int      `json:"cardinality"`
		Parsers     []string `json:"parsers"`
		Path        []string `json:"jsonPath,omitempty"`
	}
	list := struct {
		Fields []found `json:"fields,omitempty"`
		Limit  int     `json:"limit,omitempty"`
	}{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		list.Fields = append(list.Fields, found{name, f.kind, len(f.values), f.parsers, f.path})
		list.Limit = limit
	}
	return answer.JSON(w, jsonType, list)
}

// fieldValues answers /loki/api/v1/detected_field/{name}/values.
func (h *handler) fieldValues(w http.ResponseWriter, r *http.Request) error {
	fields, limit, err := h.fields(r)
	if err != nil {
		return err
	}
	list := struct {
		Values []string `json:"values,omitempty"`
		Limit  int      `json:"limit,omitempty"`
	}{}
	if f := fields[r.PathValue("name")]; f != nil {
		values := map[string]bool{}
		for value := range f.values {
			values[sizeText(value)] = true
		}
		list.Values = slices.Sorted(maps.Keys(values))
		list.Values, list.Limit = list.Values[:min(limit, len(list.Values))], limit
	}
	return answer.JSON(w, jsonType, list)
}

// sizeText writes a number of bytes in the one way in which queries have them.
func sizeText(value string) string {
	n, err := humanize.ParseBytes(value)
	if err != nil || value == "" || strings.ContainsRune("0123456789. ", rune(value[len(value)-1])) {
		return value
	}
	return strings.Replace(humanize.Bytes(n), " ", "", 1)
}

// fields returns the fields of the newest lines of a query, and how many are asked for.
func (h *handler) fields(r *http.Request) (map[string]*detected, int, error) {
	q, err := parseQuery(r)
	if err != nil {
		return nil, 0, err
	}
	if q.Metric != nil {
		return nil, 0, answer.Errorf(http.StatusBadRequest, "only a query for log lines has fields, and no metric query")
	}
	start, end, err := h.bounds(r, defaultSince)
	if err != nil {
		return nil, 0, err
	}
	lines, err := count(r, "line_limit", defaultLines)
	if err != nil {
		return nil, 0, err
	}
	if lines > maxLimit {
		return nil, 0, answer.Errorf(http.StatusBadRequest, "max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", lines, maxLimit)
	}
	limit, err := count(r, "limit", defaultFields)
	if err != nil {
		return nil, 0, err
	}
	d := detector{run: h.newRun(r), fields: map[string]*detected{}, limit: limit}
	selected, ended := d.run.selected(q.Selector, q.Pipeline, start, end)
	selected.Expected = lines
	n := 0
	err = d.run.each(selected, ended, q.Pipeline, func(l store.Line, out logql.Output) bool {
		if *ended = d.line(l, out); *ended != nil {
			return false
		}
		n++
		return n < lines && d.size < maxAnswer
	})
	return d.fields, limit, err
}

// detector collects the fields of lines.
type detector struct {
	run    *run
	fields map[string]*detected
	limit  int // of fields
	size   int // bytes of their values
}

// line adds the fields of a line: its metadata, what the query has extracted, and what
// the parser for JSON finds in it, or that for logfmt.
func (d *detector) line(l store.Line, out logql.Output) error {
	for name, value := range out.Metadata {
		d.add(name, value, "", nil)
	}
	in := logql.Input{Stream: out.Stream, Time: l.Time.UnixNano(), Text: out.Text}
	parser := "json"
	parsed, paths, err := logql.ParseLine(d.run.ctx, in, parser)
	if err == nil && parsed == nil {
		parser = "logfmt"
		parsed, paths, err = logql.ParseLine(d.run.ctx, in, parser)
	}
	if err != nil {
		return err
	}
	for name, value := range out.Parsed {
		if !strings.HasPrefix(name, "__") {
			d.add(name, value, parser, paths[name])
		}
	}
	for name, value := range parsed {
		d.add(name, value, parser, paths[name])
	}
	return nil
}

func (d *detector) add(name, value, parser string, path []string) {
	f, ok := d.fields[name]
	if !ok {
		if len(d.fields) == d.limit {
			return
		}
		f = &detected{values: map[string]bool{}, kind: kindOf(value)}
		d.fields[name] = f
	}
	if parser != "" && !slices.Contains(f.parsers, parser) {
		f.parsers = append(f.parsers, parser)
	}
	if parser == "json" {
		f.path = path
	}
	if !f.values[value] {
		f.values[value] = true
		d.size += len(value) + labelBytes
	}
}

// kindOf returns the type of a value.
func kindOf(value string) string {
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return "int"
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil {
		return "float"
	}
	if _, err := strconv.ParseBool(value); err == nil {
		return "boolean"
	}
	if _, err := time.ParseDuration(value); err == nil {
		return "duration"
	}
	if _, err := humanize.ParseBytes(value); err == nil {
		return "bytes"
	}
	return "string"
}

package otlpjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Document is what was read.
type Document struct {
	Traces []Trace // by start
	// Partial says that the trace store which answered so had more spans.
	Partial bool
	// Notes tell of fields that OTLP does not have and that were left out.
	Notes []string
}

// Read reads the documents in body. A body without a span is an error.
func Read(body []byte) (*Document, error) {
	doc, err := read(body)
	if err == nil && len(doc.Traces) == 0 {
		err = errors.New("there is no span in it")
	}
	if err != nil {
		return nil, err
	}
	return doc, nil
}

// ReadAnswer reads what Tempo's API answers. It may be without spans.
func ReadAnswer(body []byte) (*Document, error) { return read(body) }

func read(body []byte) (*Document, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // a byte order mark
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return nil, errors.New("it is empty: want a document of OTLP JSON")
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return nil, errors.New("it is compressed: unpack it with gunzip first")
	}
	r := &reader{unknown: make(map[string]string), times: make(map[string]int)}
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		start := skipSpace(body, d.InputOffset())
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, notJSON(body, err)
		}
		// It is gone through level by level: the less of it the better.
		var dense bytes.Buffer
		if err := json.Compact(&dense, raw); err != nil {
			return nil, notJSON(body, err)
		}
		if err := r.document(dense.Bytes()); err != nil {
			if start > 0 {
				line, _ := position(body, start)
				err = fmt.Errorf("the document in line %d: %w", line, err)
			}
			return nil, err
		}
	}
	return &Document{Traces: split(r.found), Partial: r.partial, Notes: r.notes()}, nil
}

func skipSpace(body []byte, at int64) int64 {
	return int64(len(body)) - int64(len(bytes.TrimLeft(body[at:], " \t\r\n")))
}

// notJSON says where a body stops being JSON.
func notJSON(body []byte, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends in the middle of a JSON document: save it again, it is not complete")
	}
	at, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	line, column := position(body, max(at.Offset-1, 0))
	return fmt.Errorf("it is not JSON: line %d, column %d: %w", line, column, err)
}

// position counts lines and columns, in bytes, from 1.
func position(body []byte, at int64) (line, column int) {
	before := body[:min(at, int64(len(body)))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// located is a span and what it came with.
type located struct {
	resource *tracepb.ResourceSpans // its ScopeSpans are not set
	scope    *tracepb.ScopeSpans    // its Spans are not set
	span     *tracepb.Span
}

// reader gathers the spans of several documents.
type reader struct {
	found   []located
	partial bool
	unknown map[string]string // what was left out, and where first
	times   map[string]int    // and how often
}

// The names under which a document has its spans: OTLP's, and that of Tempo's
// first API.
const (
	keySpans   = "resourceSpans"
	keyBatches = "batches"
)

func (r *reader) document(raw json.RawMessage) error {
	doc, err := object(raw)
	if err != nil {
		return fmt.Errorf("want a document of OTLP JSON, an object with %s: %w", keySpans, err)
	}
	if inner, ok := doc["trace"]; ok { // Tempo's second API
		var status struct{ Status any }
		if err := json.Unmarshal(raw, &status); err != nil {
			return fmt.Errorf("reading the status of the answer: %w", err)
		}
		r.partial = r.partial || fmt.Sprint(status.Status) == "PARTIAL" || fmt.Sprint(status.Status) == "1"
		if string(inner) == "null" || string(inner) == "{}" {
			return nil // a trace without spans
		}
		if doc, err = object(inner); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
	}
	has := false
	for _, key := range []string{keySpans, keyBatches} {
		if list, ok := doc[key]; ok {
			has = true
			if err := r.resources(list, key); err != nil {
				return err
			}
		}
	}
	if !has {
		return notTraces(doc)
	}
	r.leaveOut(doc, "the document", keySpans, keyBatches)
	return nil
}

// notTraces says what a document without spans seems to be.
func notTraces(doc map[string]json.RawMessage) error {
	names := slices.Sorted(maps.Keys(doc))
	if len(names) == 0 {
		return fmt.Errorf("it is an empty object: want %s", keySpans)
	}
	for key, what := range map[string]string{"resourceLogs": "log lines", "resourceMetrics": "metrics", "resourceProfiles": "profiles"} {
		if slices.Contains(names, key) {
			return fmt.Errorf("it has %s (%s) where a file of traces has %s", key, what, keySpans)
		}
	}
	if slices.Contains(names, "data") {
		return fmt.Errorf(`it has "data", as Jaeger's JSON has: want OTLP JSON, which has %s`, keySpans)
	}
	return fmt.Errorf("it has %.200q and no %s: want OTLP JSON", names, keySpans)
}

func (r *reader) resources(raw json.RawMessage, where string) error {
	list, err := array(raw, where)
	if err != nil {
		return err
	}
	for i, raw := range list {
		where := fmt.Sprintf("%s[%d]", where, i)
		obj, err := object(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if _, old := obj["instrumentationLibrarySpans"]; old {
			return fmt.Errorf("%s: it has instrumentationLibrarySpans, which OTLP 1.0 renamed scopeSpans: save the trace with a newer exporter", where)
		}
		head := &tracepb.ResourceSpans{}
		if err := r.message(obj, where, head, "scopeSpans"); err != nil {
			return err
		}
		scopes, err := array(obj["scopeSpans"], where+".scopeSpans")
		if err != nil {
			return err
		}
		for j, raw := range scopes {
			if err := r.scope(raw, fmt.Sprintf("%s.scopeSpans[%d]", where, j), head); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) scope(raw json.RawMessage, where string, resource *tracepb.ResourceSpans) error {
	obj, err := object(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	head := &tracepb.ScopeSpans{}
	if err := r.message(obj, where, head, "spans"); err != nil {
		return err
	}
	spans, err := array(obj["spans"], where+".spans")
	if err != nil {
		return err
	}
	for i, raw := range spans {
		span, err := r.span(raw, fmt.Sprintf("%s.spans[%d]", where, i))
		if err != nil {
			return err
		}
		r.found = append(r.found, located{resource, head, span})
	}
	return nil
}

// object takes an object apart.
func object(raw json.RawMessage) (map[string]json.RawMessage, error) {
	var obj map[string]json.RawMessage
	if err := json.Unmarshal(raw, &obj); err != nil || obj == nil {
		return nil, fmt.Errorf("want an object, got %s", start(raw))
	}
	return obj, nil
}

// array takes a list apart. A list that is not there is empty.
func array(raw json.RawMessage, where string) ([]json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: want a list, got %s", where, start(raw))
	}
	return list, nil
}

// start is enough of a value to recognise it.
func start(raw json.RawMessage) string {
	const enough = 40
	text := strings.ToValidUTF8(string(raw[:min(len(raw), enough)]), "\uFFFD")
	if len(raw) > enough {
		text += "…"
	}
	return text
}

package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"time"

	"dicelab/internal/otlpjson"
)

// ErrNotFound is returned if the server knows no such trace: it never arrived, has
// not arrived yet, or is no longer kept.
var ErrNotFound = errors.New("trace not found")

// Tempo is a client of Tempo's HTTP API.
type Tempo struct{ api }

// NewTempo makes a client.
func NewTempo(cfg Config) (*Tempo, error) {
	a, err := newAPI("Tempo", cfg)
	if err != nil {
		return nil, err
	}
	return &Tempo{a}, nil
}

// answer requests a trace and calls read with the response as it arrives: JSON, in one
// of Tempo's forms. It asks /api/v2/traces, which answers with an empty trace where it
// knows none, and /api/traces where that gives 404, since Tempo before 2.7 has only
// the latter. A trace that neither knows is an error that wraps ErrNotFound.
func (t *Tempo) answer(ctx context.Context, id string, read func(io.Reader) error) error {
	err := t.stream(ctx, "/api/v2/traces/"+id, nil, nil, read)
	if isStatus(err, http.StatusNotFound) {
		err = t.stream(ctx, "/api/traces/"+id, nil, nil, read)
	}
	if isStatus(err, http.StatusNotFound) {
		return fmt.Errorf("reading trace %s: %w: %w", id, ErrNotFound, err)
	}
	return err
}

// Trace returns a trace. An unknown one, or one without spans, is an error that
// wraps ErrNotFound.
func (t *Tempo) Trace(ctx context.Context, id string) (*Trace, error) {
	id, err := ParseTraceID(id)
	if err != nil {
		return nil, err
	}
	tr, err := t.traceProtobuf(ctx, id)
	if err == nil || !isStatus(err, http.StatusNotFound) && !errors.Is(err, errNeedsJSON) {
		return tr, err
	}
	err = t.answer(ctx, id, func(body io.Reader) (err error) {
		tr, err = DecodeTrace(body, id)
		return t.reading(id, err)
	})
	if err != nil {
		return nil, err
	}
	if len(tr.Spans) == 0 {
		return nil, t.reading(id, ErrNotFound)
	}
	return tr, nil
}

// traceProtobuf reads a trace as protobuf, or as JSON if the server writes that.
func (t *Tempo) traceProtobuf(ctx context.Context, id string) (tr *Trace, err error) {
	err = t.exchange(ctx, "/api/v2/traces/"+id, nil, acceptProtobuf(), func(header http.Header, body io.Reader) (err error) {
		if isProtobuf(header) {
			tr, err = decodeProtobuf(body, id)
		} else {
			tr, err = DecodeTrace(body, id)
		}
		return t.reading(id, err)
	})
	if err == nil && len(tr.Spans) == 0 {
		return nil, t.reading(id, ErrNotFound)
	}
	return tr, err
}

// reading wraps an error with the trace that could not be read.
func (t *Tempo) reading(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reading trace %s from %s: %w", id, t.URL(), err)
}

// Export returns all that the server has of a trace, to be written as OTLP JSON;
// partial reports that the server has left spans out. A span may have at most
// maxSpan bytes of JSON; 0 means any number. Errors are those of Trace.
func (t *Tempo) Export(ctx context.Context, id string, maxSpan int) (tr otlpjson.Trace, partial bool, err error) {
	if id, err = ParseTraceID(id); err != nil {
		return tr, false, err
	}
	var doc *otlpjson.Document
	err = t.answer(ctx, id, func(body io.Reader) (err error) {
		doc, err = otlpjson.ReadAnswer(body, otlpjson.Options{MaxSpanBytes: maxSpan})
		return t.reading(id, err)
	})
	if err != nil {
		return tr, false, err
	}
	for _, tr := range doc.Traces {
		if tr.ID == id {
			return tr, doc.Partial, nil
		}
	}
	return tr, false, t.reading(id, ErrNotFound)
}

// Search searches for traces.
type Search struct {
	TraceQL    string    // "{}" when empty
	Start, End time.Time // both or none
	Limit      int       // 0: 20, as Tempo's
	// SpansPerSet bounds the matching spans that come with each trace; 0 leaves
	// it to the server (Tempo: 3).
	SpansPerSet int
}

// Found is a trace that a search found.
type Found struct {
	TraceID     string // 32 hex digits
	RootService string
	RootName    string
	Start       time.Time
	Duration    time.Duration // in whole milliseconds, as Tempo rounds
	// Services counts spans and failed spans by service; empty where the server
	// does not say.
	Services map[string]ServiceStats
	// Matched has attributes of the matching spans: those that the query names.
	Matched []Attributes
}

// ServiceStats counts one service's spans in a trace.
type ServiceStats struct{ Spans, Errors int }

// Spans counts all spans, 0 if unknown.
func (f Found) Spans() int {
	n := 0
	for _, s := range f.Services {
		n += s.Spans
	}
	return n
}

// Errors counts the failed spans.
func (f Found) Errors() int {
	n := 0
	for _, s := range f.Services {
		n += s.Errors
	}
	return n
}

// Text returns an attribute of a matching span, or "".
func (f Found) Text(key string) string {
	for _, a := range f.Matched {
		if v := a.Text(key); v != "" {
			return v
		}
	}
	return ""
}

// SearchResult is the result of a search, newest first.
type SearchResult struct {
	Traces  []Found
	Partial bool   // the server did not look at everything
	Message string // its words about that
}

// Search looks for traces.
func (t *Tempo) Search(ctx context.Context, s Search) (*SearchResult, error) {
	p := url.Values{"q": {s.TraceQL}}
	if s.TraceQL == "" {
		p.Set("q", "{}")
	}
	if s.Limit > 0 {
		p.Set("limit", strconv.Itoa(s.Limit))
	}
	if s.SpansPerSet > 0 {
		p.Set("spss", strconv.Itoa(s.SpansPerSet))
	}
	if !s.Start.IsZero() && !s.End.IsZero() {
		// Whole seconds; the end is rounded up, so that the newest are inside.
		p.Set("start", strconv.FormatInt(s.Start.Unix(), 10))
		p.Set("end", strconv.FormatInt(s.End.Add(time.Second-1).Unix(), 10))
	}
	type spanSet struct {
		Spans []struct {
			Attributes wireAttributes `json:"attributes"`
		} `json:"spans"`
	}
	var w struct {
		Traces []struct {
			TraceID         string    `json:"traceID"`
			RootServiceName string    `json:"rootServiceName"`
			RootTraceName   string    `json:"rootTraceName"`
			Start           wireUint  `json:"startTimeUnixNano"`
			DurationMs      wireUint  `json:"durationMs"`
			SpanSet         *spanSet  `json:"spanSet"`
			SpanSets        []spanSet `json:"spanSets"`
			ServiceStats    map[string]struct {
				SpanCount  int `json:"spanCount"`
				ErrorCount int `json:"errorCount"`
			} `json:"serviceStats"`
		} `json:"traces"`
		Status  wireText `json:"status"`
		Message string   `json:"message"`
	}
	if err := t.getJSON(ctx, "/api/search", p, nil, &w); err != nil {
		return nil, err
	}
	out := &SearchResult{Partial: w.Status == "PARTIAL" || w.Status == "1", Message: w.Message}
	for _, tr := range w.Traces {
		id, err := ParseTraceID(tr.TraceID)
		if err != nil {
			return nil, fmt.Errorf("decoding the search result of %s: %w", t.URL(), err)
		}
		f := Found{TraceID: id, RootService: tr.RootServiceName, RootName: tr.RootTraceName,
			Start: tr.Start.time(), Duration: duration(float64(tr.DurationMs) / 1000)}
		if len(tr.ServiceStats) > 0 {
			f.Services = make(map[string]ServiceStats, len(tr.ServiceStats))
			for name, s := range tr.ServiceStats {
				f.Services[name] = ServiceStats{Spans: s.SpanCount, Errors: s.ErrorCount}
			}
		}
		sets := tr.SpanSets
		if len(sets) == 0 && tr.SpanSet != nil { // older Tempos send only the one
			sets = []spanSet{*tr.SpanSet}
		}
		for _, set := range sets {
			for _, sp := range set.Spans {
				a, err := sp.Attributes.decode()
				if err != nil {
					return nil, fmt.Errorf("decoding the search result of %s: %w", t.URL(), err)
				}
				f.Matched = append(f.Matched, a)
			}
		}
		out.Traces = append(out.Traces, f)
	}
	sort.SliceStable(out.Traces, func(i, j int) bool { return out.Traces[i].Start.After(out.Traces[j].Start) })
	return out, nil
}

// TagValues returns the values of a scoped tag such as "resource.service.name" or an intrinsic such
// as "name", sorted. It leaves out the empty value, which Tempo lists for spans of no service,
// because it is no useful choice.
func (t *Tempo) TagValues(ctx context.Context, tag string) ([]string, error) {
	var w struct {
		TagValues []struct {
			Value json.RawMessage `json:"value"`
		} `json:"tagValues"`
	}
	if err := t.getJSON(ctx, "/api/v2/search/tag/"+url.PathEscape(tag)+"/values", nil, nil, &w); err != nil {
		return nil, err
	}
	out := make([]string, 0, len(w.TagValues))
	for _, v := range w.TagValues {
		var s string
		if json.Unmarshal(v.Value, &s) != nil {
			s = string(v.Value) // a number or a boolean
		}
		if s != "" {
			out = append(out, s)
		}
	}
	sort.Strings(out)
	return out, nil
}

func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == status
}

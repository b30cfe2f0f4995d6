package query

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The wire form: OTLP's trace.proto and common.proto in JSON, as the OTLP
// specification and as Tempo write it. Only what is read is named.
type (
	wireTrace struct {
		// Tempo: v2 wraps the trace, v1 calls resourceSpans "batches", the OTLP
		// file format has them at the top.
		Trace         *wireTrace `json:"trace"`
		Batches       []wireRS   `json:"batches"`
		ResourceSpans []wireRS   `json:"resourceSpans"`
		Status        wireText   `json:"status"`
		Message       string     `json:"message"`
	}
	wireRS struct {
		Resource struct {
			Attributes []wireKV `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []wireSS `json:"scopeSpans"`
		// The name before OTLP 1.0, which older Tempos write.
		LibrarySpans []wireSS `json:"instrumentationLibrarySpans"`
	}
	wireSS struct {
		Scope struct{ Name, Version string } `json:"scope"`
		Spans []wireSpan                     `json:"spans"`
	}
	wireSpan struct {
		TraceID      string     `json:"traceId"`
		SpanID       string     `json:"spanId"`
		ParentSpanID string     `json:"parentSpanId"`
		TraceState   string     `json:"traceState"`
		Name         string     `json:"name"`
		Kind         wireText   `json:"kind"`
		Start        wireUint   `json:"startTimeUnixNano"`
		End          wireUint   `json:"endTimeUnixNano"`
		Attributes   []wireKV   `json:"attributes"`
		Events       []wireEv   `json:"events"`
		Links        []wireLink `json:"links"`
		Status       struct {
			Code    wireText `json:"code"`
			Message string   `json:"message"`
		} `json:"status"`
	}
	wireEv struct {
		Time       wireUint `json:"timeUnixNano"`
		Name       string   `json:"name"`
		Attributes []wireKV `json:"attributes"`
	}
	wireLink struct {
		TraceID    string   `json:"traceId"`
		SpanID     string   `json:"spanId"`
		Attributes []wireKV `json:"attributes"`
	}
	wireKV struct {
		Key   string    `json:"key"`
		Value wireValue `json:"value"`
	}
	wireValue struct {
		String *string  `json:"stringValue"`
		Bool   *bool    `json:"boolValue"`
		Int    *wireInt `json:"intValue"`
		// JSON has no NaN and no infinities: protobuf writes them as text.
		Double json.RawMessage `json:"doubleValue"`
		Bytes  *string         `json:"bytesValue"`
		Array  *struct {
			Values []wireValue `json:"values"`
		} `json:"arrayValue"`
		KVList *struct {
			Values []wireKV `json:"values"`
		} `json:"kvlistValue"`
	}
)

// wireUint is an unsigned 64-bit number, as text (protobuf's JSON) or bare.
type wireUint uint64

func (u *wireUint) UnmarshalJSON(b []byte) error {
	s := string(bytes.Trim(b, `"`))
	if s == "" || s == "null" {
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return fmt.Errorf("decoding number %.40s: want digits", b)
	}
	*u = wireUint(n)
	return nil
}

// time converts nanoseconds since 1970; beyond what fits in an int64 (the year
// 2262) it is clamped.
func (u wireUint) time() time.Time {
	return time.Unix(0, int64(min(u, math.MaxInt64))).UTC()
}

// wireInt is a signed 64-bit number, as text or bare.
type wireInt int64

func (i *wireInt) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(bytes.Trim(b, `"`)), 10, 64)
	if err != nil {
		return fmt.Errorf("decoding number %.40s: want digits", b)
	}
	*i = wireInt(n)
	return nil
}

// wireText is an enumeration: its name, or its number as text.
type wireText string

func (t *wireText) UnmarshalJSON(b []byte) error {
	*t = wireText(bytes.Trim(b, `"`))
	return nil
}

func (t wireText) kind() string {
	switch strings.TrimPrefix(string(t), "SPAN_KIND_") {
	case "2", "SERVER":
		return KindServer
	case "3", "CLIENT":
		return KindClient
	case "4", "PRODUCER":
		return KindProducer
	case "5", "CONSUMER":
		return KindConsumer
	}
	// trace.proto: an unspecified kind may be taken as internal.
	return KindInternal
}

func (t wireText) status() string {
	switch strings.TrimPrefix(string(t), "STATUS_CODE_") {
	case "1", "OK":
		return StatusOK
	case "2", "ERROR":
		return StatusError
	}
	return StatusUnset
}

// DecodeTrace reads a trace from OTLP JSON: what Tempo answers at
// /api/v2/traces and /api/traces, and the OTLP file format. Spans of other
// traces than id are left out unless id is "", which takes the first span's.
// A body without spans gives a trace without spans.
func DecodeTrace(body []byte, id string) (*Trace, error) {
	var w wireTrace
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, fmt.Errorf("decoding a trace: %w", err)
	}
	t := &Trace{ID: id, Partial: strings.EqualFold(string(w.Status), "PARTIAL"), Message: w.Message}
	batches := append(w.Batches, w.ResourceSpans...)
	if w.Trace != nil {
		batches = append(batches, append(w.Trace.Batches, w.Trace.ResourceSpans...)...)
	}
	for _, b := range batches {
		res, err := attributes(b.Resource.Attributes)
		if err != nil {
			return nil, err
		}
		service := res.Text("service.name")
		if service == "" {
			// OpenTelemetry, resource semantic conventions, service.name.
			service = "unknown_service"
		}
		for _, ss := range append(b.ScopeSpans, b.LibrarySpans...) {
			scope := strings.TrimSpace(ss.Scope.Name + " " + ss.Scope.Version)
			for _, ws := range ss.Spans {
				s, err := ws.span()
				if err != nil {
					return nil, err
				}
				if t.ID == "" {
					t.ID = s.TraceID
				}
				if s.TraceID != t.ID {
					continue
				}
				s.Service, s.Resource, s.Scope = service, res, scope
				t.Spans = append(t.Spans, s)
			}
		}
	}
	sort.SliceStable(t.Spans, func(i, j int) bool {
		a, b := &t.Spans[i], &t.Spans[j]
		if !a.Start.Equal(b.Start) {
			return a.Start.Before(b.Start)
		}
		return a.SpanID < b.SpanID
	})
	return t, nil
}

func (w wireSpan) span() (Span, error) {
	s := Span{Name: w.Name, Kind: w.Kind.kind(), Start: w.Start.time(), Status: w.Status.Code.status(),
		StatusMessage: w.Status.Message, TraceState: w.TraceState}
	// A span that ends before it starts has a broken clock: no duration.
	s.Duration = max(0, w.End.time().Sub(s.Start))
	var err error
	for _, id := range []struct {
		to   *string
		from string
		n    int
	}{{&s.TraceID, w.TraceID, traceIDLen}, {&s.SpanID, w.SpanID, spanIDLen}, {&s.ParentID, w.ParentSpanID, spanIDLen}} {
		if *id.to, err = decodeID(id.from, id.n); err != nil {
			return s, fmt.Errorf("decoding span %.80q: %w", w.Name, err)
		}
	}
	if s.Attributes, err = attributes(w.Attributes); err != nil {
		return s, fmt.Errorf("decoding span %s: %w", s.SpanID, err)
	}
	for _, e := range w.Events {
		a, err := attributes(e.Attributes)
		if err != nil {
			return s, fmt.Errorf("decoding an event of span %s: %w", s.SpanID, err)
		}
		s.Events = append(s.Events, Event{Time: e.Time.time(), Name: e.Name, Attributes: a})
	}
	for _, l := range w.Links {
		link := Link{}
		if link.TraceID, err = decodeID(l.TraceID, traceIDLen); err == nil {
			link.SpanID, err = decodeID(l.SpanID, spanIDLen)
		}
		if err == nil {
			link.Attributes, err = attributes(l.Attributes)
		}
		if err != nil {
			return s, fmt.Errorf("decoding a link of span %s: %w", s.SpanID, err)
		}
		s.Links = append(s.Links, link)
	}
	return s, nil
}

func attributes(kvs []wireKV) (Attributes, error) {
	var out Attributes
	for _, kv := range kvs {
		v, err := kv.Value.value()
		if err != nil {
			return nil, fmt.Errorf("decoding attribute %.80q: %w", kv.Key, err)
		}
		out = append(out, Attribute{Key: kv.Key, Value: v})
	}
	return out, nil
}

func (w wireValue) value() (any, error) {
	switch {
	case w.String != nil:
		return *w.String, nil
	case w.Bool != nil:
		return *w.Bool, nil
	case w.Int != nil:
		return int64(*w.Int), nil
	case len(w.Double) > 0:
		f, err := strconv.ParseFloat(string(bytes.Trim(w.Double, `"`)), 64)
		if err != nil {
			return nil, fmt.Errorf("decoding number %.40s: %w", w.Double, err)
		}
		return f, nil
	case w.Bytes != nil:
		b, err := base64.StdEncoding.DecodeString(*w.Bytes)
		if err != nil {
			return nil, fmt.Errorf("decoding bytes: %w", err)
		}
		return b, nil
	case w.Array != nil:
		out := make([]any, 0, len(w.Array.Values))
		for _, e := range w.Array.Values {
			v, err := e.value()
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case w.KVList != nil:
		return attributes(w.KVList.Values)
	}
	return nil, nil // common.proto: an empty value is allowed
}

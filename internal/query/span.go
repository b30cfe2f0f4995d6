package query

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"time"

	"dicelab/internal/otlpjson"
)

// Kinds of a span and its status, spelled for people.
const (
	KindInternal    = "internal"
	KindUnspecified = "unspecified"
	KindServer      = "server"
	KindClient      = "client"
	KindProducer    = "producer"
	KindConsumer    = "consumer"

	StatusUnset = "unset"
	StatusOK    = "ok"
	StatusError = "error"
)

// UnknownService stands for a service without a name (OpenTelemetry, resource semantic
// conventions, service.name).
const UnknownService = "unknown_service"

// Attribute is a key and a value: string, bool, int64, float64, []byte, []any of
// these, or Attributes for a map.
type Attribute struct {
	Key   string
	Value any
}

// Attributes keep the order in which they were sent.
type Attributes []Attribute

// Get returns the value of key, or nil.
func (a Attributes) Get(key string) any {
	for _, kv := range a {
		if kv.Key == key {
			return kv.Value
		}
	}
	return nil
}

// Text returns the value of key as text, or "".
func (a Attributes) Text(key string) string {
	if v := a.Get(key); v != nil {
		return FormatValue(v)
	}
	return ""
}

// Sorted returns a copy ordered by key.
func (a Attributes) Sorted() Attributes {
	s := append(Attributes(nil), a...)
	sort.SliceStable(s, func(i, j int) bool { return s[i].Key < s[j].Key })
	return s
}

// FormatValue writes an attribute's value for people: text as it is, lists and
// maps as JSON.
func FormatValue(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []byte:
		return fmt.Sprintf("%x", v)
	}
	b, err := json.Marshal(plain(v))
	if err != nil { // NaN and infinities have no JSON
		return fmt.Sprint(v)
	}
	return string(b)
}

func plain(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case Attributes:
		out := make(map[string]any, len(v))
		for _, kv := range v {
			out[kv.Key] = plain(kv.Value)
		}
		return out
	}
	return v
}

// Event is something that happened at one moment of a span.
type Event struct {
	Time       time.Time
	Name       string
	Attributes Attributes
	Dropped    int // attributes that were dropped where the event was recorded
}

// Link points to a span of this or another trace.
type Link struct {
	TraceID, SpanID string
	TraceState      string
	Attributes      Attributes
	Dropped         int // attributes that were dropped where the link was recorded
}

// Dropped counts what was dropped where a span was recorded, by the limits of its SDK
// (trace.proto, message Span, dropped_attributes_count and others).
type Dropped struct{ Attributes, Events, Links, Resource, Scope int }

// Span is one operation of one service.
type Span struct {
	TraceID       string // 32 hex digits
	SpanID        string // 16 hex digits
	ParentID      string // 16 hex digits, "" for a root
	Service       string // resource attribute service.name
	Name          string
	Kind          string // Kind*
	Start         time.Time
	Duration      time.Duration // never negative
	Unfinished    bool          // it has no end; Duration is 0
	Backwards     time.Duration // by how much it ends before it starts; Duration is 0
	Status        string        // Status*
	StatusMessage string
	TraceState    string
	Flags         uint32 // trace.proto, message Span, flags; 0 if they were not recorded
	Attributes    Attributes
	Events        []Event
	Links         []Link
	Resource      Attributes
	Scope         string // instrumentation scope: name, and version after a space
	Dropped       Dropped
	Cut           otlpjson.Cut // what of a very large span was not read
}

// End returns the time at which the span ended.
func (s *Span) End() time.Time { return s.Start.Add(s.Duration) }

// Failed reports whether the span's status is error.
func (s *Span) Failed() bool { return s.Status == StatusError }

// Trace is all spans with one trace ID that the server has.
type Trace struct {
	ID      string // 32 hex digits
	Spans   []Span // by start, then span ID
	Partial bool   // the server says that some spans are missing
	Message string // the server's words about that
}

// Services lists the services of the trace in the order of their first span.
func (t *Trace) Services() []string {
	var out []string
	seen := map[string]bool{}
	for i := range t.Spans {
		if s := t.Spans[i].Service; !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// Errors counts the spans whose status is error.
func (t *Trace) Errors() int {
	n := 0
	for i := range t.Spans {
		if t.Spans[i].Failed() {
			n++
		}
	}
	return n
}

// Text returns the first value, by start of span, of a span attribute, or "".
func (t *Trace) Text(key string) string {
	for i := range t.Spans {
		if v := t.Spans[i].Attributes.Text(key); v != "" {
			return v
		}
	}
	return ""
}

package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TraceID is a trace ID, in the order of its hex digits.
type TraceID [16]byte

// Source is the origin of a span: its resource and scope. Spans share it; it must not be
// changed.
type Source struct {
	Service           string // resource attribute service.name, "" if there is none
	Resource          *resourcepb.Resource
	ResourceSchemaURL string
	Scope             *commonpb.InstrumentationScope
	ScopeSchemaURL    string

	key, scopeKey string // the same for equal resources, and for equal scopes in them
}

// Span is a stored span, complete. Attributes may be shared with other spans:
// they must not be changed.
type Span struct {
	*tracepb.Span
	Source *Source

	// Arrival orders the spans of a trace as they arrived.
	Arrival int
}

// Duration returns the span's end minus its start, in nanoseconds. It is negative if the
// clock went backwards.
func (s Span) Duration() int64 { return duration(s.Span) }

// Trace is a trace as far as it is stored.
type Trace struct {
	ID    TraceID
	Spans []Span // by start; none if the trace is not known
	// Partial reports that the trace is larger than [MaxTraceBytes], so that only the
	// spans that came first are here.
	Partial bool

	bytes int // of the spans, as in MaxTraceBytes
}

// MaxTraceBytes bounds the part of a trace that is read, in estimated bytes of its spans as
// JSON: about 40,000 spans. (Tempo's own bound, max_bytes_per_trace, is 5 MB.)
const MaxTraceBytes = 16 << 20

const (
	// jsonBytes is the usual number of bytes of JSON for a byte of a span's protobuf.
	jsonBytes = 2
	// maxTraceRows bounds the rows that are read for traces at once, of a partition.
	maxTraceRows = 100_000
	// maxBatchBytes bounds several traces that are read at once, as MaxTraceBytes does one.
	maxBatchBytes = 2 * MaxTraceBytes
)

// errLargeBatch reports that several traces have more than maxBatchBytes together.
var errLargeBatch = errors.New("the traces are too large to be read at once")

// Root returns the first span without a parent, or false if it has not arrived.
func (t Trace) Root() (Span, bool) {
	for _, s := range t.Spans {
		if len(s.GetParentSpanId()) == 0 {
			return s, true
		}
	}
	return Span{}, false
}

// Bounds returns the first start and the last end of the trace's spans, in nanoseconds
// since 1970.
func (t Trace) Bounds() (start, end uint64) {
	for i, s := range t.Spans {
		if i == 0 || s.GetStartTimeUnixNano() < start {
			start = s.GetStartTimeUnixNano()
		}
		end = max(end, s.GetEndTimeUnixNano())
	}
	return start, end
}

// ResourceSpans returns the trace in OTLP's form: spans grouped by resource and scope.
func (t Trace) ResourceSpans() []*tracepb.ResourceSpans {
	var list []*tracepb.ResourceSpans
	resources := make(map[string]*tracepb.ResourceSpans)
	scopes := make(map[string]*tracepb.ScopeSpans)
	for _, s := range t.Spans {
		scope, ok := scopes[s.Source.scopeKey]
		if !ok {
			scope = &tracepb.ScopeSpans{Scope: s.Source.Scope, SchemaUrl: s.Source.ScopeSchemaURL}
			scopes[s.Source.scopeKey] = scope
			resource, ok := resources[s.Source.key]
			if !ok {
				resource = &tracepb.ResourceSpans{Resource: s.Source.Resource, SchemaUrl: s.Source.ResourceSchemaURL}
				resources[s.Source.key] = resource
				list = append(list, resource)
			}
			resource.ScopeSpans = append(resource.ScopeSpans, scope)
		}
		scope.Spans = append(scope.Spans, s.Span)
	}
	return list
}

// Trace returns the trace with this ID, without spans if there is none. A span that was
// sent twice (same ID, kind and start) is in it once.
func (s *Store) Trace(ctx context.Context, id TraceID) (Trace, error) {
	traces, err := s.traces(ctx, id)
	if err != nil {
		return Trace{ID: id}, fmt.Errorf("reading trace %x: %w", id, err)
	}
	return traces[0], nil
}

// traces reads several traces, each as Trace does. It fails with errLargeBatch if there
// is more than one, and they are too large together.
func (s *Store) traces(ctx context.Context, ids ...TraceID) ([]Trace, error) {
	readers := make(map[string]*traceReader, len(ids))
	texts := make([]string, len(ids))
	for i, id := range ids {
		text := hex.EncodeToString(id[:])
		texts[i] = quote(text)
		readers[text] = &traceReader{Trace: Trace{ID: id}, seen: map[spanIdentity]bool{}}
	}
	query := fmt.Sprintf("%s:in(%s) | fields %s, %s, %s | limit %d", fieldTrace, strings.Join(texts, ","), fieldTrace, fieldAt, fieldRow, maxTraceRows)
	from, to := bounds(time.Time{}, time.Time{})
	err := s.spans.read(from, to, func(parts []*partition) error {
		for _, p := range parts {
			rows, err := p.index.query(ctx, query)
			if err != nil {
				return err
			}
			if err := p.readSpans(ctx, rows, readers); err != nil {
				return err
			}
			if len(rows) == maxTraceRows {
				for _, r := range readers {
					r.Partial = true
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	traces := make([]Trace, len(ids))
	for i, id := range ids {
		t := readers[hex.EncodeToString(id[:])].Trace
		slices.SortStableFunc(t.Spans, func(a, b Span) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
		traces[i] = t
	}
	return traces, nil
}

// readSpans reads the spans that rows refer to, in the order of their arrival.
func (p *partition) readSpans(ctx context.Context, rows []row, readers map[string]*traceReader) error {
	byRecord := map[int64]map[int]*traceReader{}
	var records []int64
	for _, r := range rows {
		if byRecord[r.at] == nil {
			byRecord[r.at] = map[int]*traceReader{}
			records = append(records, r.at)
		}
		byRecord[r.at][int(r.number)] = readers[r.value(fieldTrace)]
	}
	slices.Sort(records)
	for _, at := range records {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(readers) > 1 && bytesOf(readers) > maxBatchBytes {
			return errLargeBatch
		}
		wanted := byRecord[at]
		err := p.pick(at, func(n int) bool { return wanted[n] != nil && !wanted[n].full() }, func(n int, s Span) { wanted[n].add(s) })
		if err != nil {
			return err
		}
	}
	return nil
}

// pick calls yield with the spans of a record whose numbers are wanted.
func (p *partition) pick(at int64, wanted func(number int) bool, yield func(number int, span Span)) error {
	record, err := p.journal.Read(at)
	if err != nil {
		return err
	}
	if len(record.Payload) < arrivalBytes {
		return fmt.Errorf("a record of %s is too short", p.dir)
	}
	if err := pick(record.Payload[arrivalBytes:], wanted, yield); err != nil {
		return fmt.Errorf("reading %s: %w", p.dir, err)
	}
	return nil
}

// spanIdentity is the same for a span that was sent twice.
type spanIdentity struct {
	id    string
	kind  tracepb.Span_SpanKind
	start uint64
}

// traceReader collects the spans of a trace.
type traceReader struct {
	Trace
	seen map[spanIdentity]bool
}

// bytesOf returns the bytes of several traces together, as in MaxTraceBytes.
func bytesOf(readers map[string]*traceReader) (total int) {
	for _, r := range readers {
		total += r.bytes
	}
	return total
}

// full reports whether the trace has reached MaxTraceBytes.
func (r *traceReader) full() bool {
	if r.bytes >= MaxTraceBytes {
		r.Partial = true
		return true
	}
	return false
}

func (r *traceReader) add(s Span) {
	key := spanIdentity{string(s.GetSpanId()), s.GetKind(), s.GetStartTimeUnixNano()}
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	r.bytes += jsonBytes * proto.Size(s.Span)
	s.TraceId = bytes.Clone(r.ID[:])
	s.Arrival = len(r.Spans)
	r.Spans = append(r.Spans, s)
}

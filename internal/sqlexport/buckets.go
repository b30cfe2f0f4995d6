package sqlexport

import (
	"fmt"
	"hash/crc32"
	"os"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/otlpjson"
)

const (
	// numBuckets divides what must be in memory at once: of 15 million spans, which a
	// store of 2 GiB may have, a bucket has some 25 MB.
	numBuckets = 256
	// chunkBytes limits what a bucket has in memory before it is written to the file.
	chunkBytes = 64 << 10
)

// buckets bring spans that come in any order together to traces, in a file: each
// span goes to a bucket by its trace ID, and the buckets are read one by one.
type buckets struct {
	file *os.File
	size int64
	all  [numBuckets]bucket
}

// bucket is a list of spans as messages TracesData of OTLP, which may be joined end to end.
type bucket struct {
	chunks []chunk
	last   []byte // not in the file
}

type chunk struct {
	at     int64
	length int
}

// add adds the spans of an export.
func (b *buckets) add(batches []*tracepb.ResourceSpans) error {
	for _, resource := range batches {
		for _, scope := range resource.GetScopeSpans() {
			parts := make(map[uint32][]*tracepb.Span)
			for _, span := range scope.GetSpans() {
				n := crc32.ChecksumIEEE(span.GetTraceId()) % numBuckets
				parts[n] = append(parts[n], span)
			}
			for n, spans := range parts {
				part := &tracepb.ResourceSpans{Resource: resource.GetResource(), SchemaUrl: resource.GetSchemaUrl(),
					ScopeSpans: []*tracepb.ScopeSpans{{Scope: scope.GetScope(), SchemaUrl: scope.GetSchemaUrl(), Spans: spans}}}
				if err := b.addPart(&b.all[n], part); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *buckets) addPart(to *bucket, part *tracepb.ResourceSpans) (err error) {
	data := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{part}}
	if to.last, err = (proto.MarshalOptions{}).MarshalAppend(to.last, data); err != nil {
		return fmt.Errorf("encoding spans: %w", err)
	}
	if len(to.last) < chunkBytes {
		return nil
	}
	if _, err := b.file.WriteAt(to.last, b.size); err != nil {
		return fmt.Errorf("writing spans to a temporary file: %w", err)
	}
	to.chunks = append(to.chunks, chunk{b.size, len(to.last)})
	b.size += int64(len(to.last))
	to.last = to.last[:0]
	return nil
}

// identity is the same for a span that was sent twice, as in the store.
type identity struct {
	trace, span string
	kind        tracepb.Span_SpanKind
	start       uint64
}

// traces returns the traces of a bucket, the one that began first at the beginning.
func (b *buckets) traces(from *bucket) ([]otlpjson.Trace, error) {
	var all []byte
	for _, c := range from.chunks {
		start := len(all)
		all = append(all, make([]byte, c.length)...)
		if _, err := b.file.ReadAt(all[start:], c.at); err != nil {
			return nil, fmt.Errorf("reading spans from a temporary file: %w", err)
		}
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(append(all, from.last...), &data); err != nil {
		return nil, fmt.Errorf("decoding spans: %w", err)
	}
	from.last = nil
	var spans []otlpjson.Span
	seen := make(map[identity]bool)
	for _, resource := range data.GetResourceSpans() {
		scope := resource.GetScopeSpans()[0]
		list := scope.GetSpans()
		resource.ScopeSpans, scope.Spans = nil, nil
		for _, s := range list {
			id := identity{string(s.GetTraceId()), string(s.GetSpanId()), s.GetKind(), s.GetStartTimeUnixNano()}
			if !seen[id] {
				seen[id] = true
				spans = append(spans, otlpjson.Span{Resource: resource, Scope: scope, Span: s})
			}
		}
	}
	return otlpjson.Group(spans), nil
}

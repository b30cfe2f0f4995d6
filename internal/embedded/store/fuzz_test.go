package store_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/store"
)

// Everything that protobuf decodes as a span is returned unchanged, byte by byte.
func FuzzSpan(f *testing.F) {
	for _, span := range []*tracepb.Span{
		{Name: "n", Flags: 1, TraceState: "a=b", Status: &tracepb.Status{Code: 2, Message: "m"}},
		{Attributes: from("s", "").Resource.Attributes, Events: []*tracepb.Span_Event{{Name: "e"}}},
	} {
		b, err := proto.Marshal(span)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s, err := store.Open(f.Context(), f.TempDir(), store.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	var n uint64
	f.Fuzz(func(t *testing.T, b []byte) {
		span := &tracepb.Span{}
		if proto.Unmarshal(b, span) != nil {
			return
		}
		n++ // a trace of its own for each input
		id := make([]byte, 16)
		for i := range 8 {
			id[i] = byte(n >> (8 * i))
		}
		span.TraceId, span.SpanId = id, id[:8]
		want := proto.CloneOf(span)
		if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Trace(t.Context(), store.TraceID(id))
		if err != nil {
			t.Fatal(err)
		}
		marshal := proto.MarshalOptions{Deterministic: true}
		wantBytes, err := marshal.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		gotBytes, err := marshal.Marshal(got.Spans[0].Span)
		if err != nil {
			t.Fatal(err)
		}
		if string(wantBytes) != string(gotBytes) {
			t.Fatalf("got %v\nwant %v", got.Spans[0].Span, want)
		}
	})
}

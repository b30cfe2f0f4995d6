package store_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/pocket/store"
)

// Traces are found whether they are indexed in memory or in the file, also after
// a restart, until they are swept; then nothing of them is left.
func TestTraceIndex(t *testing.T) {
	const traces, round = 60_000, 1_500 // more than one run
	dir, now := t.TempDir(), epoch
	opts := store.Options{TraceAge: time.Hour, SweepEvery: time.Hour, Now: func() time.Time { return now }}
	s := open(t, dir, opts)
	id := func(i int) (id store.TraceID) {
		binary.BigEndian.PutUint64(id[:], uint64(i%7)) // many begin alike
		binary.BigEndian.PutUint64(id[8:], uint64(i+1))
		return id
	}
	// Every trace has a span of each minute, but for those of which the second has none.
	fill := func(minute, first, end int) {
		t.Helper()
		for ; first < end; first += round {
			var spans []*tracepb.Span
			for i := first; i < first+round; i++ {
				trace := id(i)
				spans = append(spans, &tracepb.Span{TraceId: trace[:], SpanId: binary.BigEndian.AppendUint64(nil, uint64(minute)<<32+uint64(i)+1),
					StartTimeUnixNano: uint64(epoch.Add(time.Duration(minute) * time.Minute).UnixNano())})
			}
			if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", spans...)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(when string, want func(i int) int) {
		t.Helper()
		for i := 0; i < traces+100; i += 97 {
			trace, err := s.Trace(t.Context(), id(i))
			if err != nil {
				t.Fatal(err)
			}
			if len(trace.Spans) != want(i) {
				t.Fatalf("%s: trace %d has %d spans, want %d", when, i, len(trace.Spans), want(i))
			}
		}
	}
	fill(0, 0, traces)
	fill(1, 0, traces/2)
	both := func(i int) int {
		switch {
		case i >= traces:
			return 0
		case i < traces/2:
			return 2
		}
		return 1
	}
	check("stored", both)
	if runs := count(t, dir, "trace_run"); runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, opts)
	check("opened again", both)
	now = epoch.Add(time.Hour + time.Minute/2)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	young := func(i int) int { return both(i) / 2 }
	check("first minute swept", young)
	if runs := count(t, dir, "trace_run"); runs != 1 { // of two, only the older has no part any more
		t.Errorf("%d runs after the sweep, want 1", runs)
	}
	now = epoch.Add(2 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("all swept", func(int) int { return 0 })
	for _, table := range []string{"trace_run", "trace_chunk", "span_part", "span_segment"} {
		if n := count(t, dir, table); n != 0 {
			t.Errorf("%s has %d rows after all is swept", table, n)
		}
	}
	// What comes now is not taken for what was there.
	fill(119, 0, round)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, opts)
	check("stored after that", func(i int) int {
		if i < round {
			return 1
		}
		return 0
	})
}

// Traces that are stored while a sweep prunes the dictionaries are found, though
// both may share a transaction.
func TestTraceIndexWhileSweeping(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{TraceAge: time.Hour, SweepEvery: time.Hour, Now: func() time.Time { return epoch }})
	const senders, each = 8, 200
	id := func(sender, i int) (id store.TraceID) {
		binary.BigEndian.PutUint64(id[:], uint64(sender+1))
		binary.BigEndian.PutUint64(id[8:], uint64(i+1))
		return id
	}
	sent := make(chan error)
	for sender := range senders {
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				trace := id(sender, i)
				span := func(name string, at time.Time) *tracepb.Span {
					return &tracepb.Span{TraceId: trace[:], SpanId: trace[8:], Name: name, StartTimeUnixNano: uint64(at.UnixNano())}
				}
				spans := []*tracepb.Span{span("young", epoch)}
				if i%10 == 0 { // something for the sweep, of a class that nothing else has
					spans = append(spans, span(fmt.Sprint("old", sender, i), epoch.Add(-2*time.Hour)))
				}
				err = s.AppendSpans(context.WithoutCancel(t.Context()), []*tracepb.ResourceSpans{from("s", "", spans...)})
			}
			sent <- err
		}()
	}
	for running := senders; running > 0; {
		select {
		case err := <-sent:
			if err != nil {
				t.Error(err)
			}
			running--
		default:
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for sender := range senders {
		for i := range each {
			if trace, err := s.Trace(t.Context(), id(sender, i)); err != nil || len(trace.Spans) == 0 {
				t.Fatalf("trace %d of sender %d has %d spans, %v", i, sender, len(trace.Spans), err)
			}
		}
	}
}

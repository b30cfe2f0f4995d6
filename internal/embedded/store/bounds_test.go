package store_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/store"
)

// Data older than the limit are deleted, within a tenth of the age, the oldest first, also
// within one day. Younger data stay.
func TestSweepByAge(t *testing.T) {
	const traceAge, logAge, step = 10 * time.Hour, 20 * time.Hour, 10 * time.Minute
	now := epoch
	s := open(t, t.TempDir(), store.Options{TraceAge: traceAge, LogAge: logAge, Now: func() time.Time { return now }})
	var ids []store.TraceID
	for i := range 150 { // 25 hours
		now = epoch.Add(time.Duration(i) * step)
		id := store.TraceID(fmt.Appendf(nil, "%016d", i))
		ids = append(ids, id)
		span := &tracepb.Span{TraceId: id[:], SpanId: unhex(t, spanA), StartTimeUnixNano: uint64(now.UnixNano())}
		if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
			t.Fatal(err)
		}
		append1(t, s, line(now.Sub(epoch), "s", "l", fmt.Sprint(i), "", ""))
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check := func(kind string, age time.Duration, there func(i int) bool) {
		t.Helper()
		oldest := -1
		for i := range ids {
			if there(i) && oldest < 0 {
				oldest = i
			} else if !there(i) && oldest >= 0 {
				t.Errorf("%s %d is gone, and %d is there", kind, i, oldest)
			}
		}
		if kept := now.Sub(epoch.Add(time.Duration(oldest) * step)); oldest < 0 || kept < age-step || kept > age+age/10 {
			t.Errorf("%s are there for %v, want %v and a tenth at most", kind, kept, age)
		}
	}
	check("spans", traceAge, func(i int) bool {
		got, err := s.Trace(t.Context(), ids[i])
		if err != nil {
			t.Fatal(err)
		}
		return len(got.Spans) == 1
	})
	lines := map[string]bool{}
	for _, text := range texts(t, s) {
		lines[text] = true
	}
	check("lines", logAge, func(i int) bool { return lines[fmt.Sprint(i)] })
}

// The bytes of all files stay within a tenth of the bound: the oldest data are deleted, and
// no more than necessary.
func TestSweepBySize(t *testing.T) {
	const most = 4 << 20
	dir := t.TempDir()
	s := open(t, dir, store.Options{MaxBytes: most})
	all := padded(30_000)
	for i := 0; i < len(all); i += 100 {
		append1(t, s, all[i:i+100]...)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			// A merge has its rows twice until it ends, which is much of so small a bound.
			for attempt := 0; sizeOf(t, dir) > most+most/10; attempt++ {
				if attempt == 500 {
					t.Fatalf("after %d lines: the files have %d bytes, above %d and a tenth", i, sizeOf(t, dir), most)
				}
				time.Sleep(10 * time.Millisecond) // for the merge
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if size := sizeOf(t, dir); size < most/2 {
		t.Errorf("the files have %d bytes, less than half of what they may", size)
	}
	got := texts(t, s)
	if len(got) < 1000 {
		t.Errorf("%d lines are left", len(got))
	}
	for i, text := range got {
		if want := all[len(all)-1-i].Text; text != want {
			t.Fatalf("line %d is %.10s, want %.10s: not the newest are left", i, text, want)
		}
	}
}

func sizeOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // the engine deletes files that it has merged
		}
		if info, err := d.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// A trace that is too large is partial and reports it, also in a search. A search ends when
// it has found many bytes.
func TestLargeTraces(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	const each = 1 << 20 // of JSON, as the bound counts
	add := func(id string, after time.Duration, n int) {
		t.Helper()
		for i := range n {
			span := &tracepb.Span{TraceId: unhex(t, id), SpanId: []byte(fmt.Sprintf("%08d", i)), Name: "n", StartTimeUnixNano: uint64(epoch.Add(after).UnixNano()) + uint64(i),
				Attributes: []*commonpb.KeyValue{str("a", strings.Repeat("x", each/2))}}
			if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	const fit = store.MaxTraceBytes / each
	const oldest = "000000000000000000000000000000ff"
	add(traceB, 3*time.Second, fit+2)
	add(traceA, 2*time.Second, 2) // with this one a search has enough
	add(oldest, time.Second, 1)
	for id, want := range map[string]int{traceA: 2, traceB: fit} {
		got, err := s.Trace(t.Context(), traceID(t, id))
		if err != nil {
			t.Fatal(err)
		}
		if partial := id == traceB; got.Partial != partial || len(got.Spans) != want {
			t.Errorf("trace %s: %d spans, partial %v, want %d, %v", id, len(got.Spans), got.Partial, want, partial)
		}
		if last := got.Spans[len(got.Spans)-1]; string(last.SpanId) != fmt.Sprintf("%08d", want-1) || len(last.Attributes[0].GetValue().GetStringValue()) != each/2 {
			t.Errorf("trace %s: the last span is %s", id, last.SpanId)
		}
	}
	got, err := s.Search(t.Context(), store.SearchQuery{Limit: 10, Match: func(store.Trace) []int { return []int{0} }})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Traces) == 0 || len(got.Traces) > 2 || !got.Partial || got.Traces[0].ID != traceID(t, traceB) {
		t.Errorf("%d traces, partial %v, want the newest one or two and true", len(got.Traces), got.Partial)
	}
}

// No span is lost because of many or long names of attributes: attributes that are no field
// of the index are found by reading the span.
func TestManyAttributes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	add := func(id string, n int, kvs ...*commonpb.KeyValue) {
		t.Helper()
		span := &tracepb.Span{TraceId: unhex(t, id), SpanId: fmt.Appendf(nil, "%08d", n), Name: "n", StartTimeUnixNano: uint64(epoch.UnixNano()), Attributes: kvs}
		if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
			t.Fatal(err)
		}
	}
	const keys = 100_000
	var kvs []*commonpb.KeyValue
	for i := range keys {
		kvs = append(kvs, integer(fmt.Sprintf("key%06d", i), int64(i)))
	}
	long := strings.Repeat("n", 1000)
	add(traceA, 0, append(kvs, str("long", strings.Repeat("x", 1<<20)), str(long, "v"))...)
	// Many spans with names of their own, which the engine would leave out.
	for i := range 300 {
		var own []*commonpb.KeyValue
		for k := range 20 {
			own = append(own, str(fmt.Sprint("own", i, ".", k), "v"))
		}
		add(traceB, i, own...)
	}
	for id, want := range map[string]int{traceA: 1, traceB: 300} {
		got, err := s.Trace(t.Context(), traceID(t, id))
		if err != nil || len(got.Spans) != want {
			t.Errorf("trace %s: %d spans, %v, want %d", id, len(got.Spans), err, want)
		}
	}
	names, err := s.TagNames(t.Context(), store.ScopeSpan, 300)
	if err != nil || len(names) != 300 || names[299] != "key000299" {
		t.Errorf("%d names, %v, want the first 300", len(names), err)
	}
	for _, c := range []store.Condition{
		{Scope: store.ScopeSpan, Name: "key000001", Op: store.Equal, Value: int64(1)},
		{Scope: store.ScopeSpan, Name: "key099999", Op: store.Equal, Value: int64(99_999)},
		{Scope: store.ScopeSpan, Name: "long", Op: store.Matches, Value: "x+"},
		{Scope: store.ScopeSpan, Name: long, Op: store.Equal, Value: "v"},
	} {
		got, err := s.Search(t.Context(), store.SearchQuery{Limit: 10, Where: []store.Condition{c}, Match: func(trace store.Trace) (found []int) {
			for _, kv := range trace.Spans[0].GetAttributes() {
				if kv.GetKey() == c.Name {
					return []int{0}
				}
			}
			return nil
		}})
		if err != nil || len(got.Traces) != 1 || got.Traces[0].ID != traceID(t, traceA) {
			t.Errorf("%.20s: %d traces, %v", c.Name, len(got.Traces), err)
		}
	}
}

// A name that is larger than a row is stored, and its span is found.
func TestLongNames(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	name := strings.Repeat("n", 3<<20)
	span := &tracepb.Span{TraceId: unhex(t, traceA), SpanId: unhex(t, spanA), Name: name, StartTimeUnixNano: uint64(epoch.UnixNano())}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from(name, "", span)}); err != nil {
		t.Fatal(err)
	}
	for _, where := range [][]store.Condition{
		nil,
		{intrinsic(store.Name, store.Equal, name)},
		{{Scope: store.ScopeResource, Name: store.AttrServiceName, Op: store.Equal, Value: name}},
	} {
		got, err := s.Search(t.Context(), store.SearchQuery{Limit: 10, Where: where, Match: func(store.Trace) []int { return []int{0} }})
		if err != nil || len(got.Traces) != 1 || got.Traces[0].Spans[0].GetName() != name || got.Traces[0].Spans[0].Source.Service != name {
			t.Errorf("%d conditions: %d traces, %v", len(where), len(got.Traces), err)
		}
	}
}

// Texts that are empty are attributes and services like others.
func TestEmptyTexts(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	one := &tracepb.Span{TraceId: unhex(t, traceA), SpanId: unhex(t, spanA), StartTimeUnixNano: uint64(epoch.UnixNano()), Attributes: []*commonpb.KeyValue{str("a", "")}}
	other := &tracepb.Span{TraceId: unhex(t, traceB), SpanId: unhex(t, spanA), StartTimeUnixNano: uint64(epoch.UnixNano()), Attributes: []*commonpb.KeyValue{str("a", "x")}}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{one}}}}, from("s", "", other)}); err != nil {
		t.Fatal(err)
	}
	values, err := s.TagValues(t.Context(), store.ScopeSpan, "a", 10)
	if diff := cmp.Diff([]store.TagValue{{Type: "string"}, {Type: "string", Text: "x"}}, values); diff != "" || err != nil {
		t.Errorf("values (-want +got), %v:\n%s", err, diff)
	}
	services, err := s.Services(t.Context(), 10)
	if diff := cmp.Diff([]string{"", "s"}, services); diff != "" || err != nil {
		t.Errorf("services (-want +got), %v:\n%s", err, diff)
	}
	for _, c := range []store.Condition{
		{Scope: store.ScopeSpan, Name: "a", Op: store.Equal, Value: ""},
		{Scope: store.ScopeSpan, Name: "a", Op: store.NotEqual, Value: "x"},
		{Scope: store.ScopeSpan, Name: "a", Op: store.Matches, Value: "y*"},
	} {
		got, err := s.Search(t.Context(), store.SearchQuery{Limit: 10, Where: []store.Condition{c}, Match: func(trace store.Trace) []int {
			if trace.ID == traceID(t, traceA) {
				return []int{0}
			}
			return nil
		}})
		if err != nil || len(got.Traces) != 1 {
			t.Errorf("%v: %d traces, %v", c, len(got.Traces), err)
		}
	}
}

// Values are sorted before they are limited.
func TestTagValuesLimit(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	var spans []*tracepb.Span
	for i := range 3000 {
		spans = append(spans, &tracepb.Span{TraceId: unhex(t, traceA), SpanId: fmt.Appendf(nil, "%08d", i), StartTimeUnixNano: uint64(epoch.UnixNano()),
			Attributes: []*commonpb.KeyValue{str("a", fmt.Sprintf("%04d", 2999-i)), str("long", fmt.Sprintf("%04d", i)+strings.Repeat("x", 8000))}})
	}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", spans...)}); err != nil {
		t.Fatal(err)
	}
	values, err := s.TagValues(t.Context(), store.ScopeSpan, "a", 2)
	if diff := cmp.Diff([]store.TagValue{{Type: "string", Text: "0000"}, {Type: "string", Text: "0001"}}, values); diff != "" || err != nil {
		t.Errorf("values (-want +got), %v:\n%s", err, diff)
	}
	// Long ones fill the answer: 4 MiB.
	values, err = s.TagValues(t.Context(), store.ScopeSpan, "long", 1000)
	if err != nil || len(values) != 4<<20/8004 {
		t.Errorf("%d long values, %v, want %d", len(values), err, 4<<20/8004)
	}
}

// Lines with any metadata are returned unchanged.
func TestMetadata(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	var want []store.Line
	for i := range 100 {
		l := line(time.Duration(i), "s", "l", fmt.Sprint(i), traceA, spanA)
		for k := range 30 {
			l.Metadata[fmt.Sprint("name", i, ".", k)] = fmt.Sprint(k)
		}
		l.Metadata["empty"], l.Metadata[strings.Repeat("n", 300)] = "", "long"
		want = append(want, l)
	}
	want[50].Text = ""
	append1(t, s, want...)
	var got []store.Line
	q := store.LineQuery{Where: append(where("trace_id", traceA), where("span_id", spanA)...), Forward: true}
	if err := s.Lines(t.Context(), q, func(l store.Line) bool { got = append(got, l); return true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%.3000s", diff)
	}
}

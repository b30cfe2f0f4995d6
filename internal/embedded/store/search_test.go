package store_test

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
)

// made is a span of TestSearchFindsWhatAScanFinds, with the values for a scan.
type made struct {
	trace        string
	service      string
	name, die    string
	kind, status int64
	start, took  int64
}

// makeSpans stores n spans in exports of several sizes and returns them. Their times go back
// and forth over half an hour; one in 500 is slow.
func makeSpans(t *testing.T, s *store.Store, n int) []made {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var all []made
	for len(all) < n {
		service := fmt.Sprintf("service-%d", random.IntN(3))
		var spans []*tracepb.Span
		for range 1 + random.IntN(300) {
			m := made{
				service: service, name: fmt.Sprintf("name-%d", random.IntN(8)), kind: random.Int64N(4), status: random.Int64N(3),
				start: epoch.UnixNano() + random.Int64N(int64(30*time.Minute)), took: random.Int64N(int64(time.Second)),
			}
			if random.IntN(2) == 0 {
				m.die = contract.Dice()[random.IntN(2)]
			}
			if random.IntN(500) == 0 {
				m.took += int64(time.Minute)
			}
			id := fmt.Appendf(nil, "trace-%010d", random.IntN(n/3))
			m.trace = hex.EncodeToString(id)
			span := &tracepb.Span{TraceId: id, SpanId: fmt.Appendf(nil, "%08d", len(all)), Name: m.name, Kind: tracepb.Span_SpanKind(m.kind),
				StartTimeUnixNano: uint64(m.start), EndTimeUnixNano: uint64(m.start + m.took)}
			if m.die != "" {
				span.Attributes = []*commonpb.KeyValue{str(contract.AttrDieType, m.die)}
			}
			if m.status > 0 {
				span.Status = &tracepb.Status{Code: tracepb.Status_StatusCode(m.status)}
			}
			spans, all = append(spans, span), append(all, m)
		}
		if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from(service, "", spans...)}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// asMade returns the values from which a stored span was made.
func asMade(s store.Span) made {
	m := made{trace: hex.EncodeToString(s.GetTraceId()), service: s.Source.Service, name: s.GetName(), kind: int64(s.GetKind()), status: int64(s.GetStatus().GetCode()),
		start: int64(s.GetStartTimeUnixNano()), took: s.Duration()}
	for _, kv := range s.GetAttributes() {
		m.die = kv.GetValue().GetStringValue()
	}
	return m
}

func TestSearchFindsWhatAScanFinds(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	all := makeSpans(t, s, 5000)
	service := func(op store.Op, value string) store.Condition {
		return store.Condition{Scope: store.ScopeResource, Name: store.AttrServiceName, Op: op, Value: value}
	}
	die := func(op store.Op, value string) store.Condition {
		return store.Condition{Scope: store.ScopeSpan, Name: contract.AttrDieType, Op: op, Value: value}
	}
	tests := []struct {
		name     string
		where    []store.Condition
		from, to time.Duration // after epoch; to 0: no bound
		holds    func(made) bool
	}{
		{name: "everything", holds: func(made) bool { return true }},
		{name: "a period", from: 10 * time.Minute, to: 11 * time.Minute, holds: func(made) bool { return true }},
		{name: "service", where: []store.Condition{service(store.Equal, "service-1")}, holds: func(m made) bool { return m.service == "service-1" }},
		{name: "service, name and status", where: []store.Condition{service(store.Equal, "service-1"), intrinsic(store.Name, store.Equal, "name-2"),
			intrinsic(store.Status, store.Equal, int64(2))},
			holds: func(m made) bool { return m.service == "service-1" && m.name == "name-2" && m.status == 2 }},
		{name: "in a period", where: []store.Condition{intrinsic(store.Name, store.Equal, "name-2")}, from: 5 * time.Minute, to: 20*time.Minute + time.Second,
			holds: func(m made) bool { return m.name == "name-2" }},
		{name: "not that service", where: []store.Condition{service(store.NotEqual, "service-1")},
			holds: func(m made) bool { return m.service != "service-1" }},
		{name: "pattern", where: []store.Condition{intrinsic(store.Name, store.Matches, "name-[23]|na")},
			holds: func(m made) bool { return regexp.MustCompile("^name-[23]$").MatchString(m.name) }},
		{name: "not the pattern", where: []store.Condition{intrinsic(store.Name, store.NotMatches, "name-[0-6]")},
			holds: func(m made) bool { return m.name == "name-7" }},
		{name: "die", where: []store.Condition{die(store.Equal, contract.DieRisky)}, holds: func(m made) bool { return m.die == contract.DieRisky }},
		{name: "another die: a span without one is none", where: []store.Condition{die(store.NotEqual, contract.DieRisky)},
			holds: func(m made) bool { return m.die == contract.DieFair }},
		{name: "kind above", where: []store.Condition{intrinsic(store.Kind, store.Greater, int64(2))}, holds: func(m made) bool { return m.kind > 2 }},
		{name: "status not", where: []store.Condition{intrinsic(store.Status, store.NotEqual, int64(0))}, holds: func(m made) bool { return m.status != 0 }},
		{name: "rare duration", where: []store.Condition{intrinsic(store.Duration, store.Greater, int64(time.Minute))},
			holds: func(m made) bool { return m.took > int64(time.Minute) }},
		{name: "rare duration in a period", where: []store.Condition{intrinsic(store.Duration, store.GreaterEqual, int64(time.Minute))},
			from: time.Minute, to: 25 * time.Minute, holds: func(m made) bool { return m.took >= int64(time.Minute) }},
		{name: "frequent duration and name", where: []store.Condition{intrinsic(store.Duration, store.Less, int64(time.Second/2)), intrinsic(store.Name, store.Equal, "name-1")},
			holds: func(m made) bool { return m.took < int64(time.Second/2) && m.name == "name-1" }},
		{name: "rare duration and name", where: []store.Condition{intrinsic(store.Duration, store.Greater, int64(time.Minute)), intrinsic(store.Name, store.Equal, "name-1")},
			holds: func(m made) bool { return m.took > int64(time.Minute) && m.name == "name-1" }},
		{name: "nothing", where: []store.Condition{intrinsic(store.Name, store.Equal, "name-9")}, holds: func(made) bool { return false }},
	}
	for _, tt := range tests {
		for _, limit := range []int{10, 1 << 20} {
			t.Run(fmt.Sprintf("%s, %d", tt.name, limit), func(t *testing.T) {
				q := store.SearchQuery{Where: tt.where, Limit: limit, From: epoch.Add(tt.from), Match: func(trace store.Trace) (found []int) {
					for i, span := range trace.Spans {
						if tt.holds(asMade(span)) {
							found = append(found, i)
						}
					}
					return found
				}}
				if tt.to > 0 {
					q.To = epoch.Add(tt.to)
				}
				got, err := s.Search(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				// A scan: traces by their newest span for which everything holds.
				newest := map[string]int64{}
				for _, m := range all {
					if tt.holds(m) && m.start >= q.From.UnixNano() && (tt.to == 0 || m.start < q.To.UnixNano()) {
						newest[m.trace] = max(newest[m.trace], m.start)
					}
				}
				var want []string
				for id := range newest {
					want = append(want, id)
				}
				slices.SortFunc(want, func(a, b string) int { return cmp.Compare(newest[b], newest[a]) })
				want = want[:min(limit, len(want))]
				var ids []string
				for i, found := range got.Traces {
					ids = append(ids, fmt.Sprintf("%x", found.ID))
					start, _ := found.Bounds()
					if i > 0 {
						if before, _ := got.Traces[i-1].Bounds(); before < start {
							t.Errorf("trace %d starts after the one before", i)
						}
					}
				}
				slices.Sort(want)
				slices.Sort(ids)
				if diff := gocmp.Diff(want, ids); diff != "" {
					t.Errorf("traces (-scan +search):\n%s", diff)
				}
				if got.Partial {
					t.Error("partial")
				}
			})
		}
	}
}

// After a sweep, nothing of a deleted span is found, and the rest still is.
func TestSweepLeavesNoTraces(t *testing.T) {
	now := epoch
	s := open(t, t.TempDir(), store.Options{TraceAge: 20 * time.Hour, Now: func() time.Time { return now }})
	for day := range 3 {
		now = epoch.Add(time.Duration(day) * 15 * time.Hour)
		for i := range 100 {
			span := &tracepb.Span{TraceId: fmt.Appendf(nil, "%016d", i), SpanId: fmt.Appendf(nil, "%08d", day), Name: fmt.Sprint("day ", day), StartTimeUnixNano: uint64(now.UnixNano()),
				Attributes: []*commonpb.KeyValue{integer(fmt.Sprint("of", day), int64(day))}}
			if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from(fmt.Sprint("service ", day), "", span)}); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(2 * time.Hour)
		if err := s.Sweep(t.Context()); err != nil { // which begins another partition
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		after time.Duration
		days  []int
	}{{33 * time.Hour, []int{1, 2}}, {46 * time.Hour, []int{2}}, {70 * time.Hour, nil}} {
		now = epoch.Add(tt.after)
		for range 2 { // the last one is rolled by the first
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var names, services, tags []string
		for _, day := range tt.days {
			names, services, tags = append(names, fmt.Sprint("day ", day)), append(services, fmt.Sprint("service ", day)), append(tags, fmt.Sprint("of", day))
		}
		for name, list := range map[string]struct {
			want []string
			get  func() ([]string, error)
		}{
			"names":    {names, func() ([]string, error) { return s.Names(t.Context(), 10) }},
			"services": {services, func() ([]string, error) { return s.Services(t.Context(), 10) }},
			"tags":     {tags, func() ([]string, error) { return s.TagNames(t.Context(), store.ScopeSpan, 10) }},
		} {
			got, err := list.get()
			if diff := gocmp.Diff(list.want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Errorf("after %v: %s (-want +got), %v:\n%s", tt.after, name, err, diff)
			}
		}
		found, err := s.Search(t.Context(), store.SearchQuery{Limit: 1000, Match: func(store.Trace) []int { return []int{0} }})
		if err != nil {
			t.Fatal(err)
		}
		if want := min(1, len(tt.days)) * 100; len(found.Traces) != want {
			t.Errorf("after %v: %d traces, want %d", tt.after, len(found.Traces), want)
		}
		for _, trace := range found.Traces {
			if len(trace.Spans) != len(tt.days) {
				t.Errorf("after %v: trace %s has %d spans, want %d", tt.after, trace.ID[:], len(trace.Spans), len(tt.days))
			}
		}
	}
}

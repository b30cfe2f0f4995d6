package query_test

import (
	"testing"
	"time"

	"dicelab/internal/query"

	"github.com/google/go-cmp/cmp"
)

// TestSkews checks which calls show that two clocks differ, and by how much.
func TestSkews(t *testing.T) {
	call := func(from, to int) query.Span { return side(sp("a", "", "f", from, to), query.KindClient) }
	answer := func(id string, from, to int) query.Span { return side(sp(id, "a", "r", from, to), query.KindServer) }
	type skew struct {
		From, To string
		Ahead    time.Duration
		Call     string
		Calls    int
	}
	for _, test := range []struct {
		name  string
		spans []query.Span
		want  []skew
	}{
		{"within the call", []query.Span{call(0, 100), answer("b", 10, 90)}, nil},
		{"an end recorded a little late", []query.Span{call(0, 100), answer("b", 10, 106)}, nil},
		{"an answer that takes longer than its call", []query.Span{call(0, 100), answer("b", 10, 900)}, nil},
		{"one service", []query.Span{call(0, 100), side(sp("b", "a", "f", -50, 20), query.KindServer)}, nil},
		{"no call", []query.Span{sp("a", "", "f", 0, 100), answer("b", -50, 20)}, nil},
		{"ahead", []query.Span{call(0, 100), answer("b", 3010, 3090)}, []skew{{"f", "r", 3 * time.Second, "b", 1}}},
		{"behind", []query.Span{call(0, 100), answer("b", -2990, -2910)}, []skew{{"f", "r", -3 * time.Second, "b", 1}}},
		{"a little ahead", []query.Span{call(0, 100), answer("b", 40, 120)}, []skew{{"f", "r", 30 * time.Millisecond,
			"b", 1}}},
		{"two calls narrow it down", []query.Span{call(0, 100), answer("b", 3005, 3025), answer("c", 3075, 3098)},
			[]skew{{"f", "r", 3001500 * time.Microsecond, "b", 2}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := (&query.Trace{Spans: test.spans}).Tree()
			var got []skew
			for _, s := range tree.Skews {
				got = append(got, skew{s.From, s.To, s.Ahead, s.Call.SpanID, s.Calls})
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestAligned checks that a trace whose clocks differ has neither self time nor critical path of the
// call across them, and both once its spans are put where they were.
func TestAligned(t *testing.T) {
	event := query.Event{Name: "e", Time: now().Add(3050 * time.Millisecond)}
	roll := sp("roll", "serve", "r", 3020, 3080)
	roll.Events = []query.Event{event}
	trace := &query.Trace{Spans: []query.Span{sp("root", "", "f", 0, 110), side(sp("call", "root", "f", 0, 100),
		query.KindClient),
		side(sp("serve", "call", "r", 3010, 3090), query.KindServer), roll}}
	tree := trace.Tree()
	if d := cmp.Diff([]string{"root self 10 100-110", "  call self 0", "    serve self 20", "      roll self 60"},
		outline(tree)); d != "" {
		t.Error(d)
	}
	if call := tree.Find("call"); !call.Unplaced || tree.Find("serve").Ahead != 3*time.Second ||
		tree.Find("roll").Ahead != 0 {
		t.Errorf("call %v, answer ahead %v", call.Unplaced, tree.Find("serve").Ahead)
	}
	aligned := trace.Aligned(tree)
	if d := cmp.Diff([]string{"root self 10 100-110", "  call self 20 0-10 90-100", "    serve self 20 10-20 80-90",
		"      roll self 60 20-80"}, outline(aligned.Tree())); d != "" {
		t.Error(d)
	}
	if got := aligned.Tree().Find("roll").Events[0].Time.Sub(now()); got != 50*time.Millisecond {
		t.Errorf("the event is at %v", got)
	}
	if !trace.Spans[3].Events[0].Time.Equal(event.Time) {
		t.Error("the trace itself was changed")
	}
}

package child_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/lab/child"
)

func TestRestarts(t *testing.T) {
	type end struct{ at, ran time.Duration } // at: since the first start
	const ms, s = time.Millisecond, time.Second
	gaveUp := time.Duration(-1)
	for _, tt := range []struct {
		name   string
		policy child.Policy
		ends   []end
		want   []time.Duration
	}{
		{name: "crash loop", policy: child.DefaultPolicy(),
			ends: []end{{at: 0}, {at: 1 * s}, {at: 2 * s}, {at: 3 * s}, {at: 4 * s}, {at: 5 * s}},
			want: []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, gaveUp}},
		{name: "now and then: the delay grows to its bound", policy: child.DefaultPolicy(),
			ends: []end{{20 * s, 20 * s}, {40 * s, 20 * s}, {60 * s, 20 * s}, {80 * s, 20 * s}, {100 * s, 20 * s}, {120 * s, 20 * s}, {140 * s, 20 * s}},
			want: []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5 * s}},
		{name: "a long run starts the delay afresh", policy: child.DefaultPolicy(),
			ends: []end{{at: 0}, {at: 1 * s}, {at: 120 * s, ran: 60 * s}},
			want: []time.Duration{100 * ms, 200 * ms, 100 * ms}},
		{name: "the sixth end is the last one within a minute only", policy: child.DefaultPolicy(),
			ends: []end{{at: 0}, {at: 1 * s}, {at: 2 * s}, {at: 3 * s}, {at: 4 * s}, {at: 60 * s}},
			want: []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms}},
		{name: "once", policy: child.Once(), ends: []end{{at: 0}}, want: []time.Duration{gaveUp}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			restarts := child.NewRestarts(tt.policy)
			epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			var got []time.Duration
			for _, e := range tt.ends {
				delay, again := restarts.Ended(epoch.Add(e.at), e.ran)
				if !again {
					delay = gaveUp
				}
				got = append(got, delay)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("delays (-want +got):\n%s", diff)
			}
		})
	}
}

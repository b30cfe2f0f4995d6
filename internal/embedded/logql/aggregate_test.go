package logql_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/logql"
)

func at(seconds float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func steps(start, end float64, step time.Duration) logql.Steps {
	return logql.Steps{Start: at(start), End: at(end), Step: step, Instant: start == end}
}

func TestCounts(t *testing.T) {
	type line struct {
		at   float64
		text string
	}
	lines := []line{
		{30, `{"die_type":"risky"}`}, {0, `{"die_type":"fair"}`}, {10, `{"die_type":"fair"}`}, {10.001, `{"die_type":"risky"}`}, {-5, `{"die_type":"fair"}`}, {100, `{}`},
	}
	fair, risky, none := map[string]string{"die_type": "fair"}, map[string]string{"die_type": "risky"}, map[string]string{}
	for _, test := range []struct {
		name, query      string
		start, end, step float64
		want             []logql.Series
	}{
		{
			// a point at t counts (t-range, t]: the line at 10 is in at 10 and out at 20
			name: "the ends of the range", query: `sum(count_over_time({a="b"}[10s]))`, start: 0, end: 40, step: 10,
			want: []logql.Series{{Metric: none, Points: []logql.Point{{at(0), 2}, {at(10), 1}, {at(20), 1}, {at(30), 1}}}},
		},
		{
			name: "rate", query: `sum(rate({a="b"}[20s]))`, start: 10, end: 10, step: 1,
			want: []logql.Series{{Metric: none, Points: []logql.Point{{at(10), 0.15}}}},
		},
		{
			name: "by a parsed field", query: `sum by (die_type) (count_over_time({a="b"} | json [1m]))`, start: 10, end: 30, step: 20,
			want: []logql.Series{
				{Metric: fair, Points: []logql.Point{{at(10), 3}, {at(30), 3}}},
				{Metric: risky, Points: []logql.Point{{at(30), 2}}},
			},
		},
		{
			name: "by a label that some lines lack", query: `sum by (die_type, x) (count_over_time({a="b"} | json | die_type!="risky" [1m]))`, start: 100, end: 100, step: 1,
			want: []logql.Series{{Metric: none, Points: []logql.Point{{at(100), 1}}}},
		},
		{
			name: "no sum: one series per set of labels", query: `count_over_time({a="b"} | json [10s])`, start: 10, end: 20, step: 10,
			want: []logql.Series{
				{Metric: map[string]string{"a": "b", "trace_id": "t", "die_type": "fair"}, Points: []logql.Point{{at(10), 1}}},
				{Metric: map[string]string{"a": "b", "trace_id": "t", "die_type": "risky"}, Points: []logql.Point{{at(20), 1}}},
			},
		},
		{name: "nothing in range", query: `sum(rate({a="b"}[1s]))`, start: 50, end: 60, step: 1, want: []logql.Series{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			q, err := logql.Parse(test.query)
			if err != nil {
				t.Fatal(err)
			}
			r := q.Metric.Ranges[0]
			c, err := r.Aggregate(steps(test.start, test.end, time.Duration(test.step*float64(time.Second))))
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				out, ok, err := r.Pipeline.Process(t.Context(), logql.Input{Stream: map[string]string{"a": "b"}, Metadata: map[string]string{"trace_id": "t"}, Text: l.text})
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					continue
				}
				if err := c.Add(at(l.at).UnixNano(), out); err != nil {
					t.Fatal(err)
				}
			}
			got, err := c.Series(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCountsRefuseBrokenLines(t *testing.T) {
	for _, test := range []struct {
		name, query, want string
	}{
		{"the label is asked for", `sum by (die_type) (rate({a="b"} | json [1m]))`,
			"pipeline error: 'JSONParserErr' for series: '{__error__=\"JSONParserErr\", __error_details__=\"Value looks like object, but can't find closing '}' symbol\", a=\"b\"}'.\n" +
				"Use a label filter to intentionally skip this error. (e.g | __error__!=\"JSONParserErr\").\n" +
				"To skip all potential errors you can match empty errors. (e.g | __error__=\"\")"},
		{"nobody asks for a label", `sum(rate({a="b"} | json [1m]))`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			q, err := logql.Parse(test.query)
			if err != nil {
				t.Fatal(err)
			}
			r := q.Metric.Ranges[0]
			c, err := r.Aggregate(steps(0, 0, time.Second))
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := r.Pipeline.Process(t.Context(), logql.Input{Stream: map[string]string{"a": "b"}, Text: "panic: boom"})
			if err != nil {
				t.Fatal(err)
			}
			if got := errorText(c.Add(at(0).UnixNano(), out)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestCountsBounds(t *testing.T) {
	a := logql.Range{Length: time.Minute}
	for _, test := range []struct {
		name       string
		start, end float64
		step       time.Duration
		want       string
	}{
		{"most points", 0, 11_001, time.Second, ""},
		{"too many points", 0, 11_002, time.Second, "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"},
		{"end before start", 1, 0, time.Second, "end timestamp must not be before start time"},
		{"no step", 0, 1, 0, "the step 0s is too short; the shortest is 1ms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := a.Aggregate(steps(test.start, test.end, test.step))
			if got := errorText(err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	c, err := a.Aggregate(steps(0, 9_999, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for i := range logql.MaxTotal/60 + 1 {
		want := ""
		if i == logql.MaxTotal/61 {
			want = "the series of the answer may have more than 500000 points together; increase the step, or add up series with sum by (...)"
		}
		l := logql.Output{Labels: logql.Labels{Stream: map[string]string{"n": fmt.Sprint(i)}}}
		if got := errorText(c.Add(at(0).UnixNano(), l)); got != want {
			t.Fatalf("series %d of 61 changes: %q, want %q", i, got, want)
		}
		if want != "" {
			break
		}
	}
}

package traffic_test

import (
	"testing"
	"time"

	"dicelab/internal/traffic"
)

func TestParseRate(t *testing.T) {
	const refused = "want a rate above 0 such as 200/s, 30/m, or 0..2000/s for one that rises"
	for _, tt := range []struct {
		text string
		want traffic.Rate
		show string
		err  string
	}{
		{"200/s", traffic.Rate{From: 200, To: 200}, "200/s", ""},
		{"200", traffic.Rate{From: 200, To: 200}, "200/s", ""},
		{"30/m", traffic.Rate{From: 0.5, To: 0.5}, "0.5/s", ""},
		{"1800/h", traffic.Rate{From: 0.5, To: 0.5}, "0.5/s", ""},
		{"0..2000/s", traffic.Rate{From: 0, To: 2000}, "0..2000/s", ""},
		{"100..0", traffic.Rate{From: 100, To: 0}, "100..0/s", ""},
		{"1e3/s", traffic.Rate{From: 1000, To: 1000}, "1000/s", ""},
		{"", traffic.Rate{}, "", refused},
		{"0", traffic.Rate{}, "", refused},
		{"0..0/s", traffic.Rate{}, "", refused},
		{"-5/s", traffic.Rate{}, "", refused},
		{"NaN", traffic.Rate{}, "", refused},
		{"5/", traffic.Rate{}, "", refused},
		{"5/d", traffic.Rate{}, "", refused},
		{"..5", traffic.Rate{}, "", refused},
		{"5..", traffic.Rate{}, "", refused},
		{"1..2..3", traffic.Rate{}, "", refused},
		{"x", traffic.Rate{}, "", refused},
		{"Inf", traffic.Rate{}, "", "+Inf a second is too much; want at most 1e+06"},
		{"1000001", traffic.Rate{}, "", "1.000001e+06 a second is too much; want at most 1e+06"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := traffic.ParseRate(tt.text)
			if got != tt.want || err == nil && (tt.err != "" || got.String() != tt.show) || err != nil && err.Error() != tt.err {
				t.Errorf("%v (%q), error %v", got, got, err)
			}
		})
	}
}

func TestParseRange(t *testing.T) {
	for _, tt := range []struct {
		text string
		want traffic.Range
		ok   bool
	}{
		{"500ms..2s", traffic.Range{Min: 500 * time.Millisecond, Max: 2 * time.Second}, true},
		{"1s", traffic.Range{Min: time.Second, Max: time.Second}, true},
		{"0s..1m", traffic.Range{Max: time.Minute}, true},
		{"2s..1s", traffic.Range{}, false},
		{"-1s..1s", traffic.Range{}, false},
		{"1s..25h", traffic.Range{}, false},
		{"1..2", traffic.Range{}, false},
		{"", traffic.Range{}, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := traffic.ParseRange(tt.text)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("%v, error %v", got, err)
			}
			if err != nil && err.Error() != "want a duration, or two with the shorter first, such as 500ms..2s" {
				t.Errorf("error %v", err)
			}
		})
	}
}

// What a rate says of itself is the same rate.
func FuzzParseRate(f *testing.F) {
	for _, seed := range []string{"200/s", "0..2000/s", "30/m", "1e-9/h", "..", "5/x", "0x1p-3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := traffic.ParseRate(text)
		if err != nil {
			return
		}
		if r.From < 0 || r.To < 0 || max(r.From, r.To) > 1e6 || r == (traffic.Rate{}) {
			t.Errorf("%q is %+v", text, r)
		}
		if again, err := traffic.ParseRate(r.String()); err != nil || again != r {
			t.Errorf("%q is %v, which is %v, %v", text, r, again, err)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"500ms..2s", "1s", "1h..24h", "1s..", "-1s", "µs"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := traffic.ParseRange(text)
		if err != nil {
			return
		}
		if r.Min < 0 || r.Max < r.Min {
			t.Errorf("%q is %+v", text, r)
		}
		if again, err := traffic.ParseRange(r.String()); err != nil || again != r {
			t.Errorf("%q is %v, which is %v, %v", text, r, again, err)
		}
	})
}

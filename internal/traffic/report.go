package traffic

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"dicelab/internal/contract"
)

// Seconds is a duration that JSON has as a number of seconds.
type Seconds time.Duration

// MarshalJSON writes the number with nine decimals at most: 0.25.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// UnmarshalJSON reads such a number.
func (s *Seconds) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("reading seconds: %w", err)
	}
	*s = Seconds(math.Round(v * float64(time.Second)))
	return nil
}

// Report is the result of a run.
type Report struct {
	Target   string    `json:"target"` // one of Targets
	URL      string    `json:"url"`
	Seed     uint64    `json:"seed"`
	Start    time.Time `json:"start"`
	Sending  Seconds   `json:"sending_seconds"`              // from the start until nothing more was sent
	Offered  float64   `json:"offered_per_second,omitempty"` // the mean of the rate that was asked for; 0: users
	Achieved float64   `json:"achieved_per_second"`          // rolls over the time it took to send them
	Late     Seconds   `json:"sent_late_seconds"`            // by how much a roll was sent later than due, at most

	Rolls    int            `json:"rolls"` // all of them answered, or given up
	Failed   int            `json:"failed"`
	Outcomes map[string]int `json:"outcomes"` // by status, or by error.type where there was no answer

	Latency   Latency  `json:"latency_seconds"`
	Histogram []Bucket `json:"histogram"`
	Slowest   []Roll   `json:"slowest"`  // slowest first
	Failures  []Roll   `json:"failures"` // the last ones, latest first

	// Dropped counts the spans that were made but not delivered, by reason. The
	// traces of a run that dropped spans are not all whole.
	Dropped map[string]int `json:"spans_dropped"`

	Connections     int `json:"connections_peak"`
	ConnectionLimit int `json:"connections_limit"`
	FileLimit       int `json:"file_descriptor_limit"`
}

// Latency summarises the durations of rolls. Quantiles are estimates (t-digest, compression
// 100): exact to a few per mille at the ends.
type Latency struct {
	Min  Seconds `json:"min"`
	Mean Seconds `json:"mean"`
	P50  Seconds `json:"p50"`
	P90  Seconds `json:"p90"`
	P95  Seconds `json:"p95"`
	P99  Seconds `json:"p99"`
	Max  Seconds `json:"max"`
}

// Bucket counts the rolls that took From or longer, but less than the next
// bucket's From.
type Bucket struct {
	From  Seconds `json:"from_seconds"`
	Rolls int     `json:"rolls"`
}

// Report returns the result of the run, once it has ended. Shut the telemetry down first: only then
// are all the spans that were dropped counted.
func (g *Generator) Report() (Report, error) {
	files, err := FileLimit()
	if err != nil {
		return Report{}, err
	}
	dropped, err := g.dropped()
	if err != nil {
		return Report{}, err
	}
	t := g.counter
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.metrics.Latencies
	r := Report{
		Target: g.Target.Name, URL: g.Target.URL(), Seed: g.Seed, Start: t.start, Sending: Seconds(t.sending),
		Offered: t.load.Rate.mean(), Late: Seconds(t.lateness),
		Rolls: int(t.metrics.Requests), Failed: t.failed, Outcomes: t.outcomes,
		Latency: Latency{Min: Seconds(l.Min), Mean: Seconds(l.Mean), P50: Seconds(l.P50), P90: Seconds(l.P90),
			P95: Seconds(l.P95), P99: Seconds(l.P99), Max: Seconds(l.Max)},
		Slowest: t.slowest, Failures: t.failures, Dropped: dropped,
		Connections: g.pool.most(), ConnectionLimit: g.Connections, FileLimit: files,
	}
	for i, n := range t.metrics.Histogram.Counts {
		r.Histogram = append(r.Histogram, Bucket{From: Seconds(t.metrics.Histogram.Buckets[i]), Rolls: int(n)})
	}
	if t.sending > 0 {
		r.Achieved = float64(r.Rolls) / t.sending.Seconds()
	}
	return r, nil
}

// dropped reads the counter of spans that were not delivered.
func (g *Generator) dropped() (map[string]int, error) {
	families, err := g.Telemetry.Registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("counting dropped spans: %w", err)
	}
	dropped := map[string]int{}
	for _, f := range families {
		if f.GetName() != contract.MetricSpansDropped {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if n := int(m.GetCounter().GetValue()); n > 0 && l.GetName() == contract.LabelReason {
					dropped[l.GetValue()] = n
				}
			}
		}
	}
	return dropped, nil
}

package stack_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"dicelab/internal/contract"
)

// step is the scrape and evaluation interval of prometheus.yml.
const step = 2 * time.Second

// series is a metric with labels in PromQL's notation, and how it goes on: its
// value at start, and how much it grows in a step from a time on.
type series struct {
	metric string
	from   float64
	grows  float64
	since  time.Duration
}

func (s series) at(t time.Duration) float64 {
	if t < s.since {
		return s.from
	}
	return s.from + s.grows*float64((t-s.since)/step)
}

// histogram returns the buckets of a duration histogram whose observations are all
// within (below, le].
func histogram(metric, labels string, bounds []float64, le float64) (out []series) {
	for _, b := range bounds {
		grows := 0.0
		if b >= le {
			grows = 10
		}
		out = append(out, series{metric: fmt.Sprintf(`%s_bucket{%s,le="%v"}`, metric, labels, b), grows: grows})
	}
	return append(out, series{metric: metric + `_bucket{` + labels + `,le="+Inf"}`, grows: 10})
}

func durations() []float64 { return []float64{.5, 1, 2.5, 5, 10} }

func rolls(result string, from, grows float64) series {
	return series{metric: fmt.Sprintf(`%s{%s="%s",%s="%s"}`, contract.MetricDiceRolls,
		contract.LabelDieType, contract.DieRisky, contract.LabelResult, result), from: from, grows: grows}
}

func up(value float64) series {
	return series{metric: `up{job="` + contract.ServiceRoller + `",instance="127.0.0.1:8101"}`, from: value}
}

func dropped(since time.Duration, grows float64) series {
	return series{metric: fmt.Sprintf(`%s{job="%s",%s="%s"}`, contract.MetricSpansDropped,
		contract.ServiceRoller, contract.LabelReason, contract.ReasonQueueFull), since: since, grows: grows}
}

func latency(le float64) []series {
	return histogram(contract.MetricHTTPDuration, `job="`+contract.ServiceRoller+`"`, durations(), le)
}

func TestAlerts(t *testing.T) {
	for _, tt := range []struct {
		name, alert string
		series      []series
		at          time.Duration
		want        []string // "state: summary"
	}{
		{name: "half of the rolls fail", alert: "RollErrorRatioHigh", at: time.Minute,
			series: []series{rolls(contract.ResultSuccess, 0, 2), rolls(contract.ResultError, 0, 2)},
			want:   []string{"firing: 50% of the rolls of the risky die fail"}},
		{name: "half of the rolls fail, not yet for long", alert: "RollErrorRatioHigh", at: 20 * time.Second,
			series: []series{rolls(contract.ResultSuccess, 0, 4), rolls(contract.ResultError, 0, 4)},
			want:   []string{"pending: 50% of the rolls of the risky die fail"}},
		{name: "one in ten fails, as it should", alert: "RollErrorRatioHigh", at: 5 * time.Minute,
			series: []series{rolls(contract.ResultSuccess, 0, 9), rolls(contract.ResultError, 0, 1)}},
		{name: "half of a few rolls fail", alert: "RollErrorRatioHigh", at: 2 * time.Minute,
			series: []series{rolls(contract.ResultSuccess, 0, .05), rolls(contract.ResultError, 0, .05)}},
		{name: "slow", alert: "LatencyHigh", at: time.Minute, series: latency(2.5),
			want: []string{"firing: one request of dice-roller in twenty takes longer than 2.425s"}},
		{name: "as slow as a roll may be", alert: "LatencyHigh", at: 2 * time.Minute, series: latency(1)},
		{name: "down", alert: "TargetDown", at: 10 * time.Second, series: []series{up(0)},
			want: []string{"firing: dice-roller at 127.0.0.1:8101 does not answer"}},
		{name: "down for a moment", alert: "TargetDown", at: 4 * time.Second, series: []series{up(0)},
			want: []string{"pending: dice-roller at 127.0.0.1:8101 does not answer"}},
		{name: "up", alert: "TargetDown", at: time.Minute, series: []series{up(1)}},
		{name: "spans dropped", alert: "SpansDropped", at: time.Minute, series: []series{dropped(50*time.Second, 1)},
			want: []string{"firing: dice-roller drops spans (queue_full)"}},
		{name: "spans dropped long ago", alert: "SpansDropped", at: 5 * time.Minute,
			series: []series{{metric: dropped(0, 0).metric, from: 7}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := evaluate(t, tt.series, tt.at).alerts(tt.alert)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("alerts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordingRules(t *testing.T) {
	in := slices.Concat([]series{
		rolls(contract.ResultSuccess, 0, 3), rolls(contract.ResultError, 0, 1), dropped(0, 1),
	}, latency(1))
	got := evaluate(t, in, 2*time.Minute).recorded(t)
	want := map[string]float64{
		`die_type:dice_rolls_errors:ratio_rate5m{die_type="risky"}`:                           .25,
		`job:http_request_duration_seconds:p95_rate1m{job="dice-roller"}`:                     .975,
		`job_reason:dicelab_spans_dropped:increase1m{job="dice-roller", reason="queue_full"}`: 30,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// Every alert has a test that lets it fire.
func TestEveryAlertIsTested(t *testing.T) {
	want := []string{"LatencyHigh", "RollErrorRatioHigh", "SpansDropped", "TargetDown"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(evaluate(t, nil, 0).byName()))); diff != "" {
		t.Errorf("alerts of rules.yml (-tested +there):\n%s", diff)
	}
}

// evaluation is rules.yml after some time over some series.
type evaluation struct {
	group  *rules.Group
	query  rules.QueryFunc
	end    time.Time
	parser parser.Parser
}

// evaluate appends the series at every step, evaluates the rules there, and
// stops at a time.
func evaluate(t *testing.T, in []series, until time.Duration) evaluation {
	t.Helper()
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	p := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, Parser: p})
	e := evaluation{query: rules.EngineQueryFunc(engine, db), parser: p}
	manager := rules.NewManager(&rules.ManagerOptions{
		ExternalURL: &url.URL{}, QueryFunc: e.query, AppendableV2: db, Queryable: db, Context: t.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: slog.New(slog.DiscardHandler),
	})
	groups, errs := manager.LoadGroups(step, labels.EmptyLabels(), "", nil, false, "prometheus/rules.yml")
	if len(errs) > 0 || len(groups) != 1 {
		t.Fatalf("rules.yml: %d groups, %v", len(groups), errs)
	}
	for _, g := range groups {
		e.group = g
	}
	start := time.Unix(1_700_000_000, 0)
	for at := time.Duration(0); at <= until; at += step {
		e.end = start.Add(at)
		e.append(t, db, in, at)
		e.group.Eval(t.Context(), e.end)
	}
	for _, r := range e.group.Rules() {
		if err := r.LastError(); err != nil {
			t.Errorf("%s: %v", r.Name(), err)
		}
	}
	return e
}

func (e evaluation) append(t *testing.T, db *tsdb.DB, in []series, at time.Duration) {
	t.Helper()
	app := db.AppenderV2(t.Context())
	for _, s := range in {
		metric, err := e.parser.ParseMetric(s.metric)
		if err != nil {
			t.Fatalf("%s: %v", s.metric, err)
		}
		if _, err := app.Append(0, metric, 0, e.end.UnixMilli(), s.at(at), nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

func (e evaluation) byName() map[string]*rules.AlertingRule {
	out := map[string]*rules.AlertingRule{}
	for _, r := range e.group.AlertingRules() {
		out[r.Name()] = r
	}
	return out
}

func (e evaluation) alerts(name string) (out []string) {
	for _, a := range e.byName()[name].ActiveAlerts() {
		out = append(out, a.State.String()+": "+a.Annotations.Get("summary"))
	}
	return out
}

// recorded returns the recording rules' series at the end.
func (e evaluation) recorded(t *testing.T) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, r := range e.group.Rules() {
		if _, ok := r.(*rules.RecordingRule); !ok {
			continue
		}
		vector, err := e.query(t.Context(), r.Name(), e.end)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range vector {
			name := s.Metric.Get(model.MetricNameLabel)
			rest := labels.NewBuilder(s.Metric).Del(model.MetricNameLabel).Labels().String()
			out[name+strings.TrimSpace(rest)] = math.Round(s.F*1000) / 1000
		}
	}
	return out
}

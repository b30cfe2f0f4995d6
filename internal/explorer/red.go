package explorer

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// red holds the rate, the errors and the durations of a service, or of one of its
// operations, from the metrics of spans (the RED method).
type red struct {
	rate, failed  float64 // per second
	p50, p95, p99 float64 // seconds; NaN: unknown
}

// handled selects the spans of requests that a service handled. A service that has none,
// such as a database seen from its clients, is judged by all of its spans.
const handled = `span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"`

// quantiles are those of durations that pages show.
func quantiles() []float64 { return []float64{0.5, 0.95, 0.99} }

// spanRate returns a query of spans a second by labels, over a stretch of time such as 60s.
func spanRate(matchers, over string, by ...string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s{%s}[%s]))", strings.Join(by, ", "), contract.MetricSpanCalls, matchers, over)
}

// spanIncrease returns a query of the number of spans by service, over a range such as [60s] or
// [60s] offset 120s.
func spanIncrease(matchers, over string) string {
	return fmt.Sprintf("sum by (%s) (increase(%s{%s}%s))", contract.LabelService, contract.MetricSpanCalls, matchers, over)
}

// spanQuantile returns a query of a quantile of durations, in seconds, by labels: of the
// spans that were handled, or of all where there are none.
func spanQuantile(q float64, matchers, over string, by ...string) string {
	buckets := func(matchers string) string {
		return fmt.Sprintf("sum by (%s) (rate(%s_bucket{%s}[%s]))", strings.Join(append([]string{"le"}, by...), ", "), contract.MetricSpanLatency, matchers, over)
	}
	return fmt.Sprintf("histogram_quantile(%g, %s or %s)", q, buckets(and(matchers, handled)), buckets(matchers))
}

// and joins two lists of matchers.
func and(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

// reds reads what the span metrics say, by the value of a label: the service's, or that
// of the span's name, over a window.
func (e *explorer) reds(ctx context.Context, label, matchers string, win window) (map[string]*red, error) {
	qs, over := quantiles(), win.rangeWindow()
	results, errs := make([]*query.Result, 1+len(qs)), make([]error, 1+len(qs))
	ask := func(i int, q string) func() {
		return func() { results[i], errs[i] = e.Prometheus.Query(ctx, q, win.End) }
	}
	asks := []func(){ask(0, spanRate(matchers, over, label, "span_kind", "status_code"))}
	for i, q := range qs {
		asks = append(asks, ask(i+1, spanQuantile(q, matchers, over, label)))
	}
	inParallel(asks...)
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	out := map[string]*red{}
	handles := map[string]bool{}
	isHandled := func(s query.Series) bool {
		return s.Labels["span_kind"] == "SPAN_KIND_SERVER" || s.Labels["span_kind"] == "SPAN_KIND_CONSUMER"
	}
	for _, s := range results[0].Series {
		handles[s.Labels[label]] = handles[s.Labels[label]] || isHandled(s)
	}
	for _, s := range results[0].Series {
		name := s.Labels[label]
		if handles[name] && !isHandled(s) {
			continue
		}
		if out[name] == nil {
			out[name] = &red{p50: math.NaN(), p95: math.NaN(), p99: math.NaN()}
		}
		out[name].rate += s.Last()
		if s.Labels["status_code"] == "STATUS_CODE_ERROR" {
			out[name].failed += s.Last()
		}
	}
	for i := range qs {
		for _, s := range results[i+1].Series {
			if r := out[s.Labels[label]]; r != nil {
				*[]*float64{&r.p50, &r.p95, &r.p99}[i] = s.Last()
			}
		}
	}
	return out, nil
}

// redText has the values of a red as a page shows them.
type redText struct {
	Rate, Errors, P50, P95, P99 string
	Failing                     bool // some failed
	Alarming                    bool // more than is expected
}

// expectedFailures returns the share of the requests to a service that may fail before a
// page shows it in red: in the lab that of the alert RollErrorRatioHigh, because a risky
// die fails on purpose.
func expectedFailures(service string) float64 {
	if service == contract.ServiceTraffic || slices.Contains(contract.Services(), service) {
		return 0.25
	}
	return 0.01
}

func (r *red) text(service string) redText {
	if r == nil {
		return redText{"–", "–", "–", "–", "–", false, false}
	}
	t := redText{Rate: short(r.rate), Errors: "–", P50: secondsText(r.p50), P95: secondsText(r.p95), P99: secondsText(r.p99), Failing: r.failed > 0,
		Alarming: r.failed > expectedFailures(service)*r.rate}
	if r.rate > 0 {
		t.Errors = percent(r.failed / r.rate)
	}
	return t
}

// busiest returns the names of at most n, those with the highest rates, and the number
// of others.
func busiest(by map[string]*red, n int) (names []string, more int) {
	for name := range by {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b].rate, by[a].rate), cmp.Compare(a, b))
	})
	more = max(0, len(names)-n)
	return names[:len(names)-more], more
}

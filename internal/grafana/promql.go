package grafana

import (
	"fmt"
	"strconv"
	"strings"

	"dicelab/internal/contract"
)

// The time ranges of rates: for a line, and for a single number.
const (
	perStep  = "[$__rate_interval]"
	perRange = "[$__range]"
)

// labelJob is the label with which Prometheus distinguishes services.
const labelJob = "job"

// of writes a metric with matchers.
func of(metric string, matchers ...string) string {
	if len(matchers) == 0 {
		return metric
	}
	return metric + "{" + strings.Join(matchers, ",") + "}"
}

func is(label, value string) string      { return label + "=" + strconv.Quote(value) }
func isNot(label, value string) string   { return label + "!=" + strconv.Quote(value) }
func matches(label, value string) string { return label + "=~" + strconv.Quote(value) }

// thatDie returns the die that was chosen.
func thatDie() string { return matches(contract.LabelDieType, "$"+VariableDie) }

func rate(series, over string) string     { return "rate(" + series + over + ")" }
func increase(series, over string) string { return "increase(" + series + over + ")" }

func sum(of string, by ...string) string {
	if len(by) == 0 {
		return "sum(" + of + ")"
	}
	return "sum by (" + strings.Join(by, ", ") + ") (" + of + ")"
}

// quantile returns the query of a quantile of a histogram, of all its series together or by labels.
func quantile(q float64, histogram string, matchers []string, by ...string) string {
	return fmt.Sprintf("histogram_quantile(%v, %s)", q, sum(rate(of(histogram+"_bucket", matchers...), perStep), append(by, "le")...))
}

// quantiles returns p50, p95 and p99, with exemplars.
func quantiles(histogram string, matchers ...string) []Target {
	var out []Target
	for _, q := range []float64{.5, .95, .99} {
		out = append(out, ranged(quantile(q, histogram, matchers), fmt.Sprintf("p%v", q*100)))
	}
	return withExemplars(out...)
}

// mean returns the query of the mean of a histogram.
func mean(histogram string, matchers []string, by ...string) string {
	return sum(rate(of(histogram+"_sum", matchers...), perStep), by...) + " / " + sum(rate(of(histogram+"_count", matchers...), perStep), by...)
}

// ratio returns the ratio of part to all. It has no value without any of all, and is 0 if no series
// counts a part.
func ratio(part, all, over string, by ...string) string {
	some := sum(rate(all, over), by...)
	return "(" + sum(rate(part, over), by...) + " or 0 * " + some + ") / (" + some + " > 0)"
}

// distribution counts how often each value was rolled, as cumulative buckets. A bucket's label is
// le="3" or le="3.0", depending on the format of the scrape.
func distribution(die string) Target {
	bounds := contract.RollValueBuckets()
	values := fmt.Sprintf("[%v-%v]", bounds[0], bounds[len(bounds)-2])
	le := matches("le", values+"|"+values+"[.]0")
	t := ranged(sum(increase(of(contract.MetricDiceRollValue+"_bucket", is(contract.LabelDieType, die), le), perRange), "le"), "{{le}}")
	t.Format = FormatHeatmap
	return t
}

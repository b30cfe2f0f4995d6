package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// metrics are the rows of Metrics Collection.
func metrics() []check {
	return []check{
		{Row: Row{Name: "targets-up", Box: "Prometheus scraping both services: http://localhost:9090/targets",
			Does: "GET /api/v1/targets of Prometheus", Expects: "the jobs " + strings.Join(contract.Services(), " and ") + ", up"},
			needs: needPrometheus, run: targetsUp},
		{Row: Row{Name: "frontend-metrics-stored", Box: "Frontend metrics present: Query `streamlit_button_clicks_total` in Prometheus",
			Does: "sum(" + contract.MetricButtonClicks + ")", Expects: "what the front end's /metrics said after the rolls, or more"},
			needs: needPrometheus | needRolls, run: stored(contract.ServiceFrontend, contract.MetricButtonClicks)},
		{Row: Row{Name: "backend-metrics-stored", Box: "Backend metrics present: Query `dice_rolls_total` in Prometheus",
			Does: "sum(" + contract.MetricDiceRolls + ")", Expects: "what the dice roller's /metrics said after the rolls, or more"},
			needs: needPrometheus | needRolls, run: stored(contract.ServiceRoller, contract.MetricDiceRolls)},
		{Row: Row{Name: "counters-exact", Does: "GET /metrics of both services before and after the rolls",
			Expects: "every counter has moved by exactly what was rolled, and no other has"},
			needs: needRolls, run: countersExact},
		{Row: Row{Name: "labels-bounded", Does: "a request with a path and a method that nobody knows, to both services; then GET /metrics",
			Expects: "neither stands in a label"}, run: labelsBounded},
	}
}

func targetsUp(ctx context.Context, p *probe) finding {
	found, err := until(ctx, p, func(ctx context.Context) (string, error) {
		targets, err := p.prometheus().Targets(ctx)
		if err != nil {
			return "", err
		}
		var up, problems []string
		for _, service := range contract.Services() {
			i := slices.IndexFunc(targets, func(t query.Target) bool { return t.Job == service })
			switch {
			case i < 0:
				problems = append(problems, "no target has the job "+service)
			case targets[i].Health != "up":
				problems = append(problems, strings.TrimRight(fmt.Sprintf("%s at %s is %s: %s", service, targets[i].URL, targets[i].Health, targets[i].LastError), ": "))
			default:
				up = append(up, fmt.Sprintf("%s every %s", targets[i].URL, targets[i].Interval))
			}
		}
		if len(problems) > 0 {
			return "", errors.New(strings.Join(problems, "; "))
		}
		return strings.Join(up, ", "), nil
	})
	if err != nil {
		return fail("%v", err)
	}
	return pass("up: %s", found)
}

// stored checks that Prometheus has what a service showed after the rolls.
func stored(service, metric string) func(context.Context, *probe) finding {
	return func(ctx context.Context, p *probe) finding {
		shown, series := 0.0, 0
		for sample, value := range p.rolls.after[service] {
			if strings.HasPrefix(sample, metric+"{") {
				shown, series = shown+value, series+1
			}
		}
		if p.rolls.countErr != nil {
			return fail("%v", p.rolls.countErr)
		}
		if series == 0 {
			return fail("%s itself shows no %s", service, metric)
		}
		value, err := until(ctx, p, func(ctx context.Context) (float64, error) {
			r, err := p.prometheus().Query(ctx, fmt.Sprintf("sum(%s{job=%q})", metric, service), time.Time{})
			if err != nil {
				return 0, err
			}
			if len(r.Series) == 0 {
				return 0, fmt.Errorf("no %s with the job %s is in Prometheus", metric, service)
			}
			got := r.Series[0].Last()
			if math.IsNaN(got) || got < shown {
				return 0, fmt.Errorf("%s showed %v after the rolls, but Prometheus has %v", service, shown, got)
			}
			return got, nil
		})
		if err != nil {
			return fail("%v", err)
		}
		return pass("%v, and /metrics said %v", value, shown)
	}
}

// countersExact compares what the services counted during the rolls with what
// the rolls should leave behind. Others may roll at the same time: a counter that
// has moved less is wrong in any case; one that has moved more is right where
// their rolls are found in Tempo.
func countersExact(ctx context.Context, p *probe) finding {
	s := &p.rolls
	if s.countErr != nil {
		return fail("%v", s.countErr)
	}
	want, ok := s.expected()
	if !ok && s.success == nil {
		return p.because(rowRoll, "no roll brought a value", s.told())
	}
	if !ok {
		return fail("some rolls ended in a way that no counter is known for; %s", s.told())
	}
	diffs := differences(want, s.before, s.after)
	if len(diffs) == 0 {
		n := 0
		for _, moved := range want {
			n += len(moved)
		}
		return pass("%d rolls, %d counters moved by what was rolled, no other moved", len(s.all), n)
	}
	var less, more []string
	for _, d := range diffs {
		if d.got < d.want {
			less = append(less, d.String())
		} else {
			more = append(more, d.String())
		}
	}
	if len(less) > 0 {
		f := fail("during %d rolls %s", len(s.all), listed(append(less, more...)))
		f.command = "curl -s " + quote(p.at(p.services()[diffs[0].service], "/metrics"))
		return f
	}
	others, err := p.others(ctx)
	if err != nil {
		return fail("during %d rolls %s, and it is not explained by others who rolled: %v", len(s.all), listed(more), err)
	}
	return notApplicable("others rolled at the same time (%d traces of theirs), so that counts cannot be told apart: %s", others, listed(more))
}

// othersTime is how long the traces of others are looked for.
const othersTime = 3 * time.Second

// others counts the rolls that somebody else made while this run rolled.
func (p *probe) others(ctx context.Context) (int, error) {
	own := p.rolls.ids()
	return untilTime(ctx, p, time.Now().Add(othersTime), func(ctx context.Context) (n int, err error) {
		for _, q := range []query.SpanFilter{{Service: contract.ServiceFrontend, Name: contract.SpanFrontendRoll}, {Service: contract.ServiceRoller, Name: contract.SpanRollerRoll}} {
			r, err := p.tempo().Search(ctx, query.Search{TraceQL: q.TraceQL(), Start: p.rolls.began.Add(-rollTimeout), End: p.till(), Limit: maxLines})
			if err != nil {
				return 0, err
			}
			for _, f := range r.Traces {
				end := f.Start.Add(f.Duration + time.Millisecond) // durations are in whole milliseconds
				if own[f.TraceID] == nil && f.Start.Before(p.rolls.ended) && end.After(p.rolls.began) {
					n++
				}
			}
		}
		if n == 0 {
			err = errors.New("no trace of anybody else")
		}
		return n, err
	})
}

// labelsBounded asks for something that no label may repeat.
func labelsBounded(ctx context.Context, p *probe) finding {
	word := "nobody" + digits(6)
	labelPair := regexp.MustCompile(`(\w+)="([^"]*)"`)
	seen := map[string]bool{}
	for _, service := range contract.Services() {
		base := p.services()[service]
		if _, err := p.do(ctx, strings.ToUpper(word), p.at(base, "/"+word), http.Header{}, ""); err != nil {
			return fail("asking %s: %v", service, err)
		}
		_, err := untilTime(ctx, p, time.Now().Add(settleTime), func(ctx context.Context) (struct{}, error) {
			families, err := p.metricsOf(ctx, base)
			if err != nil {
				return struct{}{}, err
			}
			counted := false
			for sample := range samplesOf(families) {
				if strings.Contains(strings.ToLower(sample), word) {
					return struct{}{}, fmt.Errorf("a label of %s repeats what was asked: %s", service, sample)
				}
				if strings.HasPrefix(sample, contract.MetricHTTPRequests+"{") {
					counted = counted || strings.Contains(sample, contract.LabelHandler+`="`+contract.HandlerNone+`"`) &&
						strings.Contains(sample, contract.LabelMethod+`="`+contract.MethodOther+`"`)
				}
				for _, m := range labelPair.FindAllStringSubmatch(sample, -1) {
					seen[m[1]+"="+m[2]] = true
				}
			}
			if !counted {
				return struct{}{}, fmt.Errorf("%s did not count the request under handler=%q, method=%q", service, contract.HandlerNone, contract.MethodOther)
			}
			return struct{}{}, nil
		})
		if err != nil {
			return fail("%v", err)
		}
	}
	names := map[string]int{}
	for pair := range seen {
		name, _, _ := strings.Cut(pair, "=")
		names[name]++
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, names[name]))
	}
	return pass("values: %s", strings.Join(parts, ", "))
}

package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
	"dicelab/internal/verify/compare"
	"dicelab/internal/verify/exchange"
	"dicelab/internal/wait"
)

func targetsUp(ctx context.Context, p *Probe) (evidence string, err error) {
	p.page = "/targets"
	failed := map[time.Time]bool{} // scrapes
	err = p.until(ctx, func() error {
		targets, err := p.prometheus().Targets(ctx)
		if err != nil {
			return err
		}
		var up, problems []string
		for _, service := range contract.Services() {
			i := slices.IndexFunc(targets, func(t query.Target) bool { return t.Job == service })
			if i < 0 {
				problems = append(problems, "no target has the job "+service)
				continue
			}
			t := targets[i]
			if t.Health == "up" {
				up = append(up, fmt.Sprintf("%s every %s", t.URL, t.Interval))
				continue
			}
			why := cmp.Or(t.LastError, "it was not scraped yet")
			problems = append(problems, fmt.Sprintf("%s at %s is %s: %s", service, t.URL, t.Health, why))
			failed[t.LastScrape] = true
		}
		evidence = "up: " + strings.Join(up, ", ")
		if len(problems) == 0 {
			return nil
		}
		if err = errors.New(strings.Join(problems, "; ")); len(failed) > 3 { // it is not just about to start
			err = wait.Final(err)
		}
		return err
	})
	return evidence, err
}

// stored checks that Prometheus has what a service showed after the rolls.
func stored(service, metric string) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		shown, ok := p.rolls.after[service].Sum(metric)
		switch {
		case p.rolls.countErr != nil:
			return "", p.rolls.countErr
		case !ok:
			return "", fmt.Errorf("%s itself shows no %s", service, metric)
		}
		value, err := p.later(ctx, sumOf(metric, service), shown)
		if err == nil && shown == 0 {
			err = fmt.Errorf("%s of %s is 0 after %s", metric, service, plural(len(p.rolls.all), "roll"))
		}
		return fmt.Sprintf("%v; /metrics showed %v after the rolls", value, shown), err
	}
}

// countersExact compares what the services counted during the rolls with what
// the rolls should leave behind. Others may roll at the same time: a counter that
// has moved less is wrong in any case; one that has moved more is right if their
// rolls are found in Tempo.
func countersExact(ctx context.Context, p *Probe) (string, error) {
	s := p.rolls
	if s.countErr != nil {
		return "", s.countErr
	}
	want, ok := s.expected()
	if !ok {
		return "", fmt.Errorf("some rolls ended in a way for which the counts are not known: %s", s.summary())
	}
	n := 0
	for _, moved := range want {
		n += len(moved)
	}
	var less, more []string
	for _, d := range compare.Counts(want, s.before, s.after) {
		if d.Got >= d.Want {
			more = append(more, d.String())
			continue
		}
		metric := metricOf(d.Sample)
		less, p.page = append(less, d.String()), metricPage(metric)
		p.command = fmt.Sprintf("curl -s %s | grep ^%s", exchange.Quote(p.at(p.services()[d.Service], "/metrics")), metric)
	}
	rolled := fmt.Sprintf("during %s", plural(len(s.all), "roll"))
	switch {
	case len(less) > 0:
		return "", fmt.Errorf("%s %s moved too little: %s", rolled, plural(len(less), "counter"), compare.List(less))
	case len(more) == 0:
		return fmt.Sprintf("%s %d counters moved by what was rolled, and no other", rolled, n), nil
	}
	others, err := p.others(ctx)
	if err != nil {
		return "", fmt.Errorf("%s %s moved too much, though there is no other roll (%w): %s",
			rolled, plural(len(more), "counter"), err, compare.List(more))
	}
	return "", skip("others rolled at the same time (%s): %s moved by more than these rolls, none by less",
		plural(others, "trace"), plural(len(more), "counter"))
}

// metricOf is the metric's name in a sample.
func metricOf(sample string) string {
	name, _, _ := strings.Cut(sample, "{")
	return strings.TrimSuffix(name, "_count")
}

// othersTime is the time in which the traces of others arrive.
const othersTime = 3 * time.Second

// others counts the rolls that somebody else made while this run rolled.
func (p *Probe) others(ctx context.Context) (n int, err error) {
	own := p.rolls.ids()
	err = p.within(ctx, othersTime, func() error {
		for service, name := range map[string]string{
			contract.ServiceFrontend: contract.SpanFrontendRoll, contract.ServiceRoller: contract.SpanRollerRoll,
		} {
			r, err := p.tempo().Search(ctx, query.Search{TraceQL: query.SpanFilter{Service: service, Name: name}.TraceQL(),
				Start: p.since(), End: p.rolls.ended.Add(time.Second), Limit: maxLines})
			if err != nil {
				return err
			}
			for _, f := range r.Traces {
				end := f.Start.Add(f.Duration + time.Millisecond) // durations are in whole milliseconds
				if own[f.TraceID] == nil && f.Start.Before(p.rolls.ended) && end.After(p.rolls.began) {
					n++
				}
			}
		}
		if n == 0 {
			return errors.New("there is no trace of one")
		}
		return nil
	})
	return n, err
}

// labelsBounded asks for something that no label may repeat.
func labelsBounded(ctx context.Context, p *Probe) (string, error) {
	word := "nobody" + digits(6)
	for _, service := range contract.Services() {
		if _, err := p.do(ctx, strings.ToUpper(word), p.at(p.services()[service], "/"+word), http.Header{}, ""); err != nil {
			return "", fmt.Errorf("asking %s: %w", service, err)
		}
		err := p.within(ctx, settleTime, func() error {
			samples, _, err := p.metricsOf(ctx, service)
			if err != nil {
				return err
			}
			counted := false
			for sample := range samples {
				if strings.Contains(strings.ToLower(sample), word) {
					return wait.Final(fmt.Errorf("a label of %s repeats what was asked for: %s", service, sample))
				}
				counted = counted || metricOf(sample) == contract.MetricHTTPRequests &&
					strings.Contains(sample, fmt.Sprintf("%s=%q", contract.LabelHandler, contract.HandlerNone)) &&
					strings.Contains(sample, fmt.Sprintf("%s=%q", contract.LabelMethod, contract.MethodOther))
			}
			if !counted {
				return fmt.Errorf("%s did not count the request under handler=%q, method=%q",
					service, contract.HandlerNone, contract.MethodOther)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("both services count it as handler=%q, method=%q", contract.HandlerNone, contract.MethodOther), nil
}

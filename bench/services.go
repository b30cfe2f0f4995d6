package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"time"

	"dicelab/internal/scrape"
)

// contender is one way to serve a roll.
type contender struct {
	name  string
	start func(ctx context.Context, addr, admin, sink string) (*process, error)
	admin bool // its metrics are on the second address
}

// round is the result of one contender in one round.
type round struct {
	perSecond float64
	cpu       time.Duration // for each request
	mallocs   float64       // for each request
}

// Places in the list of contenders.
const (
	documented    = 1
	dicelabRoller = 2
)

func contenders(p plan) ([]contender, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	role := func(name string) func(context.Context, string, string, string) (*process, error) {
		return func(ctx context.Context, addr, admin, sink string) (*process, error) {
			return startProcess(ctx, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + sink}, self, "-role", name, "-addr", addr, "-admin", admin)
		}
	}
	return []contender{
		{name: "bare net/http handler", start: role("bare"), admin: true},
		{name: "as the documents show it", start: role("docs"), admin: true},
		{name: "**dicelab roller**", start: func(ctx context.Context, addr, _, sink string) (*process, error) {
			return startProcess(ctx, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + sink}, p.dicelab, "roller", "--addr", addr, "--max-delay", "0s", "--error-rate", "0")
		}},
	}, nil
}

// measureServices compares the dice roller with a handler without telemetry and with one
// that has the usual telemetry, in alternating rounds.
func measureServices(ctx context.Context, p plan, r *report) (err error) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return errors.New("wrk, which makes the load, is not installed: apt-get install wrk, or brew install wrk")
	}
	list, err := contenders(p)
	if err != nil {
		return err
	}
	sink, stop, err := serveSink(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	rounds := make([][]round, len(list))
	for n := range p.scale.rounds {
		for i, c := range list {
			r.progress("services: round %d of %d, %s", n+1, p.scale.rounds, c.name)
			one, err := load(ctx, c, wrk, sink, p.scale.load)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			rounds[i] = append(rounds[i], one)
		}
	}
	r.heading("The dice roller under load")
	r.line("`wrk -t1 -c32`, %v a round, %d rounds in turns, a roll without delay, every request sampled, spans to a sink, stdout to a", p.scale.load, p.scale.rounds)
	r.line("pipe that is read, %d processors for all. Medians; ratios are medians of the rounds' ratios to the bare handler.", runtime.NumCPU())
	r.line("")
	r.line("| | requests/s | | CPU a request | | allocations a request |")
	r.line("|---|---|---|---|---|---|")
	for i, c := range list {
		ratio := func(f func(round) float64) string {
			var list []float64
			for n, one := range rounds[i] {
				list = append(list, f(one)/f(rounds[0][n]))
			}
			return fmt.Sprintf("%.2f×", median(list))
		}
		perSecond := func(o round) float64 { return o.perSecond }
		cpu := func(o round) float64 { return o.cpu.Seconds() * 1e6 }
		r.line("| %s | %.0f | %s | %.1f µs | %s | %.0f |", c.name,
			medianOf(rounds[i], perSecond), ratio(perSecond), medianOf(rounds[i], cpu), ratio(cpu), medianOf(rounds[i], func(o round) float64 { return o.mallocs }))
	}
	var ratios []float64
	for n, one := range rounds[dicelabRoller] {
		ratios = append(ratios, one.cpu.Seconds()/rounds[documented][n].cpu.Seconds())
	}
	r.line("")
	r.line("CPU of the dice roller beside \"as the documents show it\": %.2f×, the median of the rounds. Goal: at most 1.00×.", median(ratios))
	return measureBackends(ctx, p, wrk, sink, r)
}

func load(ctx context.Context, c contender, wrk, sink string, d time.Duration) (_ round, err error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return round{}, err
	}
	admin, err := freeAddress(ctx)
	if err != nil {
		return round{}, err
	}
	p, err := c.start(ctx, addr, admin, sink)
	if err != nil {
		return round{}, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if !c.admin {
		admin = addr
	}
	roll, metrics := "http://"+addr+"/roll?die=fair", "http://"+admin+"/metrics"
	if err := errors.Join(p.wait(ctx, roll), p.wait(ctx, metrics)); err != nil {
		return round{}, err
	}
	if _, err := runWrk(ctx, wrk, 32, time.Second, roll); err != nil { // warms up pools and heap
		return round{}, err
	}
	cpu, err := p.cpu()
	if err != nil {
		return round{}, err
	}
	before, err := mallocs(ctx, metrics)
	if err != nil {
		return round{}, err
	}
	done, err := runWrk(ctx, wrk, 32, d, roll)
	if err != nil {
		return round{}, err
	}
	after, err := p.cpu()
	if err != nil {
		return round{}, err
	}
	mallocsAfter, err := mallocs(ctx, metrics)
	return round{perSecond: done.perSecond, cpu: (after - cpu) / time.Duration(done.requests), mallocs: (mallocsAfter - before) / done.requests}, err
}

// wrkReport holds the results of a run of wrk.
type wrkReport struct {
	requests, perSecond float64
	p99                 time.Duration
}

func runWrk(ctx context.Context, wrk string, connections int, d time.Duration, url string) (r wrkReport, err error) {
	out, err := exec.CommandContext(ctx, wrk, "-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%.0fs", d.Seconds()), "--latency", url).CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if bytes.Contains(out, []byte("Non-2xx")) || bytes.Contains(out, []byte("Socket errors")) {
		return r, fmt.Errorf("wrk saw errors:\n%s", out)
	}
	field := func(pattern string) string {
		found := regexp.MustCompile(pattern).FindSubmatch(out)
		if found == nil {
			err = errors.Join(err, fmt.Errorf("wrk's report has no %q:\n%s", pattern, out))
			return "0"
		}
		return string(found[1])
	}
	number := func(pattern string) float64 {
		n, e := strconv.ParseFloat(field(pattern), 64)
		err = errors.Join(err, e)
		return n
	}
	r.requests, r.perSecond = number(`(\d+) requests in`), number(`Requests/sec:\s+([\d.]+)`)
	p99, e := time.ParseDuration(field(`\n\s+99%\s+(\S+)`))
	r.p99 = p99
	return r, errors.Join(err, e)
}

// mallocs reads how many objects a Go program has allocated so far.
func mallocs(ctx context.Context, url string) (float64, error) {
	m, err := scrape.Fetch(ctx, url)
	n := m.Sum("go_memstats_mallocs_total")
	if err == nil && n == 0 {
		err = fmt.Errorf("%s has no go_memstats_mallocs_total", url)
	}
	return n, err
}

func medianOf(rounds []round, f func(round) float64) float64 {
	var list []float64
	for _, one := range rounds {
		list = append(list, f(one))
	}
	return median(list)
}

func median(list []float64) float64 { return quantile(list, 0.5) }

// quantile returns a quantile by the nearest rank.
func quantile(list []float64, q float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[min(int(q*float64(len(list))), len(list)-1)]
}

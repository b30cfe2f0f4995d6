package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// backendLoad is the number of connections that roll while the backend is gone. A
// roll takes half a second in the mean.
const backendLoad = 256

// spanTarget is a place where the dice roller sends its spans.
type spanTarget struct {
	name string
	env  string
	gone bool // the roller's exit status reports that spans were lost
}

// measureBackends compares the latency of the dice roller, with its default
// delay, when it sends no spans, and when the backend does not answer.
func measureBackends(ctx context.Context, p plan, wrk, sink string, r *report) (err error) {
	hole, stop, err := serveBlackHole(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	closed, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT="
	backends := []spanTarget{
		{"spans off", "OTEL_TRACES_EXPORTER=none", false},
		{"takes spans", endpoint + sink, false},
		{"black hole: accepts connections, never answers", endpoint + "http://" + hole, true},
		{"refuses connections", endpoint + "http://" + closed, true},
	}
	p99 := make([][]time.Duration, len(backends))
	for n := range p.scale.rounds {
		for i, b := range backends {
			r.progress("backends: round %d of %d, %s", n+1, p.scale.rounds, b.name)
			one, err := loadBackend(ctx, p, b, wrk)
			if err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			p99[i] = append(p99[i], one)
		}
	}
	r.heading("The dice roller when its telemetry backend is gone")
	r.line("`wrk -t1 -c%d`, %v a round, %d rounds in turns, rolls with the default delay of up to a second. Medians;",
		backendLoad, p.scale.load, p.scale.rounds)
	r.line("ratios are medians of the rounds' ratios to spans off.")
	r.line("")
	r.line("| backend | p99 of a roll | |")
	r.line("|---|---|---|")
	for i, b := range backends {
		var times, ratios []float64
		for n, one := range p99[i] {
			times = append(times, one.Seconds())
			ratios = append(ratios, one.Seconds()/p99[0][n].Seconds())
		}
		r.line("| %s | %.3f s | %.2f× |", b.name, median(times), median(ratios))
	}
	r.line("")
	r.line("Goal: at most 1.05× for each.")
	return nil
}

func loadBackend(ctx context.Context, p plan, b spanTarget, wrk string) (p99 time.Duration, err error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return 0, err
	}
	roller, err := startProcess(ctx, []string{b.env}, p.dicelab, "roller", "--addr", addr)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := roller.stop(); !b.gone {
			err = errors.Join(err, e)
		}
	}()
	roll := "http://" + addr + "/roll?die=fair"
	if err := roller.wait(ctx, roll); err != nil {
		return 0, err
	}
	done, err := runWrk(ctx, wrk, backendLoad, p.scale.load, roll)
	return done.p99, err
}

// serveBlackHole accepts connections and never reads from them; it returns its
// address.
func serveBlackHole(ctx context.Context) (addr string, stop func() error, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ended := make(chan error, 1)
	go func() {
		var err error
		var open []net.Conn
		for {
			conn, e := l.Accept()
			if e != nil {
				if !errors.Is(e, net.ErrClosed) {
					err = e
				}
				break
			}
			open = append(open, conn)
		}
		for _, conn := range open {
			err = errors.Join(err, conn.Close())
		}
		ended <- err
	}()
	return l.Addr().String(), func() error { return errors.Join(l.Close(), <-ended) }, nil
}

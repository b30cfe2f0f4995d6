// Package traffic makes rolls without people: simulated users, which think
// between rolls, and load at a rate. Each roll starts a trace of its own under
// the service name traffic-generator and goes through the front end, or to the
// dice roller alone. The result of a run is one Report.
//
// The rules:
//   - Load is an open loop: a roll is sent when it is due, whatever the results of
//     those before it, so that a service that stalls cannot hide the stall
//     ("coordinated omission"). What waits for a connection, waits with its clock
//     running.
//   - The seed decides which user rolls which die when. The same seed, the same rolls.
//   - Stopping finishes what is under way. No roll is sent twice, none is left
//     out of the report.
//   - The numbers of a long run are kept in constant space.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"dicelab/internal/contract"
	"dicelab/internal/roll"
	"dicelab/internal/telemetry"
	"dicelab/internal/wait"
)

// Mix stands for rolling either die with equal odds.
const Mix = "mix"

// Dice lists what Options.Die may be.
func Dice() []string { return append(contract.Dice(), Mix) }

// Options configures a generator.
type Options struct {
	Telemetry   *telemetry.Telemetry
	Target      Target
	Version     string        // sent in the header User-Agent
	Seed        uint64        // decides users, dice and pauses
	Die         string        // one of Dice
	Timeout     time.Duration // of a response; above 0
	Connections int           // open at once, at most; above 0. Users beyond it share
	// AbortAt is the share of failed rolls, 0 to 1, above which a run ends with
	// an *AbortedError; 1 means never.
	AbortAt float64
	// LogRolls: users' rolls are logged. Without it a roll costs a tenth less, for runs whose lines
	// are not read.
	LogRolls bool
	// TraceURL shows a trace; {trace_id} stands for its ID. "" for no links.
	TraceURL string
}

// Generator makes rolls. It makes one run, Users or Load.
type Generator struct {
	Options
	tracer   trace.Tracer
	pool     *pool
	agent    string
	underWay atomic.Int64
	counter  *counter
}

// placeholder stands for the trace ID in Options.TraceURL.
const placeholder = "{trace_id}"

// New checks the options. Close the generator when its run has ended.
func New(o Options) (*Generator, error) {
	switch {
	case !slices.Contains(Dice(), o.Die):
		return nil, fmt.Errorf("die %q: choose one of %s", o.Die, strings.Join(Dice(), ", "))
	case o.Timeout <= 0:
		return nil, fmt.Errorf("timeout %v: want a duration above 0s", o.Timeout)
	case o.Connections <= 0:
		return nil, fmt.Errorf("connections %d: want a number above 0", o.Connections)
	case !(o.AbortAt >= 0 && o.AbortAt <= 1):
		return nil, fmt.Errorf("error rate %v: want a number from 0 to 1", o.AbortAt)
	case o.TraceURL != "" && !strings.Contains(o.TraceURL, placeholder):
		return nil, fmt.Errorf("trace link %q: want an address with %s in it", o.TraceURL, placeholder)
	}
	g := &Generator{Options: o, tracer: o.Telemetry.Tracer, pool: newPool(), agent: "dicelab-traffic/" + o.Version, counter: newCounter()}
	if !o.Telemetry.Recording() { // the service that is asked starts the trace; one that began here would lack its root
		g.tracer = noop.NewTracerProvider().Tracer("")
	}
	return g, nil
}

// transport carries rolls over at most limit connections, and makes the CLIENT
// span of each.
func (g *Generator) transport(limit int) http.RoundTripper {
	if !g.Telemetry.Recording() {
		return g.pool.transport(limit)
	}
	return g.Telemetry.Transport(g.pool.transport(limit))
}

// Close closes the connections.
func (g *Generator) Close() { g.pool.close() }

// Await returns nil once the target is ready. It asks at least
// once, and until patience has passed.
func (g *Generator) Await(ctx context.Context, patience time.Duration) error {
	transport := g.pool.transport(1)
	defer transport.CloseIdleConnections()
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := wait.Until(timed, func(context.Context) error { return g.look(ctx, transport) })
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("waiting for the %s at %s: %w", g.Target.Name, g.Target.base, context.Cause(ctx))
	}
	return fmt.Errorf("waiting %v for the %s at %s: %w", patience, g.Target.Name, g.Target.base, err)
}

func (g *Generator) look(ctx context.Context, transport http.RoundTripper) (err error) {
	ctx, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.Target.base+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, roll.MaxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("/readyz answered %s", resp.Status)
	}
	return err
}

// AbortedError ends a run in which too many rolls failed.
type AbortedError struct{ Share, Limit float64 }

func (e *AbortedError) Error() string {
	return fmt.Sprintf("the run was ended: %.1f %% of the rolls failed, more than %.4g %%", 100*e.Share, 100*e.Limit)
}

// abortAfter is the number of rolls that must have ended before their failures end a run: the
// failure of the first one alone is no rate.
const abortAfter = 20

// begin starts the clock of a run. The context ends when no further roll may
// begin: with ctx, after limit, unless that is 0, or because too many failed.
func (g *Generator) begin(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, abort := context.WithCancelCause(ctx)
	cancel := func() { abort(nil) }
	if limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, limit)
		cancel = func() { stop(); abort(nil) }
	}
	g.counter.begin(limit, func(rolls, failed int) {
		if share := float64(failed) / float64(rolls); rolls >= abortAfter && share > g.AbortAt {
			abort(&AbortedError{Share: share, Limit: g.AbortAt})
		}
	})
	return ctx, cancel
}

// aborted returns the *AbortedError that ended ctx, or nil.
func aborted(ctx context.Context) error {
	if e, ok := errors.AsType[*AbortedError](context.Cause(ctx)); ok {
		return e
	}
	return nil
}

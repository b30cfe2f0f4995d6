package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/web"
)

// The stacks that up can run.
const (
	stackEmbedded = "embedded"
	stackNone     = "none"
)

// What up listens for. The flag that moves an address is --NAME-addr.
const (
	frontendAt   = "frontend"
	rollerAt     = "roller"
	explorerAt   = "explorer"
	prometheusAt = "prometheus"
	lokiAt       = "loki"
	tempoAt      = "tempo"
	otlpGRPCAt   = "otlp-grpc"
	otlpHTTPAt   = "otlp-http"
	trafficAt    = "traffic"
)

// upFlags is what up can be told.
type upFlags struct {
	stack, data *string
	addresses   []address
	dice        *diceFlags
	rollTimeout *time.Duration
	faults      *[]string
	switches    *bool
	traffic     *bool
	backends    *backends
}

// address is one place to listen on.
type address struct {
	name, owner string
	embedded    bool // only the embedded stack listens there
	value       *string
}

func (a address) flag() string { return a.name + "-addr" }

func defineUp(f *flags) *upFlags {
	u := &upFlags{
		stack: f.oneOf("stack", "`name` of the telemetry stack: embedded, or none for your own", stackEmbedded, stackNone),
		data:  f.String("data", ".dicelab", "`directory` for what is recorded"),
	}
	for _, a := range []struct {
		name, port, owner string
		embedded          bool
	}{
		{frontendAt, contract.PortFrontend, "the front end", false},
		{rollerAt, contract.PortRoller, "the dice roller", false},
		{explorerAt, contract.PortExplorer, "the explorer", false},
		{prometheusAt, contract.PortPrometheus, "the embedded Prometheus", true},
		{lokiAt, contract.PortLoki, "the embedded Loki", true},
		{tempoAt, contract.PortTempo, "the embedded Tempo", true},
		{otlpGRPCAt, contract.PortOTLPGRPC, "OTLP over gRPC", true},
		{otlpHTTPAt, contract.PortOTLPHTTP, "OTLP over HTTP", true},
	} {
		at := address{name: a.name, owner: a.owner, embedded: a.embedded}
		at.value = f.address(at.flag(), "127.0.0.1:"+a.port, "`address` of "+a.owner+"; port 0 takes a free one")
		u.addresses = append(u.addresses, at)
	}
	u.dice = defineDice(f)
	u.rollTimeout = rollTimeout(f, "roll-timeout")
	u.faults = f.list("fault", "`SERVICE:FAULT` to switch on, such as dice-roller:slow=2s; see docs/faults.md (repeatable)", checkServiceFault)
	u.switches = f.flip("fault-switches", "let faults be switched on the page while the lab runs")
	u.traffic = f.flip("traffic", "let simulated users roll, gently, while the lab runs")
	u.backends = backendFlags(f, ", with --stack=none")
	return u
}

func checkServiceFault(text string) error {
	service, spec, ok := strings.Cut(text, ":")
	if !ok || !slices.Contains(contract.Services(), service) {
		return fmt.Errorf("write it as SERVICE:FAULT, where SERVICE is %s", strings.Join(contract.Services(), " or "))
	}
	return checkFault(spec)
}

// settle refuses flags that would have no effect with the chosen stack, and
// forgets the addresses that it does not need.
func (u *upFlags) settle(f *flags) (err error) {
	idle := []string{"prometheus-url", "loki-url", "tempo-url", "header"}
	if *u.stack == stackNone {
		idle = nil
		for _, a := range u.addresses {
			if a.embedded {
				idle = append(idle, a.flag())
			}
		}
		u.addresses = slices.DeleteFunc(u.addresses, func(a address) bool { return a.embedded })
	}
	if *u.traffic { // where it says that it is ready; nobody else looks there, so any free port will do
		u.addresses = append(u.addresses, address{name: trafficAt, owner: "the traffic generator", value: new("127.0.0.1:0")})
	}
	f.Visit(func(given *flag.Flag) {
		if slices.Contains(idle, given.Name) {
			err = errors.Join(err, f.usage(fmt.Errorf("--%s has no effect with --stack=%s: leave one of them out", given.Name, *u.stack)))
		}
	})
	return err
}

// faultArgs are the flags that switch on the faults of one service.
func (u *upFlags) faultArgs(service string) (args []string) {
	for _, f := range *u.faults {
		if spec, ok := strings.CutPrefix(f, service+":"); ok {
			args = append(args, "--fault", spec)
		}
	}
	if *u.switches && slices.Contains(contract.Services(), service) {
		args = append(args, "--fault-switches")
	}
	return args
}

// places are the open listeners by name.
type places map[string]*net.TCPListener

func (u *upFlags) listen(ctx context.Context) (places, error) {
	var addresses []lab.Address
	for _, a := range u.addresses {
		addresses = append(addresses, lab.Address{Addr: *a.value, Owner: a.owner, Flag: "--" + a.flag()})
	}
	listeners, err := lab.Listen(ctx, addresses...)
	if err != nil {
		return nil, err
	}
	at := places{}
	for i, l := range listeners {
		at[u.addresses[i].name] = l
	}
	return at, nil
}

func (p places) url(name string) string { return web.URL(p[name].Addr()) }

// close gives up the listeners that no part has taken over and closed.
func (p places) close() (err error) {
	for _, l := range p {
		if e := l.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
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
)

// upFlags is what up can be told.
type upFlags struct {
	stack, data *string
	addresses   []address
	dice        *diceFlags
	faults      list
	switches    *bool
	backends    *backends
}

// address is one place to listen on.
type address struct {
	name, owner string
	embedded    bool // only the embedded stack listens there
	value       *string
}

func defineUp(f *flags) *upFlags {
	u := &upFlags{
		stack: f.String("stack", stackEmbedded, "`NAME` of the telemetry stack: embedded, or none for your own"),
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
		u.addresses = append(u.addresses, address{a.name, a.owner, a.embedded,
			f.String(a.name+"-addr", "127.0.0.1:"+a.port, "`address` of "+a.owner+"; port 0 takes a free one")})
	}
	u.dice = defineDice(f)
	f.Var(&u.faults, "fault", "`SERVICE:FAULT` to switch on, such as dice-roller:slow=2s; see docs/faults.md (repeatable)")
	u.switches = f.Bool("fault-switches", false, "let faults be switched on the page while the lab runs")
	u.backends = backendFlags(f)
	return u
}

// check refuses what cannot work.
func (u *upFlags) check() error {
	if !slices.Contains([]string{stackEmbedded, stackNone}, *u.stack) {
		return usagef("up: --stack %q: choose %s or %s", *u.stack, stackEmbedded, stackNone)
	}
	if *u.stack == stackNone {
		u.addresses = slices.DeleteFunc(u.addresses, func(a address) bool { return a.embedded })
	}
	for _, f := range u.faults {
		service, spec, _ := strings.Cut(f, ":")
		if !slices.Contains(contract.Services(), service) {
			return usagef("up: --fault %q: write it as SERVICE:FAULT, where SERVICE is one of %s", f, strings.Join(contract.Services(), ", "))
		}
		if _, err := fault.NewSet(spec); err != nil {
			return hint(&lab.UsageError{Err: err}, "docs/faults.md describes each fault")
		}
	}
	return u.dice.check()
}

// faultArgs are the flags that switch on the faults of one service.
func (u *upFlags) faultArgs(service string) (args []string) {
	for _, f := range u.faults {
		if spec, ok := strings.CutPrefix(f, service+":"); ok {
			args = append(args, "--fault", spec)
		}
	}
	if *u.switches {
		args = append(args, "--fault-switches")
	}
	return args
}

// places are the open listeners by name.
type places map[string]*net.TCPListener

func (u *upFlags) listen(ctx context.Context) (places, error) {
	var addresses []lab.Address
	for _, a := range u.addresses {
		addresses = append(addresses, lab.Address{Addr: *a.value, Owner: a.owner, Flag: "--" + a.name + "-addr"})
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

func (p places) close() (err error) {
	for _, l := range p {
		err = errors.Join(err, l.Close())
	}
	return err
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/lab/native"
	"dicelab/internal/web"
)

// The stacks that up can run.
const (
	stackEmbedded = "embedded"
	stackNative   = "native"
	stackNone     = "none"
)

func stacks() []string { return []string{stackEmbedded, stackNative, stackNone} }

const (
	configsFlag = "stack-config"
	recoverFlag = "recover"
)

// What up listens for. The flag that moves an address is --NAME-addr.
const (
	frontendAt   = "frontend"
	rollerAt     = "roller"
	explorerAt   = "explorer"
	prometheusAt = native.Prometheus
	lokiAt       = native.Loki
	tempoAt      = native.Tempo
	otlpGRPCAt   = native.OTLPGRPC
	otlpHTTPAt   = native.OTLPHTTP
	trafficAt    = "traffic"
)

// upFlags is what up can be told.
type upFlags struct {
	stack, data *string
	configs     *string
	servers     *string
	addresses   []address
	keep        *keepFlags
	dice        *diceFlags
	rollTimeout *time.Duration
	faults      *[]string
	switches    *bool
	recover     *bool
	traffic     *bool
	backends    *backends
	hosts       *[]string
}

// address is one place to listen on.
type address struct {
	name, owner string
	stacks      []string // with which somebody listens there
	value       *string
}

func (a address) flag() string { return a.name + "-addr" }

func defineUp(f *flags) *upFlags {
	u := &upFlags{
		stack:   f.oneOf("stack", "`name` of the telemetry stack: embedded, native for the real servers, or none for your own", stacks()...),
		data:    f.String("data", ".dicelab", "`directory` for what is recorded"),
		configs: f.String(configsFlag, "", "`directory` of the real servers' configurations, laid out as the folder stack (default: the program's own)"),
	}
	u.servers = defineServers(f, ", with --stack=native")
	define := func(name, port, owner string, stacks ...string) {
		at := address{name: name, owner: owner, stacks: stacks}
		at.value = f.address(at.flag(), "127.0.0.1:"+port, "`address` of "+owner+"; port 0 takes a free one")
		u.addresses = append(u.addresses, at)
	}
	define(frontendAt, contract.PortFrontend, "the front end", stacks()...)
	define(rollerAt, contract.PortRoller, "the dice roller", stacks()...)
	define(explorerAt, contract.PortExplorer, "the explorer", stacks()...)
	for _, p := range native.Places() {
		with := []string{stackNative}
		if slices.Contains([]string{prometheusAt, lokiAt, tempoAt, otlpGRPCAt, otlpHTTPAt}, p.Name) {
			with = append(with, stackEmbedded)
		}
		define(p.Name, p.Port, p.Owner, with...)
	}
	u.hosts = hostsFlag(f)
	u.keep = defineKeep(f)
	u.recover = f.flip(recoverFlag, "if what the embedded stack has recorded is damaged, move it aside within the data directory and start anew")
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
	var idle []string
	if *u.stack != stackNone {
		idle = []string{"prometheus-url", "loki-url", "tempo-url", "header"}
	}
	if *u.stack != stackNative {
		idle = append(idle, configsFlag, serversFlag)
	}
	if *u.stack != stackEmbedded {
		idle = append(idle, append(u.keep.names(), recoverFlag)...)
	}
	unused := func(a address) bool { return !slices.Contains(a.stacks, *u.stack) }
	for _, a := range u.addresses {
		if unused(a) {
			idle = append(idle, a.flag())
		}
	}
	u.addresses = slices.DeleteFunc(u.addresses, unused)
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

// hostArgs are the flags that allow a service the names that up was given.
func (u *upFlags) hostArgs() (args []string) {
	for _, name := range *u.hosts {
		args = append(args, "--allow-host", name)
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

// target is the address at which a listener is scraped. One on every interface has
// an address under which nothing is served: it is scraped as localhost.
func (p places) target(name string) string {
	addr := p[name].Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(addr.Port))
	}
	return addr.String()
}

// close gives up the listeners that no part has taken over and closed.
func (p places) close() (err error) {
	for _, l := range p {
		if e := l.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

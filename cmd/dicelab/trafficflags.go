package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/telemetry"
	"dicelab/internal/traffic"
)

// What becomes of the report and of the log lines.
const (
	reportText = "text"
	reportJSON = "json"
	toStdout   = "stdout"
	toStderr   = "stderr"
	toNone     = "none"
)

// Environment variables of the generator that this one grew out of.
const (
	envUsers    = "NUM_USERS"
	envMaxRolls = "MAX_REQUESTS_PER_USER"
)

// trafficFlags is what traffic can be told.
type trafficFlags struct {
	target *string
	urls   map[string]*string // by target

	users, maxRolls *int
	think           *traffic.Range
	forever         *bool
	rate            *traffic.Rate // zero: users
	duration        *time.Duration

	die           *string
	seed          **uint64 // nil: not given
	connections   *int     // 0: not given
	timeout, wait *time.Duration
	abort         *float64

	report, log, logDir, traceURL, addr *string
	hosts                               *[]string
}

func defineTraffic(f *flags) *trafficFlags {
	return &trafficFlags{
		target: f.oneOf("target", "`whom` to ask for rolls: "+strings.Join(traffic.Targets(), " or "), traffic.Targets()...),
		urls: map[string]*string{
			traffic.Frontend: f.url(traffic.Frontend+urlFlag, "http://localhost:"+contract.PortFrontend, "`URL` of the front end"),
			traffic.Roller:   f.url(traffic.Roller+urlFlag, "http://localhost:"+contract.PortRoller, "`URL` of the dice roller"),
		},
		users:    f.count("users", 10, "simulate this `number` of users (environment: "+envUsers+")"),
		maxRolls: f.count("max-rolls-per-user", 20, "each user makes 1 to this `number` of rolls (environment: "+envMaxRolls+")"),
		think: define(f, "think", "`time` that a user thinks before a roll", &value[traffic.Range]{
			at: &traffic.Range{Min: 500 * time.Millisecond, Max: 2 * time.Second}, text: traffic.Range.String, parse: traffic.ParseRange}),
		forever: f.flip("forever", "replace each user that leaves, until stopped"),
		rate: define(f, "rate", "send rolls at this `rate`, such as 200/s, or 0..2000/s for one that rises, instead of simulating users",
			&value[traffic.Rate]{at: &traffic.Rate{}, text: func(traffic.Rate) string { return "" }, parse: traffic.ParseRate}),
		duration: f.duration("duration", 30*time.Second, time.Millisecond, 365*24*time.Hour,
			"`time` to send at --rate; for users, if given, replace those that leave until it has passed"),
		die:  f.oneOf("die", "`die` to roll: fair, risky, or mix for either with equal odds", traffic.Mix, contract.DieFair, contract.DieRisky),
		seed: f.number("seed", "`number` from which chance starts: the same seed, the same users, dice and pauses (default: chance)"),
		connections: f.count("connections", 0, "open at most this `number` of connections; users beyond it share; a roll that waits for one waits with its clock running\n"+
			"(if not given: one a user; at a --rate "+strconv.Itoa(manyConnections)+", or what the limit on open files leaves)"),
		timeout:  f.duration("timeout", 10*time.Second, time.Millisecond, time.Hour, "`time` that an answer may take"),
		wait:     f.duration("wait", 10*time.Second, 0, time.Hour, "`time` to wait for a target that does not answer yet"),
		abort:    f.share("abort-on-error-rate", 1, "end the run when more than this `share` of the rolls has failed, 0 to 1; 1 for never"),
		report:   f.oneOf("report", "`form` of the report on stdout: text, json or none", reportText, reportJSON, toNone),
		log:      f.oneOf("log", "`where` log lines go: stderr, stdout or none", toStderr, toStdout, toNone),
		logDir:   defineLogDir(f),
		traceURL: f.url("trace-url", "http://localhost:"+contract.PortExplorer+"/traces/{trace_id}", "`link` to a trace; {trace_id} stands for its ID; "+orNone),
		addr:     f.String("addr", "", "`address` to serve /readyz and /metrics on; "+orNone),
		hosts:    hostsFlag(f),
	}
}

// urlFlag ends the name of the flag that says where a target is.
const urlFlag = "-url"

// settle reads the environment, refuses flags that would have no effect, and
// fills in what was left open.
func (t *trafficFlags) settle(f *flags) (err error) {
	given := f.given()
	for _, v := range []struct{ name, flag string }{{envUsers, "users"}, {envMaxRolls, "max-rolls-per-user"}} {
		if text := f.env.getenv(v.name); text != "" && !given[v.flag] {
			if err := f.Set(v.flag, text); err != nil {
				return f.usage(fmt.Errorf("environment variable %s is %q: %w", v.name, text, err))
			}
		}
	}
	refuse := func(idle, with string) {
		if given[idle] {
			err = errors.Join(err, f.usage(fmt.Errorf("--%s has no effect with --%s: leave one of them out", idle, with)))
		}
	}
	for _, name := range traffic.Targets() {
		if name != *t.target {
			refuse(name+urlFlag, "target="+*t.target)
		}
	}
	switch {
	case given["rate"]:
		for _, name := range []string{"users", "max-rolls-per-user", "think", "forever"} {
			refuse(name, "rate")
		}
	case *t.forever:
		refuse("duration", "forever")
		fallthrough
	case !given["duration"]:
		*t.duration = 0
	}
	check := t.asUsers().Check
	if given["rate"] {
		check = t.asLoad().Check
	}
	if bad := check(); bad != nil {
		err = errors.Join(err, f.usage(bad))
	}
	return errors.Join(err, t.settleConnections(f, given))
}

func (t *trafficFlags) asUsers() traffic.Users {
	return traffic.Users{Count: *t.users, MaxRolls: *t.maxRolls, Think: *t.think, Duration: *t.duration, Forever: *t.forever}
}

func (t *trafficFlags) asLoad() traffic.Load {
	return traffic.Load{Rate: *t.rate, Duration: *t.duration}
}

// manyConnections is how many a run at a rate may open unless it is told.
const manyConnections = 10000

// settleConnections says before anything is sent that the system will not let as
// many connections be open as are wanted.
func (t *trafficFlags) settleConnections(f *flags, given map[string]bool) error {
	most, err := traffic.MaxConnections()
	if err != nil {
		return err
	}
	name := "connections"
	switch {
	case given[name]:
	case given["rate"]:
		*t.connections = min(manyConnections, most)
	default:
		name, *t.connections = "users", *t.users
	}
	if *t.connections > most {
		return hint(usagef("%s: --%s %d: this process may have no more than %d connections open", f.Name(), name, *t.connections, most),
			"raise the limit on open files first, as with: ulimit -n "+strconv.Itoa(2**t.connections))
	}
	return nil
}

// options are what a generator is made of.
func (t *trafficFlags) options(tel *telemetry.Telemetry) (traffic.Options, error) {
	target, err := traffic.NewTarget(*t.target, *t.urls[*t.target])
	if err != nil {
		return traffic.Options{}, &lab.UsageError{Err: err}
	}
	seed := rand.Uint64N(1_000_000) // short, for a person to type: the report says it
	if *t.seed != nil {
		seed = **t.seed
	}
	return traffic.Options{
		Telemetry: tel, Target: target, Version: version(), Seed: seed, Die: *t.die, Timeout: *t.timeout,
		Connections: *t.connections, AbortAt: *t.abort, LogRolls: *t.log != toNone || *t.logDir != "", TraceURL: *t.traceURL,
	}, nil
}

// count defines a flag for a number of things; a preset of 0 means that it may
// stay open.
func (f *flags) count(name string, preset int, usage string) *int {
	text := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	return define(f, name, usage, &value[int]{at: &preset, text: text, parse: func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return 0, errors.New("want a whole number above 0")
		}
		return n, nil
	}})
}

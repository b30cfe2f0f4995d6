package main

import (
	"os"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/verify"
	"dicelab/stack"
)

// checkFlags is what the checks can be told, whoever performs them.
type checkFlags struct {
	frontend, roller, alloy, grafana *string
	backends                         *backends
	mode                             *string
	timeout                          *time.Duration
	configs                          *string
}

// modeGuessed is the word for a mode that is to be found out.
const modeGuessed = "guess"

// defineChecks defines the flags; when says, in the help of those that nothing but
// the checks needs, with what they have an effect.
func defineChecks(f *flags, when string) *checkFlags {
	modes := []string{modeGuessed}
	for _, m := range verify.Modes() {
		modes = append(modes, string(m))
	}
	return &checkFlags{
		frontend: f.url(frontendFlag, "http://localhost:"+contract.PortFrontend, "`URL` of the front end"),
		roller:   f.url(rollerFlag, "http://localhost:"+contract.PortRoller, "`URL` of the dice roller"+when),
		backends: backendFlags(f, ""),
		alloy:    f.url(alloyFlag, "http://localhost:"+stack.PortAlloy, "`URL` of Alloy"+when),
		grafana:  f.url(grafanaFlag, verify.DefaultGrafana, "`URL` of Grafana"+when+", asked at the default in mode compose only; "+orNone),
		mode:     f.oneOf("mode", "`how` the servers run"+when+": embedded, native, compose, own, or guess to find out", modes...),
		timeout:  f.duration("timeout", verify.DefaultTimeout, 100*time.Millisecond, time.Hour, "`time` to wait for what must come, after the rolls"+when),
		configs:  f.String(configsFlag, "", "`directory` of the real servers' configurations, laid out as the folder stack"+when+" (default: the program's own)"),
	}
}

// options are what the checks are made of.
func (c *checkFlags) options() verify.Options {
	o := verify.Options{
		Frontend: *c.frontend, Roller: *c.roller, Prometheus: *c.backends.prometheus, Loki: *c.backends.loki, Tempo: *c.backends.tempo,
		Alloy: *c.alloy, Grafana: *c.grafana, Header: c.backends.header(), Timeout: *c.timeout, Stack: stack.Configs, Version: version(),
		Traffic: simulate(*c.frontend, os.Environ()),
	}
	if *c.mode != modeGuessed {
		o.Mode = verify.Mode(*c.mode)
	}
	if *c.configs != "" {
		o.Stack = os.DirFS(*c.configs)
	}
	return o
}

// verifyFlags is what verify can be told.
type verifyFlags struct {
	*checkFlags
	only          *[]string
	json, verbose *bool
}

func defineVerify(f *flags) *verifyFlags {
	return &verifyFlags{
		checkFlags: defineChecks(f, ""),
		only:       f.list("only", "`NAME` of a check or group to run alone (repeatable; a wrong name lists all)", func(string) error { return nil }),
		json:       f.flip("json", "write the report as JSON"),
		verbose:    f.flip("v", "write requests and answers of every check"),
	}
}

// verifier makes the checks.
func (v *verifyFlags) verifier() (*verify.Verifier, error) {
	o := v.options()
	o.Only = *v.only
	checks, err := verify.New(o)
	if err != nil {
		return nil, &lab.UsageError{Err: err}
	}
	return checks, nil
}

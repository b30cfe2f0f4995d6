package main

import (
	"os"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/verify"
	"dicelab/stack"
)

// verifyFlags is what verify can be told.
type verifyFlags struct {
	frontend, roller, alloy, grafana *string
	backends                         *backends
	mode                             *string
	only                             *[]string
	timeout                          *time.Duration
	configs                          *string
	json, verbose                    *bool
}

// modeGuessed is the word for a mode that is to be found out.
const modeGuessed = "guess"

func defineVerify(f *flags) *verifyFlags {
	modes := []string{modeGuessed}
	for _, m := range verify.Modes() {
		modes = append(modes, string(m))
	}
	return &verifyFlags{
		frontend: f.url("frontend-url", "http://localhost:"+contract.PortFrontend, "`URL` of the front end"),
		roller:   f.url("roller-url", "http://localhost:"+contract.PortRoller, "`URL` of the dice roller"),
		backends: backendFlags(f, ""),
		alloy:    f.url("alloy-url", "http://localhost:"+stack.PortAlloy, "`URL` of Alloy"),
		grafana:  f.url("grafana-url", verify.DefaultGrafana, "`URL` of Grafana, asked at the default in mode compose only; "+orNone),
		mode:     f.oneOf("mode", "`how` the servers run: embedded, native, compose, own, or guess to find out", modes...),
		only:     f.list("only", "`NAME` of a check or group to run alone (repeatable; a wrong name lists all)", func(string) error { return nil }),
		timeout:  f.duration("timeout", verify.DefaultTimeout, 100*time.Millisecond, time.Hour, "`time` to wait for what must come, after the rolls"),
		configs:  f.String(configsFlag, "", "`directory` of the real servers' configurations, laid out as the folder stack (default: the program's own)"),
		json:     f.flip("json", "write the report as JSON"),
		verbose:  f.flip("v", "write requests and answers of every check"),
	}
}

// options are what the checks are made of.
func (v *verifyFlags) options() verify.Options {
	o := verify.Options{
		Frontend: *v.frontend, Roller: *v.roller, Prometheus: *v.backends.prometheus, Loki: *v.backends.loki, Tempo: *v.backends.tempo,
		Alloy: *v.alloy, Grafana: *v.grafana, Header: v.backends.header(), Only: *v.only, Timeout: *v.timeout, Stack: stack.Configs, Version: version(),
	}
	if *v.mode != modeGuessed {
		o.Mode = verify.Mode(*v.mode)
	}
	if *v.configs != "" {
		o.Stack = os.DirFS(*v.configs)
	}
	return o
}

// verifier makes the checks.
func (v *verifyFlags) verifier() (*verify.Verifier, error) {
	o := v.options()
	o.Traffic = simulate(*v.frontend, os.Environ())
	checks, err := verify.New(o)
	if err != nil {
		return nil, &lab.UsageError{Err: err}
	}
	return checks, nil
}

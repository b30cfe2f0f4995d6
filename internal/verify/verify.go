package verify

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/web"
)

// DefaultTimeout is the longest wait for what must come. Tempo's service graph takes
// up to 19 s through its remote write; a machine may be busy.
const DefaultTimeout = 45 * time.Second

// defaultAlloy is the usual URL of Alloy in a lab.
const defaultAlloy = "http://localhost:12345"

// Options say what is checked.
type Options struct {
	// Base URLs, http or https.
	Frontend, Roller, Prometheus, Loki, Tempo string
	Alloy                                     string // "": where a lab has it
	Grafana                                   string // "": none
	// Header is sent with every request to the telemetry servers: tenants, tokens.
	Header http.Header
	// Mode names the servers of the lab; "" lets it be found out.
	Mode checklist.Mode
	// Only names the rows and groups to check; none means all.
	Only []string
	// Timeout bounds the wait for what must come, from the end of the rolls. 0
	// means DefaultTimeout.
	Timeout time.Duration
	// Traffic runs the traffic generator once, for a few rolls; nil if there is none
	// to run.
	Traffic func(context.Context) (Traffic, error)
	// Stack is the folder of the servers' configurations, for Grafana's dashboard
	// and data sources; nil if there is none.
	Stack fs.FS
	// Version is part of the header User-Agent.
	Version string
	// Transport carries the requests. Nil means a new one.
	Transport http.RoundTripper
}

// Traffic holds the results of a run of the traffic generator.
type Traffic struct {
	Command  string   // the command that was run, for a shell
	TraceIDs []string // of its rolls, 32 hex digits
	Log      string   // its log, one JSON object a line
	Dropped  int      // number of spans that it could not deliver
}

// Verifier runs the checks.
type Verifier struct {
	Options
	all    []Check // those that exist
	chosen []Check // those whose results are wanted
}

// New checks the options. The error says what to change.
func New(o Options) (*Verifier, error) { return newVerifier(o, Checks()) }

func newVerifier(o Options, all []Check) (*Verifier, error) {
	for _, server := range []struct {
		name, url string
		optional  bool
	}{
		{"the front end", o.Frontend, false}, {"the dice roller", o.Roller, false},
		{"Prometheus", o.Prometheus, false}, {"Loki", o.Loki, false}, {"Tempo", o.Tempo, false},
		{"Alloy", o.Alloy, true}, {"Grafana", o.Grafana, true},
	} {
		if server.optional && server.url == "" {
			continue
		}
		if web.CheckURL(server.url) != nil {
			return nil, fmt.Errorf("the URL of %s, %q, is not like http://localhost:8102", server.name, server.url)
		}
	}
	if err := o.Mode.Check(); err != nil {
		return nil, err
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("the timeout %v is below zero", o.Timeout)
	}
	o.Timeout, o.Alloy = cmp.Or(o.Timeout, DefaultTimeout), cmp.Or(o.Alloy, defaultAlloy)
	chosen, err := choose(all, o.Only)
	if err != nil {
		return nil, err
	}
	return &Verifier{Options: o, all: all, chosen: chosen}, nil
}

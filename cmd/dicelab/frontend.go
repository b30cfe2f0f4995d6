package main

import (
	"context"
	"net/http"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/frontend"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
	"dicelab/internal/web"
)

// rollTimeout defines the flag for the time that the roller gets, which up passes
// on.
func rollTimeout(f *flags, name string) *time.Duration {
	return f.duration(name, 5*time.Second, time.Millisecond, time.Minute, "`time` that a roll may take before it is given up")
}

func frontendCommand(ctx context.Context, env environment, f *flags) error {
	s := serviceFlags(f, contract.ServiceFrontend, contract.PortFrontend)
	explorer := "http://localhost:" + contract.PortExplorer
	backend := f.url("roller-url", "http://localhost:"+contract.PortRoller, "`URL` of the dice roller")
	timeout := rollTimeout(f, "timeout")
	traceURL := f.String("trace-url", explorer+"/traces/{trace_id}", "`link` to a trace; {trace_id} stands for its ID")
	logsURL := f.String("logs-url", explorer+"/logs?trace_id={trace_id}", "`link` to the log lines of a trace")
	explorerURL := f.url("explorer-url", explorer, "`URL` of the explorer; "+orNone)
	if err := f.parse(); err != nil {
		return err
	}
	return s.serve(ctx, env, contract.MsgFrontendStarted, func(tel *telemetry.Telemetry, faults *fault.Set) (http.Handler, error) {
		base := http.DefaultTransport.(*http.Transport).Clone()
		base.MaxIdleConnsPerHost = 100 // one host gets all the traffic; the default of 2 would reconnect for most of it
		base.MaxResponseHeaderBytes = web.MaxHeaderBytes
		client, err := roller.NewClient(*backend, tel.Transport(base), *timeout)
		if err != nil {
			return nil, err
		}
		options := frontend.Options{
			Telemetry: tel, Roller: client, BackendURL: *backend, TraceURL: *traceURL, LogsURL: *logsURL,
			ExplorerURL: *explorerURL, Faults: faults, Hosts: *s.hosts,
		}
		if *s.switches {
			options.Switches = &fault.Remote{URL: *backend, Client: &http.Client{Transport: base}}
		}
		return frontend.NewHandler(options)
	})
}

package native

import (
	"context"
	"path/filepath"
	"time"

	"dicelab/stack"
)

// component is a server's row in the stack's table, with how to launch it.
type component struct {
	stack.Component
	launch
	places []string // that it listens on; the first is that of its readiness
}

// launch describes how to run a server.
type launch struct {
	name string
	// args are its flags; config and data are its directories, addr is that of
	// its first place.
	args func(config, data, addr string) []string
	// gogc sets the Go runtime's GOGC ("" leaves the default): the lab has little
	// data, and memory comes before speed.
	gogc string
	// collect is called when the services are drained and still answer.
	collect func(*Stack, context.Context) error
	// settle is called before the server is stopped. It returns when what the server holds for
	// others is delivered.
	settle func(*Stack, context.Context) error
	// linger is the time that the server has to end before it is killed without that being an
	// error; 0 is for a server that ends by itself.
	linger time.Duration
}

// components lists the servers in the order in which they start: what takes
// telemetry before what sends it.
func components() (all []component) {
	for _, l := range launches() {
		for _, c := range stack.Components() {
			if c.Name != l.name {
				continue
			}
			out := component{Component: c, launch: l}
			for _, p := range Places() {
				if p.Component == c.Name {
					out.places = append(out.places, p.Name)
				}
			}
			all = append(all, out)
		}
	}
	return all
}

func launches() []launch {
	return []launch{
		{
			name: stack.Prometheus, collect: (*Stack).lastScrape, gogc: "50",
			args: func(config, data, addr string) []string {
				return []string{
					"--config.file=" + filepath.Join(config, "prometheus.yml"),
					"--storage.tsdb.path=" + data,
					"--web.listen-address=" + addr,
					"--web.enable-remote-write-receiver",
					"--enable-feature=exemplar-storage",
					"--scrape.discovery-reload-interval=200ms", // 5 s by default, which would delay the first scrape
					"--log.level=warn",
				}
			},
		},
		{
			name: stack.Tempo, gogc: "50",
			// Tempo 3.0 ends within a second, unless it was asked for a trace in the
			// half minute before: then it never ends. Its query frontend waits for an
			// empty queue to be removed by a timer that has been stopped
			// (modules/frontend/queue, stopping). Everything that it has acknowledged
			// is safe long before: the distributor ends first, then the live store
			// writes what it holds to its log, which the next start replays.
			linger: 3 * time.Second,
			args: func(config, _, _ string) []string {
				return []string{"-config.file=" + filepath.Join(config, "tempo.yml"), "-config.expand-env=true"}
			},
		},
		{
			name: stack.Collector, settle: (*Stack).spansSent,
			args: func(config, _, _ string) []string {
				return []string{"--config=" + filepath.Join(config, "config.yml")}
			},
		},
		{
			name: stack.Loki, gogc: "50",
			args: func(config, _, _ string) []string {
				return []string{"-config.file=" + filepath.Join(config, "loki.yml"), "-config.expand-env=true"}
			},
		},
		{
			name: stack.Alloy, settle: (*Stack).linesSent, gogc: "50",
			args: func(config, data, addr string) []string {
				return []string{
					"run", "--server.http.listen-addr=" + addr, "--storage.path=" + data,
					"--disable-reporting", "--server.http.disable-support-bundle", "--server.http.enable-pprof=false", config,
				}
			},
		},
	}
}

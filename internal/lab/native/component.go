package native

import (
	"context"
	"path/filepath"
)

// component is what the lab knows of one server.
type component struct {
	name   string
	places []string // that it listens on
	ready  string   // path of its readiness endpoint, at places[0]
	// args are its flags; config and data are its directories, addr is that of
	// places[0].
	args func(config, data, addr string) []string
	// gogc and memory set the Go runtime's GOGC and GOMEMLIMIT ("" leaves the
	// default): the lab has little data, and memory comes before speed.
	gogc, memory string
	// collect is called when the services are drained and still answer.
	collect func(*Stack, context.Context) error
	// settle is called before the server is told to end: it returns when what
	// the server holds for others is delivered.
	settle func(*Stack, context.Context) error
}

// components lists the servers in the order in which they start.
func components() []component {
	return []component{
		{
			name: Prometheus, places: []string{Prometheus}, ready: "/-/ready", collect: (*Stack).lastScrape,
			args: func(config, data, addr string) []string {
				return []string{
					"--config.file=" + filepath.Join(config, "prometheus.yml"),
					"--storage.tsdb.path=" + data,
					"--web.listen-address=" + addr,
					"--web.enable-remote-write-receiver",
					"--enable-feature=exemplar-storage",
					"--scrape.discovery-reload-interval=200ms", // 5 s by default: so long the first scrape would wait
					"--log.level=warn",
				}
			},
			gogc: "50",
		},
		{
			name: Tempo, places: []string{Tempo, TempoGRPC, TempoOTLP}, ready: "/ready",
			args: func(config, _, _ string) []string {
				return []string{"-config.file=" + filepath.Join(config, "tempo.yml"), "-config.expand-env=true"}
			},
			gogc: "50",
		},
		{
			name: Collector, places: []string{CollectorHealth, OTLPGRPC, OTLPHTTP, CollectorMetrics}, ready: "/", settle: (*Stack).spansSent,
			args: func(config, _, _ string) []string {
				return []string{"--config=" + filepath.Join(config, "config.yml")}
			},
		},
		{
			name: Loki, places: []string{Loki, LokiGRPC}, ready: "/ready",
			args: func(config, _, _ string) []string {
				return []string{"-config.file=" + filepath.Join(config, "loki.yml"), "-config.expand-env=true"}
			},
			gogc: "50",
		},
		{
			name: Alloy, places: []string{Alloy}, ready: "/-/ready", settle: (*Stack).linesSent,
			args: func(config, data, addr string) []string {
				return []string{
					"run", "--server.http.listen-addr=" + addr, "--storage.path=" + data,
					"--disable-reporting", "--disable-support-bundle", "--server.http.enable-pprof=false", config,
				}
			},
			gogc: "50",
		},
	}
}

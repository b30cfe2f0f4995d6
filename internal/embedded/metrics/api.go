package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/intake"
)

// library is the module of the embedded Prometheus.
const library = "github.com/prometheus/prometheus"

// apiPrefix is the path of the API.
const apiPrefix = "/api/v1"

// apiParts are the parts of the server that the API reads.
type apiParts struct {
	engine   promql.QueryEngine
	db       *tsdb.DB
	scrapes  *scrape.Manager
	rules    *rules.Manager
	config   *config.Config
	registry *prometheus.Registry
	parser   parser.Parser
	options  *tsdb.Options
	timeout  time.Duration
	log      *slog.Logger
}

// newAPI returns the whole API of Prometheus under apiPrefix. The list of endpoints
// decides which parts of it can be reached. Arguments that only other endpoints use are
// nil or zero, so that those would panic.
func newAPI(p apiParts) http.Handler {
	// Targets on this machine are shown with its local name. Prometheus would show the
	// name under which other machines reach it.
	const here = "localhost:" + contract.PortPrometheus
	api := v1.NewAPI(
		p.engine,
		p.db, // series
		nil,  // appender of remote write and OTLP, both off
		p.db, // exemplars
		func(context.Context) v1.ScrapePoolsRetriever { return p.scrapes },
		func(context.Context) v1.TargetRetriever { return p.scrapes },
		func(context.Context) v1.AlertmanagerRetriever { return noAlertmanagers{} },
		func() config.Config { return *p.config },
		flags(p.options, p.timeout),
		v1.GlobalURLOptions{ListenAddress: here, Host: here, Scheme: "http"},
		func(next http.HandlerFunc) http.HandlerFunc { return next }, // readiness: Server.whileOpen
		tsdbStats{db: p.db},
		"",    // its directory
		false, // administration
		false, // search
		0,     // its limit
		p.log,
		func(context.Context) v1.RulesRetriever { return p.rules },
		querySamples, intake.MaxQueries, maxReadFrame, // remote read
		false,                    // agent
		regexp.MustCompile("^$"), // CORS: no Origin is empty, so none is allowed; nil would panic on any
		runtimeInfo(time.Now(), p.options),
		buildInfo(),
		func() []notifications.Notification { return []notifications.Notification{} }, nil, // notifications, live notifications
		p.registry, p.registry,
		nil,                 // statistics of queries: the default
		false,               // remote write
		nil,                 // its messages
		false, false, false, // OTLP, and its conversions
		lookback,
		false,                  // labels of type and unit
		false,                  // metadata in the write-ahead log
		nil,                    // error codes: the default
		features.NewRegistry(), // none of those that can be switched is on
		// The library builds its OpenAPI document at once, which is most of the time
		// that New takes; without paths it takes half of that.
		v1.OpenAPIOptions{IncludePaths: []string{"none"}},
		p.parser,
		false, // cost of queries
		p.timeout,
	)
	router := route.New()
	api.Register(router.WithPrefix(apiPrefix))
	return router
}

// buildInfo returns the version of Prometheus for clients. The module's version
// v0.316.0 is release 3.16.0: two digits of the minor version follow the major one
// (github.com/prometheus/prometheus, scripts/get_module_version.sh).
func buildInfo() *v1.PrometheusVersion {
	info := &v1.PrometheusVersion{Version: "unknown", Branch: "dicelab (embedded)", GoVersion: runtime.Version()}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, dep := range build.Deps {
		if dep.Path == library {
			info.Version = release(dep.Version)
		}
	}
	return info
}

// release returns the Prometheus release of a version of its module. It returns a version
// of another form unchanged.
func release(module string) string {
	rest, ok := strings.CutPrefix(module, "v0.3")
	if !ok || len(rest) < 4 || rest[2] != '.' {
		return module
	}
	minor := strings.TrimPrefix(rest[:2], "0")
	return "3." + minor + rest[2:]
}

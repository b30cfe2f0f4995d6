// Package metrics is the embedded stack's Prometheus: the real scrape manager,
// TSDB, PromQL engine, rules manager and HTTP API of
// github.com/prometheus/prometheus, put together for a lab of two services.
//
// Rules of the package:
//   - PromQL and the API are Prometheus's own code, behind a list of endpoints. A
//     request for another endpoint is refused with a message that says how to run
//     the real Prometheus.
//   - Series come from scrapes, rules, [Options.Source], remote write and
//     [Server.AppendMetrics]. Nothing can be administered over HTTP.
//   - Targets are fixed at start. There is no discovery, no Alertmanager and no
//     remote storage.
//   - Memory is more important than speed (storageOptions): the lab has hundreds of
//     series, and Prometheus is made for millions. What senders may add is bounded
//     (seriesCount).
//
// The library promises no compatibility between versions. Its positional
// constructor of the API is called in api.go only.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/senders"
)

// Defaults of Options.
const (
	DefaultInterval       = 2 * time.Second
	DefaultRetention      = 15 * 24 * time.Hour
	DefaultRetentionBytes = 512 << 20
	DefaultTimeout        = 30 * time.Second
)

// DirName is the name of the TSDB's directory in the data directory.
const DirName = "prometheus"

// maxForm bounds the form of a request, in bytes. Parameters in a URL have the server's
// bound of headers, which is the same.
const maxForm = 64 << 10

// Options are the settings of a Server.
type Options struct {
	// Dir is the lab's data directory. The TSDB is in Dir/prometheus, which is
	// made if it does not exist and can be opened by one process at a time.
	Dir string
	// Budget bounds the memory of all requests under way that send something; nil means a
	// budget of its own. Senders lists who sends; nil for no list.
	Budget  *intake.Budget
	Senders *senders.Table
	// Targets are scraped every Interval. There may be none: then there are only rules
	// and old data.
	Targets []Target
	// Interval is the time between two scrapes of a target, in whole
	// milliseconds; 0 means DefaultInterval. It is also the timeout of a scrape.
	Interval time.Duration
	// Retention is the time for which samples are kept; 0 means DefaultRetention.
	Retention time.Duration
	// RetentionBytes bounds the TSDB on disk: the oldest data are deleted first. 0
	// means DefaultRetentionBytes. Up to three hours of the newest data and their log
	// are kept whatever their size.
	RetentionBytes int64
	// Timeout bounds a request to the API; 0 means DefaultTimeout. Prometheus's
	// own is two minutes.
	Timeout time.Duration
	Memory  int64 // bytes that the program may have, see [intake.NewSemaphore]
	// Answers bounds the responses of the API under way; nil means a pool of its own.
	Answers *answer.Pool
	// Source is a source of series that are not scraped. It is read every Interval; nil
	// means none.
	Source Source
	// Rules is a Prometheus rules file, as the real stack's server reads it.
	// Empty means no rules.
	Rules []byte
	// Explorer is the URL to which /, /targets, /query and /graph redirect; empty means
	// that they are not served.
	Explorer string
	// Registry holds the server's own metrics, which /metrics shows. Two servers must
	// not share one. Nil means a new registry.
	Registry *prometheus.Registry
	// Guard is called before samples are committed; nil means that they always may be.
	Guard Guard
	// Logger gets the log of the library. The library logs routine work as INFO, so
	// use WARN for a terminal. Nil discards.
	Logger *slog.Logger
}

// A Server scrapes the targets into a TSDB and answers queries from it. Run
// scrapes, Handler answers from New until Close.
type Server struct {
	log       *slog.Logger
	db        *tsdb.DB
	scraper   *scraper
	source    *collector
	rules     *rules.Manager
	files     []string // of rules
	handler   http.Handler
	timeout   time.Duration // of a request to the API
	semaphore intake.Semaphore
	guard     Guard // may be nil
	answers   *answer.Pool
	budget    *intake.Budget
	senders   *senders.Table
	write     http.Handler // of remote write
	otlp      *otlpWriter

	gate   sync.RWMutex // held for reading while a request reads the TSDB
	closed bool         // guarded by gate
}

// New checks the options, opens the TSDB, replaying its log, and prepares the scrapes
// that Run starts. The caller must call Close, whether it called Run or not.
//
// It fails on a bad option, on rules that do not parse, and on a directory that
// cannot be made, is in use, or holds what this version cannot read.
func New(o Options) (s *Server, err error) {
	if o.Dir == "" {
		return nil, errors.New("opening metrics: no data directory: set Options.Dir")
	}
	explorer, err := parseExplorer(o.Explorer)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Answers == nil {
		o.Answers = answer.NewPool(answer.Options{})
	}
	if o.Budget == nil {
		o.Budget = intake.NewBudget(0)
	}
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	promQL := parser.NewParser(parser.Options{})
	loader := ruleLoader{content: o.Rules, parser: promQL, log: o.Logger}
	if err := loader.check(); err != nil {
		return nil, err
	}
	cfg, err := loadConfig(o.Targets, o.Interval, o.Logger)
	if err != nil {
		return nil, err
	}

	count := &seriesCount{}
	db, err := openTSDB(filepath.Join(o.Dir, DirName), o, count)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	guarded := guarded{db, o.Guard}
	scraper, err := newScraper(cfg, o.Targets, scraped{guarded, count, o.Targets}, o)
	if err != nil {
		return nil, err
	}
	otlp, err := newOTLPWriter(pushed{guarded, count}, cfg.OTLPConfig)
	if err != nil {
		return nil, err
	}
	options, err := storageOptions(o)
	if err != nil {
		return nil, err
	}
	engine := promql.NewEngine(engineOptions(promQL, o))
	manager := newRules(loader, engine, guarded, explorer, o)
	s = &Server{log: o.Logger, db: db, scraper: scraper, source: newCollector(o, guarded), timeout: o.Timeout, semaphore: intake.NewSemaphore(o.Memory), answers: o.Answers, guard: o.Guard, rules: manager, files: loader.files(),
		budget: o.Budget, senders: o.Senders, write: newWriteHandler(pushed{guarded, count}, o.Registry), otlp: otlp}
	s.handler = s.newHandler(newAPI(apiParts{
		engine: boundedEngine{engine, promQL, o.Interval}, db: db, scrapes: scraper.manager, rules: manager, config: cfg,
		registry: o.Registry, parser: promQL, options: options, timeout: o.Timeout, log: o.Logger,
	}), promQL, explorer, o.Registry)
	return s, nil
}

// Run scrapes the targets, the first time at once, collects from the source and evaluates
// the rules until ctx is done. Before it returns, it collects once more, and scrapes every
// target once more unless StopScraping did. It can be called once.
func (s *Server) Run(ctx context.Context) (err error) {
	scraped := make(chan error, 1)
	if err := s.scraper.start(scraped); err != nil {
		return err
	}
	// The scrape loops return when the manager is stopped, never on their own.
	defer func() {
		s.StopScraping()
		if e := <-scraped; e != nil {
			err = errors.Join(err, fmt.Errorf("scraping: %w", e))
		}
	}()
	if err := s.rules.Update(evaluationInterval, s.files, labels.EmptyLabels(), "", nil); err != nil {
		return fmt.Errorf("starting rules: %w", err)
	}
	ruled := make(chan struct{})
	go func() {
		defer close(ruled)
		s.rules.Run()
	}()
	s.source.run(ctx)
	s.rules.Stop()
	<-ruled
	return nil
}

// StopScraping scrapes every target once more and ends the scrapes. When it returns, the
// last samples can be queried. It takes at most two intervals: a scrape under way and the
// last one. Call it before the targets stop, so that their last values are kept. It may be
// called at any time and more than once.
func (s *Server) StopScraping() { s.scraper.stop() }

// Handler serves the API. After Close it answers 503.
func (s *Server) Handler() http.Handler { return s.handler }

// Close waits for the requests under way and closes the TSDB. Run must have returned, if
// it was called. Close may be called more than once.
func (s *Server) Close() error {
	s.StopScraping()
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := errors.Join(s.otlp.close(), s.db.Close()); err != nil {
		return fmt.Errorf("closing metrics: %w", err)
	}
	return nil
}

// parseExplorer parses Options.Explorer. It returns nil if there is none.
func parseExplorer(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the explorer's URL: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("reading the explorer's URL: %q is not of the form http://host:port", raw)
	}
	return u, nil
}

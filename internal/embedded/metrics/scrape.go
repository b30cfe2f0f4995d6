package metrics

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"

	"dicelab/internal/lab"
)

// Limits of a scrape. A larger response fails the scrape, which /targets shows, instead
// of filling the memory. A service of the lab has some 300 series.
const (
	maxSamples = 10_000
	maxBody    = "10MB"
)

// settleTime bounds the wait for the scrape loops to start. That takes milliseconds; if it
// takes longer, the library has changed.
const settleTime = 10 * time.Second

// A Target is one /metrics endpoint, scraped over http.
type Target = lab.Target

// scrapeConfig has the settings of Prometheus's configuration file that the lab uses
// (https://prometheus.io/docs/prometheus/latest/configuration/configuration/).
// Everything else has the library's defaults, among them OpenMetrics first when
// formats are negotiated, without which there are no exemplars, and classic
// histograms.
type scrapeConfig struct {
	Global struct {
		Interval string `json:"scrape_interval"`
		Timeout  string `json:"scrape_timeout"`
	} `json:"global"`
	Jobs []scrapeJob `json:"scrape_configs"`
}

type scrapeJob struct {
	Name        string `json:"job_name"`
	SampleLimit int    `json:"sample_limit"`
	BodyLimit   string `json:"body_size_limit"`
}

// loadConfig checks the targets and returns the configuration of the scrape manager. It
// uses the library's own loader, which checks it and sets defaults. It writes JSON, which
// is valid YAML and quotes every name safely.
func loadConfig(targets []Target, interval time.Duration, log *slog.Logger) (*config.Config, error) {
	if interval < time.Millisecond || interval%time.Millisecond != 0 {
		return nil, fmt.Errorf("setting the scrape interval: %s is not a whole number of milliseconds from 1", interval)
	}
	var c scrapeConfig
	c.Global.Interval = model.Duration(interval).String()
	c.Global.Timeout = c.Global.Interval
	for i, t := range targets {
		if t.Job == "" {
			return nil, fmt.Errorf("adding the scrape target %q: its job is empty", t.Address)
		}
		if host, port, err := net.SplitHostPort(t.Address); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("adding the scrape target of %s: %q is not of the form host:port", t.Job, t.Address)
		}
		if slices.Contains(targets[:i], t) {
			return nil, fmt.Errorf("adding the scrape target of %s: %s is there already", t.Job, t.Address)
		}
		if !slices.ContainsFunc(c.Jobs, func(j scrapeJob) bool { return j.Name == t.Job }) {
			c.Jobs = append(c.Jobs, scrapeJob{Name: t.Job, SampleLimit: maxSamples, BodyLimit: maxBody})
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("writing the scrape configuration: %w", err)
	}
	cfg, err := config.Load(string(text), log)
	if err != nil {
		return nil, fmt.Errorf("loading the scrape configuration: %w", err)
	}
	return cfg, nil
}

// groups returns what a discovery manager would send for the targets. They never
// change, so there is no such manager.
func groups(targets []Target) map[string][]*targetgroup.Group {
	byJob := map[string][]*targetgroup.Group{}
	for _, t := range targets {
		byJob[t.Job] = append(byJob[t.Job], &targetgroup.Group{
			Source:  t.Address + t.Path,
			Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(t.Address), model.MetricsPathLabel: model.LabelValue(cmp.Or(t.Path, "/metrics"))}},
		})
	}
	return byJob
}

// scraper runs the scrape manager: start, then stop, each once, in any order.
type scraper struct {
	manager *scrape.Manager
	config  *config.Config
	targets []Target

	running atomic.Bool // between the first scrape and the last

	mu      sync.Mutex // held while the manager starts or stops
	started bool
	stopped bool
}

func newScraper(cfg *config.Config, targets []Target, db storage.AppendableV2, o Options) (*scraper, error) {
	manager, err := scrape.NewManager(&scrape.Options{
		// By default scrapes of new targets start after 5 s.
		DiscoveryReloadOnStartup: true,
		// The library spreads first scrapes over one interval, for servers with
		// many targets. Subtracting one interval scrapes all of them at once.
		InitialScrapeOffset: -o.Interval,
		// The last scrape: stopping the manager scrapes every target once more
		// and commits it before Stop returns.
		ScrapeOnShutdown: true,
	}, o.Logger, nil, nil, db, o.Registry)
	if err != nil {
		return nil, fmt.Errorf("making the scrape manager: %w", err)
	}
	return &scraper{manager: manager, config: cfg, targets: targets}, nil
}

// scraped is the TSDB for samples that are scraped. Of targets that are not the lab's own
// it bounds the series; a scrape that has too many fails, with the reason.
type scraped struct {
	guarded
	count   *seriesCount
	targets []Target
}

// AppenderV2 implements storage.AppendableV2.
func (s scraped) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &scrapedAppender{s.guarded.AppenderV2(ctx), s}
}

type scrapedAppender struct {
	storage.AppenderV2
	db scraped
}

// Append implements storage.AppenderV2.
func (a *scrapedAppender) Append(
	ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions,
) (storage.SeriesRef, error) {
	if ref == 0 && a.db.bounded(ls.Get(model.JobLabel)) {
		if err := a.db.count.allow(a.AppenderV2, ls); err != nil {
			return 0, err
		}
	}
	return a.AppenderV2.Append(ref, ls, st, t, v, h, fh, o)
}

// bounded reports whether the series of a job are bounded.
func (s scraped) bounded(job string) bool {
	return slices.ContainsFunc(s.targets, func(t Target) bool { return t.Job == job && t.Foreign })
}

// start begins the scrapes and returns when each target has its loop. done gets the error
// that the manager returns when it is stopped.
func (s *scraper) start(done chan<- error) error {
	// Hold the lock until the loops have started: a manager that is stopped while it
	// starts its loops leaves loops that nothing ends.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopped {
		return errors.New("starting scrapes: they were started or stopped before: make a new server")
	}
	s.started = true
	// This looks up the machine's own name, which can take seconds if the name server
	// does not answer. Here only scrapes wait for it, not queries.
	if err := s.manager.ApplyConfig(s.config); err != nil {
		return fmt.Errorf("applying the scrape configuration: %w", err)
	}
	sets := make(chan map[string][]*targetgroup.Group, 1)
	sets <- groups(s.targets)
	go func() { done <- s.manager.Run(sets) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(settleTime); s.active() < len(s.targets); <-tick.C {
		if time.Now().After(deadline) {
			return fmt.Errorf("starting scrapes: %d of %d targets after %s", s.active(), len(s.targets), settleTime)
		}
	}
	s.running.Store(true)
	return nil
}

// active returns the number of targets that are being scraped.
func (s *scraper) active() (n int) {
	for _, targets := range s.manager.TargetsActive() {
		n += len(targets)
	}
	return n
}

// stop scrapes every target once more and ends the scrapes.
func (s *scraper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.stopped = true
	s.running.Store(false)
	s.manager.Stop()
}

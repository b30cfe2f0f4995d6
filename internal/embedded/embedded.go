// Package embedded is the embedded stack. It receives, stores and serves telemetry where no
// Prometheus, Loki, Tempo, Alloy and Collector run. Its parts are the packages below it;
// this package connects them.
//
//	OTLP in   (otlp): spans, log records ─┬→ journals and indexes (store) → Tempo's API (tempo), Loki's API (loki)
//	pushes    (loki)                     ─┤
//	stdout in (collect)                  ─┘
//	OTLP in   (otlp): points             ─┬→ TSDB of the real Prometheus (metrics) → its own API
//	stored spans (generate)              ─┤
//	scrapes, remote write (metrics)      ─┘
//
// Package senders lists who sends; package forward sends copies elsewhere.
//
// It serves the public APIs of the real servers, so that programs that read from those can
// read from it unchanged.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/collect"
	"dicelab/internal/embedded/disk"
	"dicelab/internal/embedded/forward"
	"dicelab/internal/embedded/generate"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/loki"
	"dicelab/internal/embedded/metrics"
	"dicelab/internal/embedded/otlp"
	"dicelab/internal/embedded/senders"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
	"dicelab/internal/embedded/tail"
	"dicelab/internal/embedded/tempo"
	"dicelab/internal/lab"
	"dicelab/stack"
)

// Options are the settings of a stack.
type Options struct {
	Dir      string           // data directory; no other process may use it
	Store    store.Options    // bounds of traces and logs
	Targets  []metrics.Target // targets of scrapes
	Rules    []byte           // a Prometheus rules file; empty for none
	Explorer string           // base URL to which the paths of Prometheus's pages redirect
	Version  string           // version that the APIs report
	Logger   *slog.Logger     // warnings of the parts
	Print    func(string)     // prints a line to the terminal: that nothing can be stored, or that it can again
	Recover  bool             // move damaged files aside and start anew
	Memory   int64            // bytes that the program may have, which bounds queries at once; 0 means the limit of Go's runtime
	OwnKey   string           // key with which the lab's own services send their spans; see otlp.Options
	Discover bool             // set service_name and detected_level of lines that are sent; see logline.Discover
	Origins  []string         // origins besides localhost whose pages may send OTLP; see web.GuardCORS
	Forward  *url.URL         // backend that gets a copy of all OTLP; nil for none

	// Listeners are the listeners of Parts, by the names of package stack. Each part owns
	// its own.
	Listeners lab.Listeners
	Hosts     []string // names besides localhost that the servers of Parts accept
}

// Stack is an embedded stack. Call OpenStore and OpenMetrics before the methods that
// return the handlers over them.
type Stack struct {
	o        Options
	registry *prometheus.Registry
	budget   *intake.Budget // for exports and pushes together
	answers  *answer.Pool   // for responses of all APIs together
	senders  *senders.Table
	opened   atomic.Pointer[metrics.Server] // metrics, once it is open

	forwarder  *forward.Forwarder // nil if nothing is forwarded
	forwarded  chan struct{}      // closed when its Run has returned
	endForward context.CancelFunc

	watch    *disk.Watch   // of the data directory
	watched  chan struct{} // closed when its Run has returned
	endWatch context.CancelFunc

	store     *store.Store
	streams   *streams.Table
	tails     *tail.Hub // of lines that have been stored
	collector *collect.Collector
	receiver  *otlp.Receiver
	collected chan error // result of the collector's Run
	tempo     http.Handler

	generator *generate.Generator
	generated chan struct{} // closed when the generator's Run has returned

	metrics *metrics.Server
	scraped chan error // result of the metrics' Run

	endGenerator, endMetrics context.CancelFunc
}

// New returns a stack. It opens nothing yet.
func New(o Options) *Stack {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	registry := prometheus.NewRegistry()
	s := &Stack{
		o: o, registry: registry, budget: intake.NewBudget(0), answers: answer.NewPool(answer.Options{}), tails: tail.New(),
		generator: generate.New(generate.Options{Registry: registry, Logger: o.Logger}),
	}
	s.senders = senders.New(senders.Options{New: s.greet})
	if o.Forward != nil {
		s.forwarder = forward.New(forward.Options{URL: o.Forward, Print: s.print, Registry: registry})
	}
	return s
}

// greet prints the first telemetry of a service that is not the lab's own.
func (s *Stack) greet(service string, signal senders.Signal) {
	if !slices.Contains(contract.Services(), service) && service != contract.ServiceTraffic {
		s.print(fmt.Sprintf("First %s of %q.", signal, service))
	}
}

func (s *Stack) print(line string) {
	if s.o.Print != nil {
		s.o.Print(line)
	}
}

// OpenStore opens the files of traces and logs and starts to accept both. It fails with
// [*DamagedError] if one cannot be read.
func (s *Stack) OpenStore(ctx context.Context) (err error) {
	if s.store, err = s.openStore(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.store.Close())
		}
	}()
	if s.watch, err = disk.New(disk.Options{Dir: s.o.Dir, Print: s.o.Print}); err != nil {
		return err
	}
	for _, name := range store.Dirs() {
		if err := s.watch.Keep(name); err != nil {
			return err
		}
	}
	s.o.Logger = slog.New(s.watch.Handler(s.o.Logger.Handler()))
	s.streams = streams.New(linesGate{s.store, s.watch, s.tails}, 0, nil)
	dropped := collect.NewDropped()
	s.registry.MustRegister(dropped)
	s.collector = collect.New(s.streams.Own(), collect.Options{Dropped: dropped, Logger: s.o.Logger})
	s.receiver = otlp.New(s.generator.Wrap(spansGate{s.store, s.watch}), otlp.Options{
		Lines: s.streams.Others(), Points: points{s}, Discover: s.o.Discover, LineLimits: s.lineLimits(), Senders: s.senders,
		Forward: s.startForwarding(ctx), Budget: s.budget, OwnKey: s.o.OwnKey, Age: s.store.TraceAge(), Early: store.MaxEarly,
	})
	if s.tempo, err = tempo.NewHandler(healthGate{s.store, s.watch}, tempo.Options{
		Version: s.o.Version, Answers: s.answers, Memory: s.o.Memory, Metrics: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}),
	}); err != nil {
		return err
	}
	watching, endWatch := context.WithCancel(context.WithoutCancel(ctx)) // CloseStore ends it
	s.endWatch, s.watched = endWatch, make(chan struct{})
	go func() {
		defer close(s.watched)
		s.watch.Run(watching)
	}()
	s.collected = make(chan error, 1)
	go func() { s.collected <- s.collector.Run(context.WithoutCancel(ctx)) }() // CloseStore ends it
	return nil
}

// CloseStore stores the lines that were read of the services' output and closes the files.
// Call it when the services have exited.
func (s *Stack) CloseStore(ctx context.Context) error {
	s.tails.Close()
	err := s.collector.Close(ctx)
	if err == nil {
		err = <-s.collected
	}
	s.endWatch()
	<-s.watched
	s.stopForwarding(ctx)
	return errors.Join(err, s.store.Close())
}

// OpenMetrics opens the TSDB and starts to scrape and to count spans. It fails
// with [*DamagedError] if the TSDB cannot be read.
func (s *Stack) OpenMetrics(context.Context) (err error) {
	if s.o.Recover {
		if err := s.checkMetrics(); err != nil {
			return err
		}
	}
	s.metrics, err = metrics.New(metrics.Options{
		Dir: s.o.Dir, Targets: s.o.Targets, Source: s.generator, Rules: s.o.Rules, Explorer: s.o.Explorer, Registry: s.registry, Logger: s.o.Logger,
		Guard: s.watch, Answers: s.answers, Memory: s.o.Memory, Budget: s.budget, Senders: s.senders,
	})
	if damaged, ok := errors.AsType[*metrics.DamagedError](err); ok {
		return s.damagedMetrics(damaged)
	}
	if err != nil {
		return err
	}
	if err := s.watch.Keep(metrics.DirName); err != nil {
		return errors.Join(err, s.metrics.Close())
	}
	// CloseMetrics ends both.
	counting, endGenerator := context.WithCancel(context.Background())
	scraping, endMetrics := context.WithCancel(context.Background())
	s.endGenerator, s.endMetrics = endGenerator, endMetrics
	s.generated, s.scraped = make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(s.generated)
		s.generator.Run(counting)
	}()
	go func() { s.scraped <- s.metrics.Run(scraping) }()
	s.opened.Store(s.metrics)
	return nil
}

// LastScrape scrapes the last value of every counter. Call it when the services are
// drained and still answer.
func (s *Stack) LastScrape(context.Context) error {
	s.metrics.StopScraping()
	return nil
}

// CloseMetrics counts the spans that are stored, stores the counts and closes the TSDB.
func (s *Stack) CloseMetrics(context.Context) error {
	s.endGenerator()
	<-s.generated // the metrics' last collection comes after it
	s.endMetrics()
	return errors.Join(<-s.scraped, s.metrics.Close())
}

// ReadLog stores a service's output, line by line, as Alloy does. It returns when r ends.
func (s *Stack) ReadLog(service string, r io.Reader) error { return s.collector.Read(service, r) }

// Receiver serves OTLP over HTTP.
func (s *Stack) Receiver() http.Handler { return s.receiver.Handler() }

// GRPC serves OTLP over gRPC.
func (s *Stack) GRPC() http.Handler { return s.receiver.GRPC() }

// Tempo serves Tempo's API.
func (s *Stack) Tempo() http.Handler { return s.tempo }

// Loki serves Loki's API.
func (s *Stack) Loki() http.Handler {
	api := loki.NewHandler(pushStore{s.store, s.streams.Others()}, loki.Options{
		Version: served(stack.Loki), Budget: s.budget, Answers: s.answers, Memory: s.o.Memory, Tails: s.tails, Metrics: s.registry,
		Age: s.store.LogAge(), Early: store.MaxEarly, Ready: healthGate{s.store, s.watch}.Health, Discover: s.o.Discover, Senders: s.senders,
	})
	return with("/otlp/v1/logs", s.receiver.Logs(), api)
}

// served returns the version of a server whose API is served.
func served(name string) string {
	c, err := stack.Find(name)
	if err != nil {
		return "unknown"
	}
	return c.Version
}

// with returns a handler that serves a path, and passes all other requests to rest.
func with(path string, one, rest http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(path, one)
	mux.Handle("/", rest)
	return mux
}

// Prometheus serves Prometheus's API.
func (s *Stack) Prometheus() http.Handler {
	return with("/api/v1/otlp/v1/metrics", s.receiver.Metrics(), s.metrics.Handler())
}

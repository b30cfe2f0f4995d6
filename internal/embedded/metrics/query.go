package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"

	"dicelab/internal/embedded/intake"
)

const (
	// lookback is the greatest age of a sample that counts as current (Prometheus's
	// default).
	lookback = 5 * time.Minute
	// querySamples bounds the samples that one query has in memory, at 16 bytes each,
	// and 28 in the response. Prometheus's default of 50 million is 800 MB. 15 days of
	// one series are 648,000.
	querySamples = 1_000_000
	// evaluationInterval is the time between two evaluations of rules whose group sets
	// no interval. Prometheus's default of a minute is long against scrapes every 2 s.
	evaluationInterval = 5 * time.Second
	// rulesName is the file name under which the API shows the rules.
	rulesName = "rules.yml"
)

// engineOptions returns the options of the PromQL engine. Except for the bounds they are
// those of the Prometheus server.
func engineOptions(p parser.Parser, o Options) promql.EngineOpts {
	return promql.EngineOpts{
		Logger:               o.Logger,
		Reg:                  o.Registry,
		MaxSamples:           querySamples,
		Timeout:              o.Timeout,
		LookbackDelta:        lookback,
		ActiveQueryTracker:   slots{intake.NewSemaphore(o.Memory)},
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 {
			return evaluationInterval.Milliseconds()
		},
		Parser: p,
	}
}

// slots is a promql.QueryTracker that bounds the queries under way. The library's own
// tracker also keeps a file of the queries that ran when the process died, and panics if
// it cannot write it.
type slots struct{ intake.Semaphore }

// GetMaxConcurrent returns the number of slots.
func (s slots) GetMaxConcurrent() int { return cap(s.Semaphore) }

// Insert waits for a slot.
func (s slots) Insert(ctx context.Context, _ string) (int, error) {
	if s.Acquire(ctx) != nil {
		return 0, fmt.Errorf("waiting for one of %d queries to end: %w", cap(s.Semaphore), context.Cause(ctx))
	}
	return 0, nil
}

// Delete releases a slot.
func (s slots) Delete(int) { s.Release() }

// Close does nothing: there is no file to close.
func (s slots) Close() error { return nil }

// ruleLoader is a rules.GroupLoader that reads from memory: the rules are part of the
// program, like the real stack's configuration.
type ruleLoader struct {
	content []byte
	parser  parser.Parser
	log     *slog.Logger
}

// files returns the names that Load accepts.
func (l ruleLoader) files() []string {
	if len(bytes.TrimSpace(l.content)) == 0 {
		return nil
	}
	return []string{rulesName}
}

// check parses the rules once, so that a mistake is an error at start.
func (l ruleLoader) check() error {
	for range l.files() {
		if _, errs := l.Load(rulesName, false, model.UTF8Validation); len(errs) > 0 {
			return fmt.Errorf("reading the rules: %w", errors.Join(errs...))
		}
	}
	return nil
}

// Load parses the rules.
func (l ruleLoader) Load(_ string, ignoreUnknown bool, names model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return rulefmt.Parse(l.content, ignoreUnknown, names, l.parser, l.log)
}

// Parse parses one rule's expression.
func (l ruleLoader) Parse(query string) (parser.Expr, error) { return l.parser.ParseExpr(query) }

// newRules returns the manager of recording and alerting rules. The API shows alerts;
// they are not sent, since the lab has no Alertmanager.
func newRules(l ruleLoader, engine *promql.Engine, db guarded, external *url.URL, o Options) *rules.Manager {
	if external == nil {
		external = &url.URL{} // templates of alerts print it
	}
	return rules.NewManager(&rules.ManagerOptions{
		ExternalURL: external,
		QueryFunc:   rules.EngineQueryFunc(engine, db.DB),
		NotifyFunc:  func(context.Context, string, ...*rules.Alert) {},
		// Evaluations end in rules.Manager.Stop.
		Context:      context.Background(),
		AppendableV2: db,
		Queryable:    db.DB,
		Logger:       o.Logger,
		Registerer:   o.Registry,
		// The settings with which Prometheus restores the state of alerts after a
		// restart (its flags rules.alert.for-outage-tolerance and for-grace-period).
		OutageTolerance: time.Hour,
		ForGracePeriod:  10 * time.Minute,
		GroupLoader:     l,
		Parser:          l.parser,
	})
}

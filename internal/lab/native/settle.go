package native

import (
	"context"
	"fmt"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"dicelab/internal/query"
)

// settleEvery is the pause between two looks at a server that is settling.
const settleEvery = 50 * time.Millisecond

// settleTimeout bounds the wait, below the grace period of the lab: what is not
// delivered by then is on disk, and is delivered at the next start.
const settleTimeout = 5 * time.Second

// until calls done again and again, until it returns neither a reason to wait nor an error. Its
// own error has the last reason.
func until(ctx context.Context, done func(context.Context) (why string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	last := "nothing was heard"
	for {
		why, err := done(ctx)
		switch {
		case err == nil && why == "":
			return nil
		case err == nil:
			last = why
		case ctx.Err() == nil:
			last = err.Error()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %v, but %s", settleTimeout, last)
		}
	}
}

// lastScrape returns when Prometheus has scraped each target once more.
func (s *Stack) lastScrape(ctx context.Context) error {
	client, err := query.NewPrometheus(query.Config{URL: "http://" + clientAddr(s.addrs[Prometheus])})
	if err != nil {
		return err
	}
	since := time.Now()
	return until(ctx, func(ctx context.Context) (string, error) {
		targets, err := client.Targets(ctx)
		for _, t := range targets {
			if !t.LastScrape.After(since) {
				return t.Job + " was not scraped once more", err
			}
		}
		return "", err
	})
}

// spansSent returns when the Collector's queue is empty.
func (s *Stack) spansSent(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) (string, error) {
		m, err := scrape(ctx, clientAddr(s.addrs[CollectorMetrics]))
		if err != nil {
			return "", err
		}
		if n := m.sum("otelcol_exporter_queue_size"); n > 0 {
			return fmt.Sprintf("%.0f batches of spans wait in the Collector for Tempo; they are sent at the next start", n), nil
		}
		return "", nil
	})
}

// linesSent returns when Alloy has read every line that was written since it was started, and sent
// what it read. A line that Loki refused counts as sent, too: Alloy counts it as dropped. Alloy
// updates the number of lines that it has read at once, but the number of bytes only every ten
// seconds.
func (s *Stack) linesSent(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) (string, error) {
		m, err := scrape(ctx, clientAddr(s.addrs[Alloy]))
		if err != nil {
			return "", err
		}
		read := m.sum("loki_source_file_read_lines_total")
		sent := m.sum("loki_write_sent_entries_total") + m.sum("loki_write_dropped_entries_total")
		unread := max(0, float64(s.spool.Lines()-s.followed)-read)
		if unread > 0 || sent < read {
			return fmt.Sprintf("of the services' lines %.0f are unread by Alloy and %.0f unsent; they are sent at the next start", unread, max(0, read-sent)), nil
		}
		return "", nil
	})
}

// metrics holds a server's own metrics, by name.
type metrics map[string]*dto.MetricFamily

// scrape reads the metrics of a server in the Prometheus text format.
func scrape(ctx context.Context, addr string) (metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // nothing can be lost of what was read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", req.URL, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", req.URL, err)
	}
	return families, nil
}

// sum adds up the samples of a counter or gauge. What is not there is 0.
func (m metrics) sum(name string) (total float64) {
	for _, sample := range m[name].GetMetric() {
		total += sample.GetCounter().GetValue() + sample.GetGauge().GetValue() + sample.GetUntyped().GetValue()
	}
	return total
}

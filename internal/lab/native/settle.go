package native

import (
	"context"
	"fmt"
	"time"

	"dicelab/internal/query"
	"dicelab/internal/scrape"
	"dicelab/internal/wait"
)

// settleTimeout bounds the wait, below the grace period of the lab: what is not
// delivered by then is on disk, and is delivered at the next start.
const settleTimeout = 5 * time.Second

// until calls settled until it returns no error. Its own error has the last one.
func until(ctx context.Context, settled func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := wait.Until(ctx, settled); err != nil {
		return fmt.Errorf("waited %v, but %w", settleTimeout, err)
	}
	return nil
}

// lastScrape returns when Prometheus has scraped each target once more.
func (s *Stack) lastScrape(ctx context.Context) error {
	client, err := query.NewPrometheus(query.Config{URL: "http://" + clientAddr(s.addrs[Prometheus])})
	if err != nil {
		return err
	}
	since := time.Now()
	return until(ctx, func(ctx context.Context) error {
		targets, err := client.Targets(ctx)
		for _, t := range targets {
			if !t.LastScrape.After(since) {
				return fmt.Errorf("%s was not scraped once more", t.Job)
			}
		}
		return err
	})
}

// spansSent returns when the Collector's queue is empty.
func (s *Stack) spansSent(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) error {
		m, err := scrape.Fetch(ctx, "http://"+clientAddr(s.addrs[CollectorMetrics])+"/metrics")
		if err != nil {
			return err
		}
		if n := m.Sum("otelcol_exporter_queue_size"); n > 0 {
			return fmt.Errorf("%.0f batches of spans wait in the Collector for Tempo; they are sent at the next start", n)
		}
		return nil
	})
}

// linesSent returns when Alloy has read every line that was written since it was started, and sent
// what it read. A line that Loki refused counts as sent, too: Alloy counts it as dropped. Alloy
// updates the number of lines that it has read at once, but the number of bytes only every ten
// seconds.
func (s *Stack) linesSent(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) error {
		m, err := scrape.Fetch(ctx, "http://"+clientAddr(s.addrs[Alloy])+"/metrics")
		if err != nil {
			return err
		}
		read := m.Sum("loki_source_file_read_lines_total")
		sent := m.Sum("loki_write_sent_entries_total") + m.Sum("loki_write_dropped_entries_total")
		unread := max(0, float64(s.spool.Lines()-s.followed)-read)
		if unread > 0 || sent < read {
			return fmt.Errorf("of the services' lines %.0f are unread by Alloy and %.0f unsent; they are sent at the next start",
				unread, max(0, read-sent))
		}
		return nil
	})
}

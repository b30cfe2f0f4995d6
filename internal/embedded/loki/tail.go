package loki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/tail"
)

// maxDelay is the longest time by which a client may ask to delay lines, as in Loki.
const maxDelay = 5 * time.Second

// writeTimeout is the longest time that a client may take to read a message.
const writeTimeout = 10 * time.Second

// tailed is a message of /loki/api/v1/tail.
type tailed struct {
	Streams []tailedStream `json:"streams"`
	Flags   []string       `json:"encodingFlags,omitempty"`
	Dropped []dropped      `json:"dropped_entries,omitempty"`
}

type tailedStream struct {
	Stream map[string]string `json:"stream"`
	Values []entry           `json:"values"`
}

// dropped stands for lines that did not fit into a client's queue.
type dropped struct {
	Timestamp string            `json:"timestamp"` // nanoseconds
	Labels    map[string]string `json:"labels,omitempty"`
}

// tail answers /loki/api/v1/tail: it sends the lines of a query as they are stored, over a
// websocket, behind those since start, up to a limit.
func (h *handler) tail(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return bodyError("the parameters", err)
	}
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	if q.Metric != nil {
		return answer.Errorf(http.StatusBadRequest, "tail follows log lines, so it takes a query for log lines and no metric query")
	}
	p, delay, err := h.tailParams(r)
	if err != nil {
		return err
	}
	t, err := h.opts.Tails.Follow(func(labels map[string]string) bool {
		matches, err := q.Selector.Matches(context.Background(), labels)
		return matches && err == nil
	})
	if err != nil {
		return answer.Errorf(http.StatusTooManyRequests, "%w", err)
	}
	defer t.Leave()
	run := h.newRun(r)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // Accept has answered with the error
	}
	defer conn.CloseNow()                                 // it is closed already, or the client has gone
	ctx := conn.CloseRead(context.WithoutCancel(run.ctx)) // ends when the client goes
	switch err := h.follow(ctx, conn, run, q, t, p, delay); {
	case errors.Is(err, tail.ErrClosed):
		_ = conn.Close(websocket.StatusGoingAway, err.Error())
	case err != nil && ctx.Err() == nil:
		_ = conn.Close(websocket.StatusInternalError, fmt.Sprintf("%.100s", err))
	}
	return nil
}

func (h *handler) tailParams(r *http.Request) (p rangeParams, delay time.Duration, err error) {
	if p.start, p.end, err = h.bounds(r, defaultSince); err != nil {
		return p, 0, err
	}
	if p.limit, err = limit(r); err != nil {
		return p, 0, err
	}
	if text := r.Form.Get("delay_for"); text != "" {
		seconds, err := strconv.Atoi(text)
		if delay = time.Duration(seconds) * time.Second; err != nil || delay < 0 || delay > maxDelay {
			return p, 0, answer.Errorf(http.StatusBadRequest, "delay_for is a number of seconds, and can't be greater than 5")
		}
	}
	return p, delay, nil
}

// follow sends lines until the client or the stack ends.
func (h *handler) follow(ctx context.Context, conn *websocket.Conn, run *run, q *logql.Query, t *tail.Tail, p rangeParams, delay time.Duration) error {
	old, err := h.history(ctx, run, q, p)
	if err != nil {
		return err
	}
	sent := make(map[[32]byte]bool, len(old)) // lines may be both in the store and in the queue
	for _, l := range old {
		sent[lineID(l)] = true
	}
	if err := run.send(ctx, conn, q, tail.Batch{Lines: old}); err != nil {
		return err
	}
	for {
		b, err := t.Next(ctx)
		if err != nil {
			return err
		}
		if len(sent) > 0 {
			b.Lines = slices.DeleteFunc(slices.Clone(b.Lines), func(l store.Line) bool { return sent[lineID(l)] })
			if len(b.Lines) > 0 && b.At.Sub(p.end) > time.Minute {
				clear(sent)
			}
		}
		if wait := time.Until(b.At.Add(delay)); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := run.send(ctx, conn, q, b); err != nil {
			return err
		}
	}
}

func lineID(l store.Line) [32]byte {
	l.Text = strconv.FormatInt(l.Time.UnixNano(), 10) + l.Text
	return identity(l)
}

// history returns the newest lines since start that pass the query, oldest first.
func (h *handler) history(ctx context.Context, run *run, q *logql.Query, p rangeParams) ([]store.Line, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.Timeout)
	defer cancel()
	if err := h.semaphore.Acquire(ctx); err != nil {
		return nil, err
	}
	defer h.semaphore.Release()
	run.ctx = ctx
	var lines []store.Line
	size := 0
	selected, ended := run.selected(q.Selector, q.Pipeline, p.start, p.end)
	selected.Expected = p.limit
	err := run.each(selected, ended, q.Pipeline, func(l store.Line, _ logql.Output) bool {
		lines = append(lines, l)
		size += len(l.Text)
		return len(lines) < p.limit && size < tail.MaxQueue
	})
	slices.Reverse(lines)
	return lines, err
}

// send sends the lines of a batch that pass the query as one message.
func (run *run) send(ctx context.Context, conn *websocket.Conn, q *logql.Query, b tail.Batch) error {
	run.ctx = ctx
	var m tailed
	index := map[string]int{}
	for _, l := range b.Lines {
		out, ok, err := q.Pipeline.Process(ctx, logql.Input{Stream: l.Stream, Metadata: l.Metadata, Time: l.Time.UnixNano(), Text: l.Text})
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		labels, e := run.entry(l, out)
		key := logql.FormatLabels(labels)
		i, known := index[key]
		if !known {
			i = len(m.Streams)
			index[key] = i
			m.Streams = append(m.Streams, tailedStream{Stream: labels})
		}
		m.Streams[i].Values = append(m.Streams[i].Values, e)
	}
	for range min(b.Dropped, 100) {
		m.Dropped = append(m.Dropped, dropped{Timestamp: strconv.FormatInt(b.At.UnixNano(), 10)})
	}
	if len(m.Streams)+len(m.Dropped) == 0 {
		return nil
	}
	if run.categorize {
		m.Flags = []string{flagCategorize}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

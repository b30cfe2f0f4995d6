package explorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/query"
	"dicelab/internal/web"
)

// Bounds of the pages that follow log lines as they come.
const (
	maxTails     = 5                // pages at once
	maxTailLines = 200              // lines of one event: of more, the newest
	tailWrite    = 10 * time.Second // the longest that a browser may take to read an event
	tailSilence  = 15 * time.Second // of a connection; then it sends a comment
	tailOverlap  = 10 * time.Second // before the page was made: lines that were stored late
)

// tail sends the lines of a page of log lines as they are stored, as server-sent events
// (HTML Living Standard, section 9.2): rows of the list, for the page to put in.
func (e *explorer) tail(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintln(w, text)
	}
	select {
	case e.tails <- struct{}{}:
		defer func() { <-e.tails }()
	default:
		refuse(
			http.StatusServiceUnavailable,
			fmt.Sprintf("%d pages follow log lines already: close one of them", maxTails),
		)
		return
	}
	v := logsView{}
	if err := v.parse(r); err != nil {
		refuse(http.StatusBadRequest, err.Error())
		return
	}
	after := e.Now()
	for _, text := range []string{r.URL.Query().Get("after"), r.Header.Get("Last-Event-ID")} {
		if ns, err := strconv.ParseInt(text, 10, 64); err == nil {
			after = time.Unix(0, ns)
		}
	}
	ctx, stop := web.UntilDraining(r.Context())
	defer stop()
	defer context.AfterFunc(r.Context(), stop)()
	lines, err := e.Loki.Follow(ctx, query.LogQuery{LogQL: v.Query, Start: after, Limit: maxTailLines})
	if err != nil {
		refuse(http.StatusBadGateway, err.Error())
		return
	}
	defer lines.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	to := http.NewResponseController(w)
	if err := to.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return // the connection is gone
	}
	send := func(text string) error {
		if err := to.SetWriteDeadline(time.Now().Add(tailWrite)); err != nil &&
			!errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return to.Flush()
	}
	if send(": following\n\n") != nil {
		return
	}
	e.followLines(ctx, lines, send)
}

// batch is the content of one message of a tail.
type batch struct {
	lines   []query.LogLine
	dropped int
}

// followLines sends what comes until the context or one of the connections ends.
func (e *explorer) followLines(ctx context.Context, lines *query.Tail, send func(string) error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batches, ended := make(chan batch), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			found, dropped, err := lines.Next(ctx)
			if err != nil {
				return
			}
			select {
			case batches <- batch{found, dropped}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { stop(); <-ended }()
	seen := map[string]int{}
	for {
		var text string
		select {
		case b := <-batches:
			text = e.event(b, seen)
		case <-time.After(tailSilence):
			text = ": still here\n\n"
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
		if send(text) != nil {
			return
		}
	}
}

// event writes the event of a batch.
func (e *explorer) event(b batch, seen map[string]int) string {
	more := b.dropped + max(0, len(b.lines)-maxTailLines)
	shown := b.lines[:min(len(b.lines), maxTailLines)]
	var page bytes.Buffer
	newest := time.Time{}
	for _, l := range shown {
		if l.Time.After(newest) {
			newest = l.Time
		}
		if err := e.pages["logs"].ExecuteTemplate(&page, "log-line", e.lineRow(l, seen)); err != nil {
			return fmt.Sprintf("event: failed\ndata: %s\n\n", strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
	if len(seen) > 10*maxTailLines { // IDs are made unique only within a short time
		clear(seen)
	}
	var out strings.Builder
	if !newest.IsZero() {
		fmt.Fprintf(&out, "id: %d\n", newest.UnixNano()+1)
	}
	fmt.Fprintf(&out, "event: lines\ndata: %d\n", more)
	for line := range strings.Lines(string(web.Links(e.BasePath, page.Bytes()))) {
		out.WriteString("data: " + strings.TrimRight(line, "\r\n") + "\n")
	}
	return out.String() + "\n"
}

package query

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coder/websocket"
)

// maxTailMessage limits one message of Loki's tail, in bytes.
const maxTailMessage = 16 << 20

// Tail is a connection on which Loki sends log lines as they are stored.
type Tail struct {
	conn *websocket.Conn
	api  api
}

// Follow begins to follow the lines of a log query: those since q.Start that are stored
// already, the newest q.Limit of them, and all that are stored from now on. End and Step
// are not used. The caller must call Close.
func (l *Loki) Follow(ctx context.Context, q LogQuery) (*Tail, error) {
	u := *l.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/loki/api/v1/tail"
	u.RawQuery = url.Values{
		"query": {q.LogQL},
		"limit": {strconv.Itoa(q.Limit)},
		"start": {strconv.FormatInt(q.Start.UnixNano(), 10)},
	}.Encode()
	header := categorized()
	for k, v := range l.header {
		header[http.CanonicalHeaderKey(k)] = v
	}
	fail := &Error{Server: l.name, URL: u.Redacted()}
	conn, resp, err := websocket.Dial(
		ctx,
		u.String(),
		&websocket.DialOptions{HTTPClient: l.client, HTTPHeader: header},
	)
	if err != nil {
		fail.Message, fail.Err = err.Error(), err
		if resp != nil {
			fail.Status = resp.StatusCode
			if body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)); readErr == nil {
				fail.Message = errorText(body)
			}
		}
		fail.Hint = hint(l.api, fail.Status)
		return nil, fail
	}
	conn.SetReadLimit(maxTailMessage)
	return &Tail{conn, l.api}, nil
}

// Next waits for the next lines, the newest first. dropped is the number of lines that
// the server left out because they came faster than they were read.
func (t *Tail) Next(ctx context.Context) (lines []LogLine, dropped int, err error) {
	_, text, err := t.conn.Read(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("following log lines of %s: %w", t.api.URL(), err)
	}
	var w struct {
		Streams []struct {
			Stream map[string]string `json:"stream"`
			Values []wireEntry       `json:"values"`
		} `json:"streams"`
		Dropped []json.RawMessage `json:"dropped_entries"`
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, 0, fmt.Errorf("decoding the log lines that %s sent: %w", t.api.URL(), err)
	}
	for _, s := range w.Streams {
		for _, entry := range s.Values {
			entry.line.Labels = s.Stream
			lines = append(lines, entry.line)
		}
	}
	newestFirst(lines)
	return lines, len(w.Dropped), nil
}

// Close ends the connection.
func (t *Tail) Close() { _ = t.conn.CloseNow() } // the server is gone, or learns it

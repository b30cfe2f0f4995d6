package loki_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"dicelab/internal/embedded/loki"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/tail"
)

// following serves the API over a new store, and returns a function that stores lines as
// the stack does.
func following(t *testing.T) (base string, hub *tail.Hub, write func(text string, labels map[string]string)) {
	t.Helper()
	_, s := serve(t, rolls()...)
	hub = tail.New()
	server := httptest.NewServer(loki.NewHandler(s.Store, loki.Options{Now: now, Tails: hub}))
	t.Cleanup(func() {
		hub.Close()
		server.Close()
	})
	return server.URL, hub, func(text string, labels map[string]string) {
		t.Helper()
		lines := []store.Line{{Time: now(), Stream: labels, Text: text}}
		if err := s.AppendLines(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
		hub.Publish(lines)
	}
}

// received reads a message of a websocket.
func received(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	_, text, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTail(t *testing.T) {
	base, hub, write := following(t)
	c, _, err := websocket.Dial(t.Context(), base+"/loki/api/v1/tail?query="+`{service_name="dice-roller"}%20!=%20"noise"%20|%20line_format%20"<{{__line__}}>"&limit=1`, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	// The newest line since an hour before comes first.
	if got, want := received(t, c), `{"streams":[{"stream":{"container_name":"dice-roller-stage2","job":"dice-roller","service_name":"dice-roller"},"values":[["1772366399000000000","\u003cpanic: `; !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s…", got, want)
	}
	service := map[string]string{"service_name": "dice-roller"}
	write("noise", service)
	write("elsewhere", map[string]string{"service_name": "other"})
	write("first", service)
	write("second", service)
	for _, text := range []string{"<first>", "<second>"} {
		var got struct {
			Streams []struct {
				Stream map[string]string
				Values [][]string
			}
		}
		if err := json.Unmarshal([]byte(received(t, c)), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Streams) != 1 || got.Streams[0].Stream["service_name"] != "dice-roller" || got.Streams[0].Values[0][1] != text {
			t.Errorf("got %+v, want %s", got, text)
		}
	}
	hub.Close()
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("when the stack ends: %v", err)
	}
}

func TestTailRefuses(t *testing.T) {
	base, _, _ := following(t)
	for query, want := range map[string]string{
		`rate({a="b"}[1m])`:   "tail follows log lines",
		`{a="b"}&delay_for=6`: "delay_for",
		`{a="b"}&limit=9999`:  "max entries limit",
		`{`:                   "parse error",
	} {
		_, resp, err := websocket.Dial(t.Context(), base+"/loki/api/v1/tail?query="+query, nil)
		if err == nil {
			t.Fatalf("%s: it was accepted", query)
		}
		text := make([]byte, 200)
		n, _ := resp.Body.Read(text) // as much as there is
		if resp.StatusCode != 400 || !strings.Contains(string(text[:n]), want) {
			t.Errorf("%s: status %d, %s, want %s", query, resp.StatusCode, text[:n], want)
		}
	}
	for i := range tail.MaxTails + 1 {
		c, resp, err := websocket.Dial(t.Context(), base+`/loki/api/v1/tail?query={a="b"}`, nil)
		if i < tail.MaxTails {
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
		} else if err == nil || resp.StatusCode != 429 {
			t.Errorf("one client too many: %v", err)
		}
	}
}

// A client that does not read loses lines, which are counted, and nobody waits for it.
func TestTailDrops(t *testing.T) {
	hub := tail.New()
	follower, err := hub.Follow(func(map[string]string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	line := store.Line{Time: time.Unix(0, 1), Text: strings.Repeat("x", 256<<10)}
	for range 20 {
		hub.Publish([]store.Line{line})
	}
	read := 0
	for range 15 {
		if _, err := follower.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		read++
	}
	hub.Publish([]store.Line{line})
	b, err := follower.Next(t.Context())
	if err != nil || read+b.Dropped != 20 || b.Dropped != 5 {
		t.Errorf("%d read, %d dropped, %v", read, b.Dropped, err)
	}
	follower.Leave()
}

package embedded_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dicelab/internal/contract"
)

// On a full disk senders are asked to try again, queries are answered, and writing
// goes on when there is room. RLIMIT_FSIZE stands in for a full disk: with it the
// kernel refuses to let files grow. It needs no root, unlike mounting a small file
// system, and a writer gets the same kind of error. (The tests of the store cover what
// it does before a device is full.)
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	client := newClient(t)
	now := time.Now()
	c := startChild(t, dir)
	var acks []acknowledged
	sent := 0
	random, n := rand.NewChaCha8([32]byte{}), make([]byte, 10_000)
	if _, err := random.Read(n); err != nil {
		t.Fatal(err)
	}
	padding := "x" + hex.EncodeToString(n)
	send := func(round int) (a acknowledged, got answer) { // in turns a span and a line
		t.Helper()
		a = acknowledged{round: round, n: sent, line: sent%2 == 1}
		sent++
		// A record has padding that cannot be compressed much, the same in each, so that
		// the index stays small: the journal is full first.
		var err error
		if a.line {
			got, err = c.push(t.Context(), client, "s", a.text()+padding, now)
		} else {
			got, err = c.export(t.Context(), client, exportOf(idOf(a.round, a.sender, a.n), now, text("n", a.text()), text("padding", padding)))
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.status < 300 {
			acks = append(acks, a)
		}
		return a, got
	}
	for range 10 {
		if _, got := send(0); got.status >= 300 {
			t.Fatalf("with room: status %d: %s", got.status, got.body)
		}
	}

	c.ask("limit 1000000")
	const explained = "the disk is full, or a quota is used up: make room in the data directory, and writing goes on by itself"
	for refused := 0; refused < 4; { // in a row: what is smaller fits for longer
		a, got := send(1)
		if got.status < 300 {
			refused = 0
			if len(acks) > 200 {
				t.Fatalf("%d times 10 kB fit into a megabyte", len(acks))
			}
			continue
		}
		refused++
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, explained) {
			t.Errorf("line %v: status %d, Retry-After %q: %s", a.line, got.status, got.header.Get("Retry-After"), got.body)
		}
	}
	_, err := dial(t, c.GRPC).Export(t.Context(), exportOf(idOf(2, 9, 9), now, text("padding", padding)))
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || !strings.Contains(st.Message(), explained) || len(st.Details()) != 1 {
		t.Fatalf("over gRPC: %v with details %v", err, st.Details())
	}
	if info, ok := st.Details()[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().GetSeconds() != 1 {
		t.Errorf("over gRPC: details %v, want a retry after 1 s", st.Details())
	}
	c.expect(acks)

	c.ask("limit 0")
	for range 10 {
		if _, got := send(3); got.status >= 300 {
			t.Fatalf("with room again: status %d: %s", got.status, got.body)
		}
	}
	c.expect(acks)
	c.stop()
	c = startChild(t, dir)
	c.expect(acks)
	c.stop()
}

// expect checks, through the APIs, that everything is there that was acknowledged.
func (c *child) expect(acks []acknowledged) {
	c.t.Helper()
	query := url.Values{"query": {fmt.Sprintf("{%s=%q}", contract.StreamService, "s")}, "limit": {"5000"}}
	lines := get(c.t, c.Loki+"/loki/api/v1/query_range?"+query.Encode())
	if lines.status != http.StatusOK {
		c.t.Errorf("lines: status %d: %s", lines.status, lines.body)
	}
	if got := get(c.t, c.Tempo+"/api/search"); got.status != http.StatusOK {
		c.t.Errorf("search: status %d: %s", got.status, got.body)
	}
	for _, a := range acks {
		if a.line {
			if !strings.Contains(lines.body, `"`+a.text()+`"`) && !strings.Contains(lines.body, `"`+a.text()+"x") {
				c.t.Errorf("line %s was acknowledged and is missing", a.text())
			}
			continue
		}
		got := get(c.t, fmt.Sprintf("%s/api/traces/%x", c.Tempo, idOf(a.round, a.sender, a.n)))
		if got.status != http.StatusOK || !strings.Contains(got.body, `"stringValue":"`+a.text()+`"`) && !strings.Contains(got.body, `"stringValue": "`+a.text()+`"`) {
			c.t.Errorf("span %s was acknowledged: status %d: %.200s", a.text(), got.status, got.body)
		}
	}
}

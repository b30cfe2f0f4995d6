package loki_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/loki"
	"dicelab/internal/embedded/store"
)

// reading is a store that finds lines by stream and time alone, and counts none.
type reading struct{ loki.Store }

func (s reading) Lines(ctx context.Context, q store.LineQuery, yield func(store.Line) bool) error {
	q.Where = nil
	return s.Store.Lines(ctx, q, yield)
}

func (reading) CountLines(context.Context, store.LineCount, func(stream, metadata map[string]string, times []int64, sizes []int) error) ([]store.Period, bool, error) {
	return nil, false, nil
}

// counting counts the periods in which the store did not count lines.
type counting struct {
	loki.Store
	counted, read int // queries that had all lines counted, and others
}

func (s *counting) CountLines(ctx context.Context, q store.LineCount, yield func(stream, metadata map[string]string, times []int64, sizes []int) error) ([]store.Period, bool, error) {
	not, ok, err := s.Store.CountLines(ctx, q, yield)
	if ok && len(not) == 0 {
		s.counted++
	} else {
		s.read++
	}
	return not, ok, err
}

// randomLines have texts, metadata and times that are alike. Those of seldom things have
// two lines of one time and text, or metadata that the index does not have.
func randomLines(r *rand.Rand, n int, seldom bool) []store.Line {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	lines := make([]store.Line, 0, n)
	for range n {
		l := store.Line{
			Time:     now().Add(-time.Duration(r.IntN(3_000)) * time.Second),
			Stream:   map[string]string{"service_name": one("a", "b", "c"), "level": one("info", "warn")},
			Metadata: map[string]string{},
		}
		if r.IntN(3) > 0 {
			l.Time = l.Time.Add(time.Duration(r.IntN(1e9))) // else on a whole second
		}
		for range r.IntN(6) {
			l.Text += one("error", "err", "foo", "föö", " ", "-", "\n", "12", "3.50", "=", "Foo bar", "\xff", "", "_x", "日本")
		}
		if !seldom {
			l.Text += fmt.Sprint("#", len(lines))
		}
		for range r.IntN(3) {
			l.Metadata[one("user", "zone", "level", "code")] = one("1", "02", "x y", "info", "a|b", "\xff", strings.Repeat("long", 3))
		}
		if seldom && r.IntN(300) == 0 {
			l.Metadata[one("user", "zone")] = ""
		}
		if seldom && r.IntN(100) == 0 && len(lines) > 0 {
			l = lines[r.IntN(len(lines))]
		}
		lines = append(lines, l)
	}
	return lines
}

// The index finds and counts the same lines as reading every line.
func TestPushedDown(t *testing.T) {
	for _, seldom := range []bool{false, true} {
		t.Run(fmt.Sprintf("seldom=%v", seldom), func(t *testing.T) {
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 0))
			t.Logf("seed %d", seed)
			base, s := serve(t)
			for range 20 { // pushes; each is a record
				if err := s.AppendLines(t.Context(), randomLines(r, 100, seldom)); err != nil {
					t.Fatal(err)
				}
			}
			pushed := &counting{Store: s.Store}
			s.Store = pushed
			plain := httptest.NewServer(loki.NewHandler(reading{pushed.Store}, loki.Options{Now: now}))
			defer plain.Close()
			for range 150 {
				query, params := randomQuery(r)
				got, want := result(t, base, params), result(t, plain.URL, params)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s\n%v\n(-read +pushed down)\n%.2000s", query, params, diff)
				}
			}
			if pushed.counted == 0 || seldom && pushed.read == 0 {
				t.Errorf("all lines were counted by the index in %d queries, and not in %d", pushed.counted, pushed.read)
			}
		})
	}
}

func randomQuery(r *rand.Rand) (string, url.Values) {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	text := func() string {
		return one(`error`, `err`, `o`, `foo`, `föö`, `ö`, `r f`, `#1`, `12`, `2`, `3.50`, `.5`, `=`, `-`, "\n", `oo b`, `本`, `_`, `nothing`, ` `, ``)
	}
	query := one(`{service_name="a"}`, `{service_name=~".+"}`, `{service_name=~"a|b", level!="info"}`, `{level="warn"}`)
	for range r.IntN(3) {
		switch r.IntN(10) {
		case 0, 1, 2:
			query += fmt.Sprintf(" %s %q", one("|=", "!="), text())
		case 3:
			query += fmt.Sprintf(" %s %q or %q", one("|=", "!=", "|~", "!~"), text(), text())
		case 4:
			query += fmt.Sprintf(" %s %q", one("|~", "!~"), one(`err|foo`, `(?i)FOO`, `^#`, `o+.b`, `1.*#`, `\bfoo\b`, `r.*f`, `.+`, `\d{2}`, `x$`, `foo.*`, `(föö|foo) ?`, `(?s)e.*f.+`))
		case 5, 6:
			query += fmt.Sprintf(" | %s%s%q", one("user", "zone", "code", "level", "level_extracted", "none"), one("=", "!="), one("1", "02", "2", "x y", "info", "a|b", ""))
		case 7:
			query += fmt.Sprintf(" | %s%s%q", one("user", "zone", "code", "level"), one("=~", "!~"), one("1|02", ".*", ".+", "", "x.*", "(?i)INFO"))
		case 8:
			query += fmt.Sprintf(` | user="1" %s zone!=%q`, one("and", "or", ","), one("02", "info"))
		case 9:
			query += one(" | json", " | user > 1", " | drop __error__", " | decolorize", " |= ``")
		}
	}
	params := url.Values{"limit": {"5000"}, "start": {fmt.Sprint(now().Add(-time.Duration(r.IntN(3_600)) * time.Second).UnixNano())},
		"end": {fmt.Sprint(now().Add(-time.Duration(r.IntN(3_600_000)) * time.Millisecond).UnixNano())}, "direction": {one("forward", "backward")}}
	if start, end := params.Get("start"), params.Get("end"); start > end {
		params.Set("start", end)
		params.Set("end", start)
	}
	if r.IntN(3) > 0 {
		query = fmt.Sprintf("%s(%s [%s])", one("count_over_time", "rate", "bytes_over_time", "bytes_rate"), query, one("7s", "1m", "90s", "10m"))
		if r.IntN(3) > 0 {
			query = one("sum ", "max ", "avg ") + one("", "by (level)", "without (level, user)", "by (user)", "by (service_name, zone)", "by (level, level_extracted)", "by (none)") + "(" + query + ")"
		}
		params.Set("step", one("7", "60", "60", "13", "300"))
	}
	params.Set("query", query)
	return query, params
}

// result is the result of a query, or its error.
func result(t *testing.T, base string, params url.Values) string {
	t.Helper()
	status, _, body := get(t, base, "/loki/api/v1/query_range", params)
	if status != http.StatusOK {
		return body
	}
	var answer struct {
		Data struct{ Result json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(answer.Data.Result), "]],", "]],\n")
}

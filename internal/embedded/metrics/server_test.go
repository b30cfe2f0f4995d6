package metrics_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/metrics"
)

// TestFirstAndLastScrape has an interval that does not pass: all samples were scraped at
// once, or by StopScraping.
func TestFirstAndLastScrape(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	roller.roll()
	l := start(t, metrics.Options{Interval: time.Hour, Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}})
	l.wait("dice_rolls_total", "1")
	roller.roll()
	l.server.StopScraping()
	if got := l.query("dice_rolls_total"); len(got) != 1 || got[0].Value[1] != "2" {
		t.Errorf("after the last scrape: %v, want 2", got)
	}
	l.server.StopScraping() // again: nothing
}

// TestLastScrapeOfRun ends Run without StopScraping.
func TestLastScrapeOfRun(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	roller.roll()
	l := start(t, metrics.Options{Interval: time.Hour, Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}})
	l.wait("dice_rolls_total", "1")
	roller.roll()
	l.stop()
	if got := l.query("dice_rolls_total"); len(got) != 1 || got[0].Value[1] != "2" {
		t.Errorf("after Run: %v, want 2", got)
	}
}

// TestRestart finds samples and exemplars of the last run, although the end of
// the log was torn as by a crash.
func TestRestart(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	roller := newService(t)
	roller.roll()
	o := metrics.Options{Dir: dir, Interval: time.Hour, Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}}
	first := start(t, o)
	first.wait("dice_rolls_total", "1")
	first.stop()
	if err := first.server.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "prometheus", "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no log in %s: %v", dir, err)
	}
	f, err := os.OpenFile(segments[len(segments)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("torn"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	l := &lab{t: t, server: open(t, metrics.Options{Dir: dir})}
	l.web = httptest.NewServer(l.server.Handler())
	defer l.web.Close()
	if got := l.query("last_over_time(dice_rolls_total[1h])"); len(got) != 1 || got[0].Value[1] != "1" {
		t.Errorf("samples: %v, want 1", got)
	}
	var exemplars []struct {
		Exemplars []struct {
			Labels map[string]string `json:"labels"`
		} `json:"exemplars"`
	}
	l.get("/api/v1/query_exemplars", url.Values{"query": {"dice_rolls_total"},
		"start": {stamp(time.Now().Add(-time.Hour))}, "end": {stamp(time.Now())}}, &exemplars)
	if len(exemplars) != 1 || exemplars[0].Exemplars[0].Labels[contract.FieldTraceID] != traceID {
		t.Errorf("exemplars: %+v, want that of %s", exemplars, traceID)
	}
}

func TestReadiness(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	targets := []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}
	if res := ask(open(t, metrics.Options{Targets: targets}), http.MethodGet, "/-/ready"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before Run: %d, want 503", res.StatusCode)
	}
	l := start(t, metrics.Options{Targets: targets})
	var res *http.Response
	until(t, func() bool {
		res = ask(l.server, http.MethodGet, "/-/ready")
		return res.StatusCode == http.StatusOK
	}, func() any { return res.Status })
	if got := body(t, res); got != "Prometheus Server is Ready.\n" {
		t.Errorf("ready says %q", got)
	}
	l.server.StopScraping()
	if res := ask(l.server, http.MethodGet, "/-/ready"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after the last scrape: %d, want 503", res.StatusCode)
	}
	l.stop()
	for range 2 {
		if err := l.server.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if res := ask(l.server, http.MethodGet, "/api/v1/query?query=up"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("query after Close: %d, want 503", res.StatusCode)
	}
	if res := ask(l.server, http.MethodGet, "/-/healthy"); res.StatusCode != http.StatusOK || body(t, res) != "Prometheus Server is Healthy.\n" {
		t.Errorf("healthy after Close: %d", res.StatusCode)
	}
}

func TestRunOnce(t *testing.T) {
	noLeaks(t)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	s := open(t, metrics.Options{})
	if err := s.Run(done); err != nil {
		t.Fatalf("first: %v", err)
	}
	stopped := open(t, metrics.Options{})
	stopped.StopScraping()
	for name, s := range map[string]*metrics.Server{"again": s, "stopped": stopped} {
		if err := s.Run(done); err == nil || !strings.Contains(err.Error(), "make a new server") {
			t.Errorf("%s: got %v, want an error that says what to do", name, err)
		}
	}
}

// TestSampleLimit checks that a target with too many series is not stored.
func TestSampleLimit(t *testing.T) {
	noLeaks(t)
	large := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for i := range 10_001 {
			fmt.Fprintf(w, "x{i=\"%d\"} 1\n", i)
		}
	}))
	defer large.Close()
	l := start(t, metrics.Options{Interval: time.Hour, Targets: []metrics.Target{{Job: "large", Address: strings.TrimPrefix(large.URL, "http://")}}})
	l.wait("up", "0")
	if got := l.query("count(x)"); len(got) != 0 {
		t.Errorf("%v series, want none", got[0].Value[1])
	}
	var data struct {
		Active []struct {
			LastError string `json:"lastError"`
		} `json:"activeTargets"`
	}
	l.get("/api/v1/targets", nil, &data)
	if len(data.Active) != 1 || data.Active[0].LastError != "sample limit exceeded" {
		t.Errorf("targets: %+v, want the reason", data)
	}
}

func TestBadOptions(t *testing.T) {
	noLeaks(t)
	one := []metrics.Target{{Job: "a", Address: "127.0.0.1:1"}}
	for _, tt := range []struct {
		name    string
		options metrics.Options
		want    string
	}{
		{name: "interval below a millisecond", options: metrics.Options{Interval: time.Microsecond}, want: "whole number of milliseconds"},
		{name: "negative interval", options: metrics.Options{Interval: -time.Second}, want: "whole number of milliseconds"},
		{name: "no job", options: metrics.Options{Targets: []metrics.Target{{Address: "127.0.0.1:1"}}}, want: "its job is empty"},
		{name: "no port", options: metrics.Options{Targets: []metrics.Target{{Job: "a", Address: "localhost"}}}, want: `"localhost" is not of the form host:port`},
		{name: "a URL", options: metrics.Options{Targets: []metrics.Target{{Job: "a", Address: "http://localhost:1/"}}}, want: "is not of the form host:port"},
		{name: "the same twice", options: metrics.Options{Targets: append(one, one...)}, want: "127.0.0.1:1 is there already"},
		{name: "negative retention", options: metrics.Options{Retention: -time.Hour}, want: "both must be positive"},
		{name: "negative size", options: metrics.Options{RetentionBytes: -1}, want: "both must be positive"},
		{name: "explorer without a scheme", options: metrics.Options{Explorer: "localhost:8100"}, want: "http://host:port"},
		{name: "explorer that is no URL", options: metrics.Options{Explorer: "http://%"}, want: "reading the explorer's URL"},
		{name: "rules that are not YAML", options: metrics.Options{Rules: []byte("groups: [")}, want: "reading the rules"},
		{name: "rules with a bad expression", options: metrics.Options{Rules: []byte("groups: [{name: g, rules: [{record: a, expr: 'sum('}]}]")}, want: "could not parse expression"},
		{name: "rules with an unknown field", options: metrics.Options{Rules: []byte("groupz: []")}, want: "groupz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Dir = filepath.Join(t.TempDir(), "data")
			_, err := metrics.New(tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(tt.options.Dir); !os.IsNotExist(err) {
				t.Errorf("the data directory was touched: %v", err)
			}
		})
	}
	if _, err := metrics.New(metrics.Options{}); err == nil || !strings.Contains(err.Error(), "set Options.Dir") {
		t.Errorf("no directory: %v", err)
	}
}

// TestBadDirectory does not check for leaks: the library leaves a goroutine of the log
// behind when it cannot open a block. The process ends then.
func TestBadDirectory(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		want    string
	}{
		{name: "in use", want: "another process uses it", prepare: func(t *testing.T, dir string) {
			open(t, metrics.Options{Dir: dir})
		}},
		{name: "a file", want: "choose a data directory that this user can read and write", prepare: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "prometheus"), "")
		}},
		{name: "of a newer version", want: "was written by a newer version: move it away", prepare: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "prometheus", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "meta.json"), `{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":99}`)
		}},
		{name: "with a torn description", want: "it is damaged", prepare: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "prometheus", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "meta.json"), `{"ulid":"01AR`)
		}},
		{name: "damaged", want: "it is damaged", prepare: func(t *testing.T, dir string) {
			block := filepath.Join(dir, "prometheus", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
			write(t, filepath.Join(block, "meta.json"), `{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":1,"minTime":0,"maxTime":7200000,"compaction":{"level":1,"sources":["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}}`)
			write(t, filepath.Join(block, "index"), "no index")
			write(t, filepath.Join(block, "chunks", "000001"), "no chunks")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.prepare(t, dir)
			_, err := metrics.New(metrics.Options{Dir: dir})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), filepath.Join(dir, "prometheus")) {
				t.Errorf("got %v, want %q and the directory", err, tt.want)
			}
		})
	}
}

// write writes a file and creates the directories above it.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

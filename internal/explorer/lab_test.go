package explorer_test

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"

	"dicelab/internal/contract"
	"dicelab/internal/embedded"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/metrics"
)

// now returns the last noon, UTC, before the tests began: pages show fixed times of day,
// and the stores keep what happened in the hour before.
var now = sync.OnceValue(func() time.Time {
	const day = 24 * time.Hour
	return time.Now().UTC().Add(-day / 2).Truncate(day).Add(day / 2)
})

// lab is an explorer over an embedded stack with some rolls.
type lab struct {
	handler                 http.Handler
	checks                  *fakeChecks
	prometheus, loki, tempo *proxy
	send                    func(t *testing.T, spans any) // sends OTLP JSON
	push                    func(t *testing.T, lines any) // pushes log lines
}

// start starts a lab at a moment: now, or one at which nothing had happened yet.
func start(t *testing.T, at ...time.Time) lab {
	t.Helper()
	dir, rolls := t.TempDir(), rolls(now())
	writeMetrics(t, filepath.Join(dir, metrics.DirName), rolls)
	s := embeddedtest.Start(t, embedded.Options{Dir: dir, Version: "3.16.0"})
	send := func(url string, body any) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(url, "application/json", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("%s answers %s, %v", url, resp.Status, err)
		}
	}
	l := lab{checks: newFakeChecks(), loki: newProxy(t, s.Loki, nil), tempo: newProxy(t, s.Tempo, nil)}
	l.send = func(t *testing.T, spans any) { t.Helper(); send(s.OTLP+"/v1/traces", spans) }
	l.push = func(t *testing.T, lines any) { t.Helper(); send(s.Loki+"/loki/api/v1/push", lines) }
	for _, r := range rolls {
		l.send(t, r.trace())
	}
	send(s.Loki+"/loki/api/v1/push", push(rolls))
	moment := append(at, now())[0]
	l.prometheus = newProxy(t, s.Prometheus, scraped(moment.Before(now())))
	l.handler = handlerOf(t, l.checks, moment, l.prometheus.URL, l.loki.URL, l.tempo.URL)
	return l
}

// before is a moment at which the lab had no data.
func before() time.Time { return now().Add(-20 * time.Hour) }

// unreachable is the address of a server that does not run: no program listens at
// tcpmux.
const unreachable = "http://127.0.0.1:1"

// alone returns an explorer without servers.
func alone(t *testing.T) lab {
	t.Helper()
	checks := newFakeChecks()
	return lab{checks: checks, handler: handlerOf(t, checks, now(), unreachable, unreachable, unreachable)}
}

// proxy passes requests on to a server and records them.
type proxy struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*url.URL
}

// newProxy starts a proxy. It answers the requests for paths of instead itself.
func newProxy(t *testing.T, to string, instead map[string]string) *proxy {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	p := &proxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.URL)
		p.mu.Unlock()
		if body, ok := instead[r.URL.Path]; ok {
			fmt.Fprint(w, body)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// asked returns the parameter of all requests so far whose path ends in suffix, in
// their order.
func (p *proxy) asked(suffix, param string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, u := range p.requests {
		if strings.HasSuffix(u.Path, suffix) {
			out = append(out, u.Query().Get(param))
		}
	}
	return out
}

// push returns the log lines of rolls as Loki's clients send them.
func push(rolls []roll) any {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][3]any          `json:"values"`
	}
	var streams []stream
	for _, r := range rolls {
		for _, l := range r.lines() {
			streams = append(streams, stream{
				Stream: map[string]string{contract.StreamContainer: contract.ContainerName(l.service), contract.StreamService: l.service,
					contract.StreamJob: l.service, contract.StreamLevel: l.level},
				Values: [][3]any{{strconv.FormatInt(l.at.UnixNano(), 10), l.record,
					map[string]string{contract.FieldTraceID: l.traceID, contract.FieldSpanID: l.spanID}}},
			})
		}
	}
	return map[string]any{"streams": streams}
}

//go:embed testdata/metrics.txt
var counters []byte

// writeMetrics writes the counters of testdata/metrics.txt, which have grown evenly for
// 55 minutes, into a TSDB, and an exemplar for each roll.
func writeMetrics(t *testing.T, dir string, rolls []roll) {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.EnableExemplarStorage, o.MaxExemplars = true, 1000
	db, err := tsdb.Open(dir, nil, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	const long, step = 55 * time.Minute, 15 * time.Second
	to := db.Appender(t.Context())
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for lines := bufio.NewScanner(bytes.NewReader(counters)); lines.Scan(); {
		text, number, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			continue
		}
		series, err := parser.NewParser(parser.Options{}).ParseMetric(text)
		check(err)
		last, err := strconv.ParseFloat(number, 64)
		check(err)
		for since := time.Duration(0); since <= long; since += step {
			_, err := to.Append(0, series, now().Add(since-long).UnixMilli(), last*float64(since)/float64(long))
			check(err)
		}
	}
	for i := len(rolls) - 1; i >= 0; i-- {
		for _, job := range contract.Services() {
			series := labels.FromStrings("__name__", contract.MetricHTTPDuration+"_bucket", contract.LabelHandler, "/roll", "job", job, "le", "+Inf")
			_, err := to.AppendExemplar(0, series, exemplar.Exemplar{Labels: labels.FromStrings(contract.FieldTraceID, rolls[i].id),
				Value: rolls[i].total().Seconds(), Ts: rolls[i].at.UnixMilli(), HasTs: true})
			check(err)
		}
	}
	check(to.Commit())
	check(db.Close())
}

// scraped returns what Prometheus answers about targets and alerts. Both have states
// of this moment, so they cannot be stored before.
func scraped(nothing bool) map[string]string {
	targets, groups := "", ""
	if !nothing {
		target := func(job, addr, health, failure string) string {
			return fmt.Sprintf(`{"labels":{"job":%q,"instance":%q},"scrapePool":%q,"scrapeUrl":"http://%[2]s/metrics","lastError":%[4]q,"lastScrape":%[5]q,`+
				`"lastScrapeDuration":0.0042,"health":%[6]q,"scrapeInterval":"2s","scrapeTimeout":"2s"}`,
				job, addr, job, failure, now().Add(-1200*time.Millisecond).Format(time.RFC3339Nano), health)
		}
		targets = target(contract.ServiceFrontend, "localhost:8102", "up", "") + "," + target(contract.ServiceRoller, "localhost:8101", "down",
			`Get "http://localhost:8101/metrics": dial tcp 127.0.0.1:8101: connect: connection refused`)
		groups = `{"name":"dicelab","rules":[{"type":"alerting","name":"RollErrorRatioHigh","state":"inactive","alerts":[]},` +
			`{"type":"alerting","name":"TargetDown","state":"firing","alerts":[{"labels":{"alertname":"TargetDown","job":"dice-roller"},"state":"firing",` +
			`"activeAt":"` + now().Add(-90*time.Second).Format(time.RFC3339Nano) + `","value":"0e+00",` +
			`"annotations":{"summary":"dice-roller at localhost:8101 does not answer"}}]}]}`
	}
	return map[string]string{
		"/api/v1/targets": `{"status":"success","data":{"activeTargets":[` + targets + `],"droppedTargets":[]}}`,
		"/api/v1/rules":   `{"status":"success","data":{"groups":[` + groups + `]}}`,
	}
}

package verify

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/verify/compare"
	"dicelab/internal/verify/exchange"
	"dicelab/internal/verify/frontpage"
	"dicelab/stack"
)

// record is a healthy lab whose answers to all checks replace the recorded ones:
//
//	dicelab up --error-rate 0.5
//	go test ./internal/verify -run TestEveryCheckPasses -record \
//	  http://localhost:8102,http://localhost:8101,http://localhost:9090,http://localhost:3100,http://localhost:3200
var record = flag.String("record", "", "`URLs` of a lab (front end, dice roller, Prometheus, Loki, Tempo) to record")

const recordedFile = "testdata/healthy.json.gz"

// The servers in the recording. The lab that was recorded has no Alloy and no Grafana.
var hosts = []string{"http://frontend.test", "http://roller.test", "http://prometheus.test", "http://loki.test",
	"http://tempo.test", "http://alloy.test", "http://grafana.test"}

// recording has all answers of a lab to a run of all checks.
type recording struct {
	Rolls         []*frontpage.Roll
	Before, After map[string]compare.Samples
	Answers       map[string]recordedAnswer // by the request; see keyOf
}

type recordedAnswer struct {
	Status int
	Type   string
	Body   string
}

// keyOf names a request by what it asks for, without times and limits.
func keyOf(req *http.Request, hosts map[string]string) string {
	q := req.URL.Query()
	for _, name := range []string{"start", "end", "time", "step", "limit", "direction"} {
		q.Del(name)
	}
	asked, err := url.QueryUnescape(q.Encode())
	if err != nil {
		asked = q.Encode()
	}
	return strings.TrimSuffix(fmt.Sprintf("%s %s%s?%s", req.Method, hosts[req.URL.Host], req.URL.Path, asked), "?")
}

// recorder records the last answer to each request.
type recorder struct {
	hosts map[string]string
	mu    sync.Mutex
	to    *recording
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Method == http.MethodGet {
		r.to.Answers[keyOf(req, r.hosts)] = recordedAnswer{resp.StatusCode, resp.Header.Get("Content-Type"), string(body)}
	}
	return resp, nil
}

// recordLab runs all checks against a lab and writes what they saw.
func recordLab(t *testing.T, urls []string) {
	t.Helper()
	if len(urls) != 5 {
		t.Fatalf("-record has %d URLs, want 5", len(urls))
	}
	rec := &recorder{hosts: map[string]string{}, to: &recording{Answers: map[string]recordedAnswer{}}}
	for i, u := range urls {
		rec.hosts[strings.TrimPrefix(u, "http://")] = strings.TrimPrefix(hosts[i], "http://")
	}
	v, err := New(Options{Frontend: urls[0], Roller: urls[1], Prometheus: urls[2], Loki: urls[3], Tempo: urls[4],
		Mode: checklist.Embedded, Stack: stack.Configs, Transport: rec})
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(v)
	r.mode = checklist.Embedded
	r.rolls = startRolls(t.Context(), r)
	r.rolls.keepRolling(t.Context(), r)
	r.deadline = time.Now().Add(time.Minute)
	for _, c := range v.all { // in an order in which each finds its data
		p := &Probe{run: r, deadline: r.deadline}
		if evidence, err := c.Run(t.Context(), p); err != nil {
			t.Logf("%s: %v", c.Name, err)
		} else {
			t.Logf("%s: %s", c.Name, evidence)
		}
	}
	r.rolls.stop()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	rec.to.Rolls, rec.to.Before, rec.to.After = r.rolls.all, r.rolls.before, r.rolls.after
	for _, one := range rec.to.Rolls {
		one.Asked = nil
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if err := json.NewEncoder(zip).Encode(rec.to); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordedFile, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// recorded reads the recording of a healthy lab.
func recorded(t *testing.T) *recording {
	t.Helper()
	file, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var rec recording
	if err := json.NewDecoder(zip).Decode(&rec); err != nil {
		t.Fatal(err)
	}
	return &rec
}

// RoundTrip answers as the lab did. What it was not asked for is not there.
func (r *recording) RoundTrip(req *http.Request) (*http.Response, error) {
	names := map[string]string{}
	for _, h := range hosts {
		host := strings.TrimPrefix(h, "http://")
		names[host] = host
	}
	a, ok := r.Answers[keyOf(req, names)]
	if !ok {
		a = recordedAnswer{http.StatusNotFound, "text/plain", "not recorded: " + keyOf(req, names)}
	}
	if a.Status == 0 {
		return nil, fmt.Errorf("connect: connection refused")
	}
	return &http.Response{StatusCode: a.Status, Header: http.Header{"Content-Type": {a.Type}},
		Body: io.NopCloser(strings.NewReader(a.Body)), Request: req}, nil
}

// edit replaces a text in the answers to the requests whose key contains a text.
func (r *recording) edit(t *testing.T, key, old, replacement string) {
	t.Helper()
	edited := false
	for _, k := range slices.Sorted(maps.Keys(r.Answers)) {
		a := r.Answers[k]
		if strings.Contains(k, key) && strings.Contains(a.Body, old) {
			a.Body, edited = strings.ReplaceAll(a.Body, old, replacement), true
			r.Answers[k] = a
		}
	}
	if !edited {
		t.Fatalf("no answer to %q has %q", key, old)
	}
}

// answer replaces the answers to the requests whose key contains a text.
func (r *recording) answer(t *testing.T, key string, a recordedAnswer) {
	t.Helper()
	edited := false
	for k := range r.Answers {
		if strings.Contains(k, key) {
			r.Answers[k], edited = a, true
		}
	}
	if !edited {
		t.Fatalf("nothing was recorded for %q", key)
	}
}

// check runs one check against the recording, in the time of a synctest bubble.
func (r *recording) check(t *testing.T, name string, change func(*run)) (evidence string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		v, newErr := New(Options{Frontend: hosts[0], Roller: hosts[1], Prometheus: hosts[2], Loki: hosts[3], Tempo: hosts[4],
			Alloy: hosts[5], Mode: checklist.Embedded, Stack: stack.Configs, Transport: r})
		if newErr != nil {
			t.Fatal(newErr)
		}
		run := newRun(v)
		run.mode = checklist.Embedded
		run.rolls = &rolls{began: time.Now().Add(-time.Minute), ended: time.Now().Add(-30 * time.Second),
			before: r.Before, after: r.After, cancel: func() {}}
		s := run.rolls
		for _, one := range r.Rolls {
			one.Asked = []*exchange.Exchange{}
			s.add(one)
		}
		s.fair, s.continued, s.malformed, s.unsampled = s.all[0], s.all[1], s.all[2], s.all[3]
		if change != nil {
			change(run)
		}
		for _, c := range v.all {
			if c.Name == name {
				evidence, err = c.Run(t.Context(), &Probe{run: run, deadline: time.Now().Add(20 * time.Second)})
			}
		}
	})
	return evidence, err
}

// roll returns a roll that checks look at.
func (r *recording) roll(which func(*rolls) (*frontpage.Roll, error)) *frontpage.Roll {
	var s rolls
	for _, one := range r.Rolls {
		s.add(one)
	}
	one, err := which(&s)
	if err != nil {
		panic(err)
	}
	return one
}

// copyAnswer gives the answer to one request to another, which was not recorded.
func (r *recording) copyAnswer(t *testing.T, from, to string) {
	t.Helper()
	for k, a := range r.Answers {
		if strings.HasSuffix(k, from) {
			r.Answers[to] = a
			return
		}
	}
	t.Fatalf("nothing was recorded for %q", from)
}

// b64 is an ID as Tempo's JSON has it.
func b64(t *testing.T, id string) string {
	t.Helper()
	raw, err := hex.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// shift moves the times of a service's spans in all traces.
func (r *recording) shift(t *testing.T, service string, by time.Duration) {
	t.Helper()
	for k, a := range r.Answers {
		if !strings.Contains(k, "/traces/") {
			continue
		}
		parts := strings.Split(a.Body, `{"resource":`)
		for i, part := range parts {
			if strings.Contains(part, `"stringValue":"`+service+`"}},{"key":"service.namespace"`) {
				parts[i] = regexp.MustCompile(`TimeUnixNano":"(\d+)"`).ReplaceAllStringFunc(part, func(s string) string {
					n, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(s, `TimeUnixNano":"`), `"`), 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					return fmt.Sprintf(`TimeUnixNano":"%d"`, n+int64(by))
				})
			}
		}
		a.Body = strings.Join(parts, `{"resource":`)
		r.Answers[k] = a
	}
}

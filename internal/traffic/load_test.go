package traffic_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/traffic"
)

// As many rolls are sent as the rate and the duration say, each is one request
// and one trace, and the report counts them all.
func TestLoadLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		name, rate string
		duration   time.Duration
		rolls      int
		offered    float64
	}{
		{"a constant rate", "500/s", time.Second, 500, 500},
		{"a ramp from nothing", "0..400/s", time.Second, 200, 200},
		{"a ramp down", "300..100/s", time.Second, 200, 200},
		{"less than one a second", "30/m", 3 * time.Second / 2, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil)
			b := start(t, traffic.Frontend, s, nil)
			if tt.rolls == 0 {
				err := b.Load(t.Context(), traffic.Load{Rate: traffic.Rate{From: 0.5, To: 0.5}, Duration: tt.duration})
				if want := "rate 0.5/s for 1.5s: not one roll would be sent; want more of either"; err == nil || err.Error() != want {
					t.Errorf("error %v, want %s", err, want)
				}
				return
			}
			b.load(tt.rate, tt.duration)
			r := b.report()
			spans := b.sink.Wait(2 * tt.rolls)
			got := []int{r.Rolls, r.Outcomes["200"], len(s.requests()), len(spans), len(traceIDs(spans)), r.Failed, len(r.Dropped)}
			want := []int{tt.rolls, tt.rolls, tt.rolls, 2 * tt.rolls, tt.rolls, 0, 0}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rolls, outcomes, requests, spans, traces, failed, dropped (-want +got):\n%s", diff)
			}
			if r.Offered != tt.offered || r.Achieved > tt.offered || time.Duration(r.Sending) < tt.duration {
				t.Errorf("offered %v, achieved %v in %v", r.Offered, r.Achieved, time.Duration(r.Sending))
			}
			sum := 0
			for _, b := range r.Histogram {
				sum += b.Rolls
			}
			if sum != tt.rolls || len(r.Slowest) != 5 || len(r.Failures) != 0 {
				t.Errorf("%d rolls in the histogram, %d slowest, %d failed", sum, len(r.Slowest), len(r.Failures))
			}
		})
	}
}

// Which die a roll of a run is does not depend on the goroutine and the time.
func TestSameSeedSameDice(t *testing.T) {
	s := serve(t, nil)
	run := func(seed uint64) string {
		b := start(t, traffic.Roller, s, func(o *traffic.Options) { o.Seed = seed })
		b.load("2000/s", 100*time.Millisecond)
		b.stop()
		return dice(b.sink.Wait(400))[""]
	}
	first, again, other := run(1), run(1), run(2)
	if first != again {
		t.Errorf("the same seed, other dice:\n%s\n%s", first, again)
	}
	if first == other {
		t.Errorf("another seed, the same dice: %s", first)
	}
}

// A mix is fair and risky with equal odds: of 2,000 dice, a fair coin leaves 850
// to 1,150 in all but one of 10^10 cases.
func TestMixIsEven(t *testing.T) {
	s := serve(t, nil)
	b := start(t, traffic.Frontend, s, nil)
	b.load("10000/s", 200*time.Millisecond)
	count := map[string]int{}
	for _, a := range s.requests() {
		count[a.Die]++
	}
	if n := count[contract.DieFair]; n < 850 || n > 1150 || n+count[contract.DieRisky] != 2000 {
		t.Errorf("dice %v", count)
	}
}

// A service that stalls cannot hide it from load at a rate: what became due
// meanwhile was sent, and waited. Users who roll one after the other see one
// slow roll, since they do not roll while they wait ("coordinated omission").
func TestAStallShows(t *testing.T) {
	const stall = 2 * time.Second
	staller := func() http.HandlerFunc {
		var n atomic.Int64
		over := make(chan struct{})
		return func(w http.ResponseWriter, _ *http.Request) {
			switch k := n.Add(1); {
			case k == 50:
				time.AfterFunc(stall, func() { close(over) })
				fallthrough
			case k > 50:
				<-over
			}
			_, _ = w.Write([]byte(`{"roll":4}`))
		}
	}
	open := start(t, traffic.Roller, serve(t, staller()), nil)
	open.load("100/s", 4*time.Second)
	r := open.report()
	if got := time.Duration(r.Latency.P99); r.Rolls != 400 || got < stall/2 || r.Failed != 0 {
		t.Errorf("open loop: p99 %v of %d rolls, %d failed; the stall took %v", got, r.Rolls, r.Failed, stall)
	}
	closed := start(t, traffic.Roller, serve(t, staller()), nil)
	closed.users(atOnce(1, 2000))
	if r = closed.report(); r.Rolls < 500 {
		t.Fatalf("seed 1 gives %d rolls; take one that gives more", r.Rolls)
	}
	if p99, most := time.Duration(r.Latency.P99), time.Duration(r.Latency.Max); p99 >= stall/2 || most < stall/2 {
		t.Errorf("closed loop: p99 %v, max %v; the stall took %v", p99, most, stall)
	}
}

// A roll that waits for one of few connections waits with its clock running.
func TestWaitForAConnectionCounts(t *testing.T) {
	free := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		<-free
		_, _ = w.Write([]byte(`{"roll":4}`))
	})
	b := start(t, traffic.Roller, s, func(o *traffic.Options) { o.Connections = 1 })
	const hold = 500 * time.Millisecond
	time.AfterFunc(hold, func() { close(free) })
	b.load("100/s", 100*time.Millisecond)
	r := b.report()
	if least := time.Duration(r.Latency.Min); r.Rolls != 10 || r.Connections != 1 || r.ConnectionLimit != 1 || least < hold/2 {
		t.Errorf("%d rolls over %d of %d connections, the quickest in %v; all were held up for %v",
			r.Rolls, r.Connections, r.ConnectionLimit, least, hold)
	}
}

// A run that is stopped sends no more, finishes what is under way, and reports.
func TestStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var n atomic.Int64
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 10 {
			stop()
		}
		<-ctx.Done()
		_, _ = w.Write([]byte(`{"roll":4}`))
	})
	b := start(t, traffic.Frontend, s, nil)
	if err := b.Load(ctx, traffic.Load{Rate: traffic.Rate{From: 100, To: 100}, Duration: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if r := b.report(); r.Rolls < 10 || r.Rolls != len(s.requests()) || r.Outcomes["200"] != r.Rolls {
		t.Errorf("%d rolls, %d requests, outcomes %v", r.Rolls, len(s.requests()), r.Outcomes)
	}
}

// The report counts failures by kind, and lists the last five.
func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  http.HandlerFunc
		timeout time.Duration
		want    string // outcome
		text    string // error; "" where it is the network's
	}{
		{"a problem", func(w http.ResponseWriter, _ *http.Request) { problem(w, 500, "It broke.") }, patience, "500", "It broke."},
		{"a status alone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, patience, "404", "answered 404 Not Found"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusSeeOther) }, patience, "303", "answered 303 See Other"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("four")) }, patience, contract.ErrorTypeMalformed,
			"the answer makes no sense: invalid character 'o' in literal false (expecting 'a')"},
		{"no die", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"roll":8}`)) }, patience, contract.ErrorTypeMalformed,
			"the answer makes no sense: a die shows 1 to 7, not 8"},
		{"not HTTP", func(w http.ResponseWriter, _ *http.Request) { speak(t, w, "220 smtp.example\r\n") }, patience, contract.ErrorTypeMalformed, ""},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			speak(t, w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
		}, patience, contract.ErrorTypeMalformed, ""},
		{"too long", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"roll":3}` + strings.Repeat(" ", 1<<16)))
		}, patience, contract.ErrorTypeMalformed,
			"the answer makes no sense: it is longer than 65536 bytes"},
		{"a cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, patience, contract.ErrorTypeUnreachable, ""},
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 20 * time.Millisecond, contract.ErrorTypeTimeout, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, target := range traffic.Targets() {
				s := serve(t, tt.answer)
				b := start(t, target, s, func(o *traffic.Options) { o.Timeout = tt.timeout })
				b.load("200/s", 40*time.Millisecond)
				r := b.report()
				if diff := cmp.Diff(map[string]int{tt.want: 8}, r.Outcomes); diff != "" || r.Failed != 8 || len(r.Failures) != 5 {
					t.Errorf("%s: %d failed, %d listed; outcomes (-want +got):\n%s", target, r.Failed, len(r.Failures), diff)
				}
				if f := r.Failures[0]; f.Outcome != tt.want || f.Value != 0 || tt.text != "" && f.Error != tt.text {
					t.Errorf("%s: failure %+v", target, f)
				}
				if tt.want != contract.ErrorTypeTimeout && len(s.requests()) != 8 { // in time or not, nothing is sent twice
					t.Errorf("%s: %d requests for 8 rolls", target, len(s.requests()))
				}
				for _, span := range named(b.sink.Wait(16), contract.SpanSimulated) {
					if span.Status != "Error" || span.Attributes[contract.AttrErrorType] != tt.want {
						t.Errorf("%s: span %+v", target, span)
					}
				}
			}
		})
	}
}

// Without spans of its own the report still says which traces the rolls left.
func TestWithoutSpans(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for _, tt := range []struct{ name, header, trace, link string }{
		{"recorded by the service", "00-" + id + "-b7ad6b7169203331-01", id, "http://explorer.example/" + id},
		{"not recorded", "00-" + id + "-b7ad6b7169203331-00", id, ""},
		{"without a header", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OTEL_SDK_DISABLED", "true")
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(contract.HeaderTraceresponse, tt.header)
				_, _ = w.Write([]byte(`{"roll":4}`))
			})
			b := start(t, traffic.Frontend, s, nil)
			b.users(atOnce(1, 1))
			r := b.report()
			if got := r.Slowest[0]; got.TraceID != tt.trace || got.Link != tt.link {
				t.Errorf("roll %+v", got)
			}
			if s.requests()[0].Traceparent != "" || len(b.sink.Spans()) != 0 {
				t.Errorf("asked with %q, %d spans", s.requests()[0].Traceparent, len(b.sink.Spans()))
			}
		})
	}
}

// The report says when spans were dropped.
func TestDroppedSpansAreTold(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
	s := serve(t, nil)
	b := start(t, traffic.Frontend, s, nil)
	b.sink.Hang()
	b.load("1000/s", 100*time.Millisecond)
	b.sink.Answer()
	r := b.report()
	if n := r.Dropped[contract.ReasonQueueFull]; n+len(b.sink.Spans()) != 200 || n == 0 {
		t.Errorf("%d spans dropped, %d stored, of 200", n, len(b.sink.Spans()))
	}
}

func TestAwait(t *testing.T) {
	ready := false
	server := &service{Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		ready = true // the next look finds it so
	}))}
	defer server.Close()
	b := start(t, traffic.Frontend, server, nil)
	err := b.Await(t.Context(), 0)
	if want := "waiting 0s for the frontend at " + server.URL + ": /readyz answered 503 Service Unavailable"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	ready = false
	if err := b.Await(t.Context(), patience); err != nil {
		t.Errorf("a target that comes late: %v", err)
	}
	ready = false
	gone := errors.New("called off")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := b.Await(ctx, patience); !errors.Is(err, gone) && !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	good := start(t, traffic.Frontend, serve(t, nil), nil).Options
	for _, tt := range []struct {
		name   string
		change func(*traffic.Options)
		want   string
	}{
		{"no such die", func(o *traffic.Options) { o.Die = "loaded" }, `die "loaded": choose one of fair, risky, mix`},
		{"no time", func(o *traffic.Options) { o.Timeout = 0 }, "timeout 0s: want a duration above 0s"},
		{"no connection", func(o *traffic.Options) { o.Connections = 0 }, "connections 0: want a number above 0"},
		{"more than all", func(o *traffic.Options) { o.AbortAt = 1.5 }, "error rate 1.5: want a number from 0 to 1"},
		{"a link to nowhere", func(o *traffic.Options) { o.TraceURL = "http://x/" }, `trace link "http://x/": want an address with {trace_id} in it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			tt.change(&o)
			if _, err := traffic.New(o); err == nil || err.Error() != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct{ name, base, want, err string }{
		{traffic.Frontend, "http://localhost:8102/", "http://localhost:8102/roll", ""},
		{traffic.Roller, "https://lab.example/dice", "https://lab.example/dice/roll", ""},
		{"store", "http://localhost", "", `target "store": choose one of frontend, roller`},
		{traffic.Roller, "localhost:8101", "", `roller URL "localhost:8101": want an address such as http://localhost:8101`},
		{traffic.Frontend, "http://localhost/?a=b", "", `frontend URL "http://localhost/?a=b": want an address such as http://localhost:8102`},
		{traffic.Frontend, "http://me:secret@localhost", "", `frontend URL "http://me:xxxxx@localhost": leave user and password out`},
	} {
		t.Run(tt.name+" "+tt.base, func(t *testing.T) {
			target, err := traffic.NewTarget(tt.name, tt.base)
			if err == nil && (tt.err != "" || target.URL() != tt.want) || err != nil && err.Error() != tt.err {
				t.Errorf("%q, error %v", target.URL(), err)
			}
		})
	}
}

// speak sends bytes as the answer to a request, and closes the connection.
func speak(t *testing.T, w http.ResponseWriter, bytes string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_, err = io.WriteString(conn, bytes)
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

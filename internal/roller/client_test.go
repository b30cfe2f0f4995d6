package roller_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/roller"
)

// patience is the timeout of a client that should get a response.
const patience = 30 * time.Second

// roundTripper is a transport made of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// ask has a client ask a server that answers as handler does.
func ask(t *testing.T, handler http.HandlerFunc) (roller.Result, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	client, err := roller.NewClient(server.URL, server.Client().Transport, patience)
	if err != nil {
		t.Fatal(err)
	}
	return client.Roll(t.Context(), contract.DieRisky)
}

// reply answers with a status and a body.
func reply(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestClientAnswers(t *testing.T) {
	const problem = "application/problem+json"
	malformed := "the dice roller's answer makes no sense: "
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    roller.Result
		is      error  // nil: none, or a *StatusError
		text    string // of the error; "" if there is none
	}{
		{name: "lowest", handler: reply(200, "application/json", `{"roll":1}`), want: roller.Result{Status: 200, Value: 1}},
		{name: "highest", handler: reply(200, "application/json", "{\"roll\":7}\n"), want: roller.Result{Status: 200, Value: 7}},
		{name: "problem", handler: reply(500, problem, `{"status":500,"detail":"The risky die failed."}`),
			want: roller.Result{Status: 500}, text: "the dice roller answered 500: The risky die failed."},
		{name: "500 of something else", handler: reply(500, "text/html", "<h1>oops</h1>"),
			want: roller.Result{Status: 500}, text: "the dice roller answered 500: It gave no reason."},
		{name: "500 without body", handler: reply(500, "text/plain", ""),
			want: roller.Result{Status: 500}, text: "the dice roller answered 500: It gave no reason."},
		{name: "problem without detail", handler: reply(500, problem, `{"status":500}`),
			want: roller.Result{Status: 500}, text: "the dice roller answered 500: It gave no reason."},
		{name: "problem larger than any of ours", handler: reply(500, problem, `{"detail":"`+strings.Repeat("x", 100_000)+`"}`),
			want: roller.Result{Status: 500}, text: "the dice roller answered 500: It gave no reason."},
		{name: "422", handler: reply(422, problem, `{"status":422,"detail":"Query parameter \"die\" is bad."}`),
			want: roller.Result{Status: 422}, text: `the dice roller answered 422: Query parameter "die" is bad.`},
		{name: "created", handler: reply(201, "application/json", `{"roll":3}`),
			want: roller.Result{Status: 201}, text: "the dice roller answered 201: It gave no reason."},
		{name: "redirect", handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
			want: roller.Result{Status: 302}, text: "the dice roller answered 302: It gave no reason."},
		{name: "200 that is no JSON", handler: reply(200, "text/html", "<h1>hello</h1>"),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "invalid character '<' looking for beginning of value"},
		{name: "200 without body", handler: reply(200, "application/json", ""),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "unexpected end of JSON input"},
		{name: "200 without roll", handler: reply(200, "application/json", `{"status":500}`),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "a die shows 1 to 7, not 0"},
		{name: "no die has eight", handler: reply(200, "application/json", `{"roll":8}`),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "a die shows 1 to 7, not 8"},
		{name: "negative", handler: reply(200, "application/json", `{"roll":-1}`),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "a die shows 1 to 7, not -1"},
		{name: "not a whole number", handler: reply(200, "application/json", `{"roll":3.5}`),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "json: cannot unmarshal number 3.5 into Go struct field .roll of type int"},
		{name: "200 that never ends", handler: reply(200, "application/json", `{"roll":3,"x":"`+strings.Repeat("x", 100_000)+`"}`),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "it is longer than 65536 bytes"},
		{name: "a roll, and spaces without end", handler: reply(200, "application/json", `{"roll":3}`+strings.Repeat(" ", 100_000)),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "it is longer than 65536 bytes"},
		{name: "two rolls", handler: reply(200, "application/json", `{"roll":3}{"roll":4}`),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "invalid character '{' after top-level value"},
		{name: "null", handler: reply(200, "application/json", `null`),
			want: roller.Result{Status: 200}, is: roller.ErrMalformed, text: malformed + "a die shows 1 to 7, not 0"},
		{name: "redirect to itself", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
		},
			want: roller.Result{Status: 307}, text: "the dice roller answered 307: It gave no reason."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ask(t, tt.handler)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			var status *roller.StatusError
			switch {
			case tt.text == "" && err != nil, tt.text != "" && (err == nil || err.Error() != tt.text):
				t.Errorf("error %v, want %q", err, tt.text)
			case tt.is != nil && !errors.Is(err, tt.is):
				t.Errorf("error %v is not %v", err, tt.is)
			case tt.text != "" && tt.is == nil && (!errors.As(err, &status) || status.Status != tt.want.Status):
				t.Errorf("error %v is no *StatusError of %d", err, tt.want.Status)
			}
		})
	}
}

func TestClientAsksForTheDie(t *testing.T) {
	var got string
	_, err := ask(t, func(w http.ResponseWriter, r *http.Request) {
		got = fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.ContentLength, r.TransferEncoding)
		reply(200, "application/json", `{"roll":2}`)(w, r)
	})
	if want := "GET /roll?die=risky 0 []"; got != want || err != nil {
		t.Errorf("asked %q, %v, want %q", got, err, want)
	}
}

func TestClientHalfAnAnswer(t *testing.T) {
	got, err := ask(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"roll":3}`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if !errors.Is(err, roller.ErrMalformed) || !errors.Is(err, io.ErrUnexpectedEOF) || got.Status != 0 || got.Value != 0 {
		t.Errorf("got %+v, %v, want no status, no value and %v", got, err, roller.ErrMalformed)
	}
}

// net/http sends a GET again where a used connection breaks; the roller would
// roll twice for one click.
func TestClientSendsOnce(t *testing.T) {
	const connections = 4
	var requests atomic.Int64
	arrived, broken := make(chan struct{}, connections), make(chan struct{})
	var breaking atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if breaking.Load() {
			panic(http.ErrAbortHandler)
		}
		arrived <- struct{}{}
		<-broken
		reply(200, "application/json", `{"roll":3}`)(w, r)
	}))
	defer server.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client, err := roller.NewClient(server.URL, start(t, roller.Options{}).telemetry.Transport(transport), patience)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, connections)
	for range connections { // at once, so that each opens a connection
		go func() { _, err := client.Roll(t.Context(), contract.DieFair); ended <- err }()
	}
	for range connections {
		<-arrived
	}
	close(broken)
	for range connections {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	breaking.Store(true)
	for i := range int64(connections) {
		got, err := client.Roll(t.Context(), contract.DieFair)
		if !errors.Is(err, roller.ErrUnreachable) || got.Status != 0 {
			t.Errorf("got %+v, %v, want no status and %v", got, err, roller.ErrUnreachable)
		}
		if n := requests.Load(); n != connections+i+1 {
			t.Fatalf("the roller got %d requests for %d rolls", n, connections+i+1)
		}
	}
}

func TestClientUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	client, err := roller.NewClient(server.URL, server.Client().Transport, patience)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Roll(t.Context(), contract.DieFair)
	if diff := cmp.Diff(roller.Result{}, got); diff != "" || !errors.Is(err, roller.ErrUnreachable) {
		t.Errorf("error %v, want %v; result (-want +got):\n%s", err, roller.ErrUnreachable, diff)
	}
}

// The clock of synctest jumps: five seconds pass at once.
func TestClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := roller.NewClient("http://dice.example", roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got, err := client.Roll(t.Context(), contract.DieFair)
		if want := "the dice roller did not answer in time: waited 5s"; !errors.Is(err, roller.ErrTimeout) || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
		if waited := time.Since(start); waited != 5*time.Second || got != (roller.Result{}) {
			t.Errorf("waited %v for %+v", waited, got)
		}
	})
}

// A roller that begins its answer in time but does not end it is late too.
func TestClientTimeoutWithinTheBody(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	client, err := roller.NewClient(server.URL, server.Client().Transport, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.Roll(t.Context(), contract.DieFair); !errors.Is(err, roller.ErrTimeout) || got.Status != 0 {
		t.Errorf("got %+v, %v, want no status and %v", got, err, roller.ErrTimeout)
	}
}

func TestClientCanceled(t *testing.T) {
	begun := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}))
	defer server.Close()
	client, err := roller.NewClient(server.URL, server.Client().Transport, patience)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the browser was closed")
	go func() { <-begun; cancel(gone) }()
	if got, err := client.Roll(ctx, contract.DieFair); !errors.Is(err, roller.ErrCanceled) || !errors.Is(err, gone) || got.Status != 0 {
		t.Errorf("got %+v, %v, want no status and %v: %v", got, err, roller.ErrCanceled, gone)
	}
}

// The Traceparent of a result is the header that the server saw, however the
// roll ended.
func TestClientTraceparent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		faults  []string
		handler http.HandlerFunc
		sent    bool
	}{
		{name: "success", handler: reply(200, "application/json", `{"roll":3}`), sent: true},
		{name: "failure", handler: reply(500, "text/plain", "no"), sent: true},
		{name: "half an answer", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			panic(http.ErrAbortHandler)
		}, sent: true},
		{name: "not passed on", faults: []string{"no-propagation"}, handler: reply(200, "application/json", `{"roll":3}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, roller.Options{Faults: faults(t, tt.faults...)})
			seen := make(chan string, 2)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen <- r.Header.Get(contract.HeaderTraceparent)
				tt.handler(w, r)
			}))
			defer server.Close()
			client, err := roller.NewClient(server.URL, s.telemetry.Transport(server.Client().Transport), patience)
			if err != nil {
				t.Fatal(err)
			}
			ctx, span := s.telemetry.Tracer.Start(t.Context(), "test")
			defer span.End()
			got, _ := client.Roll(ctx, contract.DieFair)
			if want := <-seen; got.Traceparent != want || (want != "") != tt.sent {
				t.Errorf("result says %q, the server saw %q, want one: %v", got.Traceparent, want, tt.sent)
			}
			if traceID := span.SpanContext().TraceID().String(); tt.sent && !strings.HasPrefix(got.Traceparent, "00-"+traceID+"-") {
				t.Errorf("traceparent %q is not of trace %s", got.Traceparent, traceID)
			}
		})
	}
}

func TestNewClient(t *testing.T) {
	for _, tt := range []struct{ base, url string }{
		{base: "http://localhost:8101", url: "http://localhost:8101/roll"},
		{base: "http://localhost:8101/", url: "http://localhost:8101/roll"},
		{base: "http://localhost:8101//", url: "http://localhost:8101/roll"},
		{base: "https://dice.example/api/", url: "https://dice.example/api/roll"},
		{base: "http://[::1]:8101", url: "http://[::1]:8101/roll"},
	} {
		client, err := roller.NewClient(tt.base, nil, time.Second)
		if err != nil || client.URL() != tt.url {
			t.Errorf("base %q gives %v, %v, want %q", tt.base, client, err, tt.url)
		}
	}
	for _, base := range []string{"", "localhost:8101", "localhost", "/roll", "ftp://localhost", "http://", "http:///roll", "http://:8101",
		"http://a b/", "http://localhost:port", "http://localhost:8101?die=fair", "http://localhost:8101#roll", "http://localhost:8101/roll?", "http://localhost:8101/#x"} {
		client, err := roller.NewClient(base, nil, time.Second)
		if want := fmt.Sprintf("roller URL %q: want an address such as http://localhost:8101", base); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("base %q gives %v, %v, want the error %q", base, client, err, want)
		}
	}
}

// A URL goes where many can read it, and so does the error about it.
func TestNewClientKeepsPasswords(t *testing.T) {
	client, err := roller.NewClient("http://me:secret@localhost:8101", nil, time.Second)
	if want := `roller URL "http://me:xxxxx@localhost:8101": leave user and password out`; err == nil || err.Error() != want {
		t.Errorf("got %v, %v, want the error %q", client, err, want)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"roll":3}`))
	f.Add(200, []byte(`{"roll":8}`))
	f.Add(200, []byte(`{"roll":1e99}`))
	f.Add(200, []byte(`{"roll":3}{"roll":4}`))
	f.Add(500, []byte(`{"status":500,"detail":"The risky die failed."}`))
	f.Add(503, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		client, err := roller.NewClient("http://dice.example", roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(string(body))), Request: r, Header: http.Header{}}, nil
		}), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Roll(t.Context(), contract.DieFair)
		var other *roller.StatusError
		switch {
		case err == nil:
			if status != 200 || got.Value < 1 || got.Value > 7 {
				t.Errorf("%d %q gives %+v", status, body, got)
			}
		case status == 200 && errors.Is(err, roller.ErrMalformed), status != 200 && errors.As(err, &other):
			if got.Value != 0 {
				t.Errorf("%d %q gives a value and %v: %+v", status, body, err, got)
			}
		default:
			t.Errorf("%d %q gives an error of no known kind: %v", status, body, err)
		}
	})
}

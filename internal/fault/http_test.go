package fault_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/fault"
	"dicelab/internal/web"
)

// service starts a service with switches for set and returns its URL.
func service(t *testing.T, set *fault.Set) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("GET /faults", fault.List(set, true))
	mux.Handle("POST /faults", fault.Switch(set))
	server := httptest.NewServer(web.GuardForms(web.Unmatched(mux)))
	t.Cleanup(server.Close)
	return server.URL
}

func remote(t *testing.T, target string) fault.Remote {
	t.Helper()
	return fault.Remote{URL: target, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

func TestListIsTheCatalogue(t *testing.T) {
	set, err := fault.NewSet("slow=2s", "no-export")
	if err != nil {
		t.Fatal(err)
	}
	out := httptest.NewRecorder()
	fault.List(set, true).ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/faults", nil))
	for _, want := range []string{
		`[{"name":"no-propagation","summary":"trace context is not passed on: one roll becomes two traces","on":false},`,
		`{"name":"no-export","summary":"spans are made but never sent: traces have holes","on":true},`,
		`{"name":"slow","summary":"every roll takes that much longer","example":"2s","on":true,"value":"2s"},`,
		`{"name":"fail","summary":"that share of rolls fails","example":"50%","on":false},`,
		`"example":"300ms","on":false}]` + "\n",
	} {
		if !strings.Contains(out.Body.String(), want) {
			t.Errorf("list lacks %s:\n%s", want, out.Body)
		}
	}
	if out.Code != 200 || out.Header().Get("Content-Type") != "application/json" {
		t.Errorf("answer %d %s", out.Code, out.Header().Get("Content-Type"))
	}
}

func TestSwitch(t *testing.T) {
	tests := []struct {
		name   string
		form   string
		status int
		detail string
		on     []string
	}{
		{name: "enable", form: "enable=no-exemplars", status: 200, on: []string{"no-exemplars", "slow=2s"}},
		{name: "enable with its value", form: "enable=fail%3D50%25", status: 200, on: []string{"slow=2s", "fail=50%"}},
		{name: "enable with a value field", form: "enable=fail&value=50%25", status: 200, on: []string{"slow=2s", "fail=50%"}},
		{name: "another value", form: "enable=slow&value=3s", status: 200, on: []string{"slow=3s"}},
		{name: "disable", form: "disable=slow", status: 200, on: []string{}},
		{name: "disable what is off", form: "disable=fail", status: 200, on: []string{"slow=2s"}},
		{name: "disable wins", form: "disable=slow&enable=slow=3s", status: 200, on: []string{}},
		{name: "unknown", form: "disable=gravity", status: 422, on: []string{"slow=2s"},
			detail: `unknown fault "gravity": choose one of no-propagation, no-export, log-without-trace, log-traceID, status-200-on-error, counter-stuck, no-exemplars, clock-skew, slow, fail, fail-fair, fail-risky, drop-failed, retry, timeout`},
		{name: "bad value", form: "enable=slow&value=long", status: 422, on: []string{"slow=2s"},
			detail: "fault slow=long: want a duration from 0s to 1m0s, such as 2s"},
		{name: "value for a plain switch", form: "enable=no-export&value=1", status: 422, on: []string{"slow=2s"},
			detail: `fault no-export takes no value, got "1": write no-export`},
		{name: "nothing asked", form: "", status: 422, on: []string{"slow=2s"},
			detail: "nothing to switch: send the form field enable=NAME or disable=NAME"},
		{name: "not a form", form: "enable=%zz", status: 400, on: []string{"slow=2s"},
			detail: "The form cannot be read. Send it as application/x-www-form-urlencoded."},
		{name: "too large", form: "enable=no-export&padding=" + strings.Repeat("x", 64<<10), status: 413, on: []string{"slow=2s"},
			detail: "The form is larger than 65536 bytes. Send only the fields that the form of the page has."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := fault.NewSet("slow=2s")
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service(t, set)+"/faults", strings.NewReader(tt.form))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			resp, err := remote(t, "").Client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, tt.status, body)
			}
			if kind := resp.Header.Get("Content-Type"); (kind == web.ProblemType) != (tt.status != 200) {
				t.Errorf("content type %s", kind)
			}
			if tt.detail != "" && !strings.Contains(string(body), `"detail":`+strconv.Quote(tt.detail)) {
				t.Errorf("body %s, want detail %s", body, tt.detail)
			}
			if diff := cmp.Diff(tt.on, set.On()); diff != "" {
				t.Errorf("on (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRemote(t *testing.T) {
	set := new(fault.Set)
	for _, slash := range []string{"", "/"} {
		r := remote(t, service(t, set)+slash)
		if err := r.Apply(t.Context(), url.Values{"enable": {"slow"}, "value": {"2s"}}); err != nil {
			t.Fatal(err)
		}
		got, err := r.Entries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(set.Entries(), got); diff != "" {
			t.Errorf("entries (-there +here):\n%s", diff)
		}
		if err := r.Apply(t.Context(), url.Values{"disable": {"slow"}}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{}, set.On()); diff != "" {
			t.Errorf("on (-want +got):\n%s", diff)
		}
	}
}

func TestRemoteErrors(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	listed := http.NewServeMux()
	listed.Handle("GET /faults", fault.List(new(fault.Set), false))
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string // URL stands for the service's
	}{
		{name: "no switches there", handler: listed.ServeHTTP, want: "URL/faults cannot be switched: start that service with --fault-switches too"},
		{name: "not a service of the lab", handler: answer(404, "not found"), want: "URL/faults answered 404 Not Found"},
		{name: "problem", handler: answer(422, `{"title":"Unprocessable Entity","status":422,"detail":"fault slow=long: want less"}`), want: "fault slow=long: want less"},
		{name: "failure without a problem", handler: answer(500, "oops"), want: "URL/faults answered 500 Internal Server Error"},
		{name: "empty problem", handler: answer(403, "{}"), want: "URL/faults answered 403 Forbidden"},
		{name: "no JSON", handler: answer(200, "<html>"), want: "reading URL/faults: invalid character '<' looking for beginning of value"},
		{name: "half an answer", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "[")
		}, want: "reading URL/faults: unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			want := strings.ReplaceAll(tt.want, "URL", server.URL)
			r := remote(t, server.URL)
			if _, err := r.Entries(t.Context()); err == nil || err.Error() != want {
				t.Errorf("Entries says %v, want %s", err, want)
			}
			if err := r.Apply(t.Context(), url.Values{"enable": {"slow=long"}}); err == nil || err.Error() != want {
				t.Errorf("Apply says %v, want %s", err, want)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		if _, err := remote(t, "http://127.0.0.1:1").Entries(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "asking http://127.0.0.1:1/faults: ") {
			t.Errorf("Entries says %v", err)
		}
	})
	t.Run("bad URL", func(t *testing.T) {
		if _, err := remote(t, "http://[").Entries(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "asking http://[/faults: ") {
			t.Errorf("Entries says %v", err)
		}
	})
	t.Run("caller went away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := remote(t, "http://127.0.0.1:1").Entries(ctx); err == nil || !strings.Contains(err.Error(), "context canceled") {
			t.Errorf("Entries says %v", err)
		}
	})
}

func TestLab(t *testing.T) {
	roller, frontend := new(fault.Set), new(fault.Set)
	for set, specs := range map[*fault.Set][]string{roller: {"slow=2s", "no-export"}, frontend: {"clock-skew=3s"}} {
		for _, spec := range specs {
			if err := set.Enable(spec); err != nil {
				t.Fatal(err)
			}
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	lab := fault.NewLab(map[string]string{"roller": service(t, roller), "frontend": service(t, frontend), "gone": "http://127.0.0.1:1"}, client)
	want := []string{"frontend:clock-skew=3s", "roller:no-export", "roller:slow=2s"}
	if diff := cmp.Diff(want, lab.On(t.Context())); diff != "" {
		t.Errorf("on (-want +got):\n%s", diff)
	}
}

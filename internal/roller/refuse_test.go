package roller_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/roller"
	"dicelab/internal/web"
)

func TestInvalidDie(t *testing.T) {
	for _, tt := range []struct {
		name, query, value, detail string
	}{
		{name: "missing", query: "", detail: `Query parameter "die" is missing; give one of fair, risky, as in /roll?die=fair.`},
		{name: "empty", query: "?die=", detail: `Query parameter "die" is missing; give one of fair, risky, as in /roll?die=fair.`},
		{name: "misspelt name", query: "?Die=fair", detail: `Query parameter "die" is missing; give one of fair, risky, as in /roll?die=fair.`},
		{name: "unknown", query: "?die=loaded", value: "loaded", detail: `Query parameter "die" is "loaded"; it must be one of fair, risky.`},
		{name: "upper case", query: "?die=FAIR", value: "FAIR", detail: `Query parameter "die" is "FAIR"; it must be one of fair, risky.`},
		{name: "space", query: "?die=fair+", value: "fair ", detail: `Query parameter "die" is "fair "; it must be one of fair, risky.`},
		{name: "line break", query: "?die=fair%0Aforged", value: "fair\nforged", detail: `Query parameter "die" is "fair\nforged"; it must be one of fair, risky.`},
		{name: "first of two counts", query: "?die=loaded&die=fair", value: "loaded", detail: `Query parameter "die" is "loaded"; it must be one of fair, risky.`},
		{name: "64 bytes", query: "?die=" + strings.Repeat("x", 64), value: strings.Repeat("x", 64),
			detail: `Query parameter "die" is "` + strings.Repeat("x", 64) + `"; it must be one of fair, risky.`},
		{name: "very long", query: "?die=" + strings.Repeat("x", 100_000), value: strings.Repeat("x", 64) + "…",
			detail: `Query parameter "die" is "` + strings.Repeat("x", 64) + `…"; it must be one of fair, risky.`},
		{name: "cut between the bytes of a letter", query: "?die=" + strings.Repeat("x", 63) + url.QueryEscape("ü"), value: strings.Repeat("x", 63) + "…",
			detail: `Query parameter "die" is "` + strings.Repeat("x", 63) + `…"; it must be one of fair, risky.`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, roller.Options{})
			before := s.metrics(t)
			a := s.get(t, "/roll"+tt.query)
			want := web.Problem{Title: "Unprocessable Entity", Status: 422, Detail: tt.detail, Parameter: "die", Value: tt.value, Allowed: contract.Dice()}
			want.TraceID = strings.Split(a.header.Get(contract.HeaderTraceresponse), "-")[1]
			if diff := cmp.Diff(want, decode[web.Problem](t, a.body)); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
			if got := a.header.Get("Content-Type"); a.status != 422 || got != web.ProblemType {
				t.Errorf("answered %d, %q", a.status, got)
			}
			wantMoved := map[string]float64{`http_requests_total{handler="/roll",method="GET",status="4xx"}`: 1}
			if diff := cmp.Diff(wantMoved, moved(before, s.metrics(t), "dice_", contract.MetricHTTPRequests)); diff != "" {
				t.Errorf("metrics moved (-want +got):\n%s", diff)
			}
			line := s.log.Wait(contract.MsgInvalidDie)
			delete(line, contract.FieldTimestamp)
			delete(line, contract.FieldSpanID)
			wantLine := map[string]any{contract.FieldLevel: contract.LevelWarning, contract.FieldMessage: contract.MsgInvalidDie,
				contract.FieldLogger: contract.ServiceRoller, contract.FieldTraceID: want.TraceID,
				contract.FieldDieType: tt.value, contract.FieldStatus: 422.0, contract.FieldError: tt.detail}
			if diff := cmp.Diff(wantLine, line); diff != "" {
				t.Errorf("log line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMethodsAndPaths(t *testing.T) {
	s := start(t, roller.Options{})
	for _, tt := range []struct {
		method, path string
		status       int
		allow        string // methods that Allow must name
		detail       string // "" where the answer has no body
	}{
		{method: http.MethodHead, path: "/roll?die=fair", status: 405, allow: "GET"},
		{method: http.MethodHead, path: "/", status: 405, allow: "GET"},
		{method: http.MethodPost, path: "/roll?die=fair", status: 405, allow: "GET", detail: "/roll does not take POST. It takes GET"},
		{method: http.MethodDelete, path: "/", status: 405, allow: "GET", detail: "/ does not take DELETE. It takes GET"},
		{method: "BREW", path: "/roll", status: 405, allow: "GET", detail: "/roll does not take BREW. It takes GET"},
		{method: http.MethodPost, path: "/metrics", status: 405, allow: "GET", detail: "/metrics does not take POST. It takes GET"},
		{method: http.MethodGet, path: "/dice", status: 404, detail: "There is nothing at /dice."},
		{method: http.MethodPost, path: "/dice", status: 404, detail: "There is nothing at /dice."},
		{method: http.MethodGet, path: "/roll/", status: 404, detail: "There is nothing at /roll/."},
		{method: http.MethodGet, path: "/schemas/Outcome.json", status: 404, detail: "There is nothing at /schemas/Outcome.json."},
		{method: http.MethodPost, path: "/faults", status: 405, allow: "GET", detail: "/faults does not take POST. It takes GET"}, // not without Switches
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			before := s.metrics(t)
			a := s.do(t, tt.method, tt.path, "")
			if a.status != tt.status || a.header.Get("Content-Type") != web.ProblemType {
				t.Errorf("answered %d, %q, want %d, %q", a.status, a.header.Get("Content-Type"), tt.status, web.ProblemType)
			}
			if got := a.header.Get("Allow"); !strings.HasPrefix(got, tt.allow) || (got == "") != (tt.allow == "") {
				t.Errorf("Allow is %q, want %q", got, tt.allow)
			}
			switch {
			case tt.detail == "" && a.body != "":
				t.Errorf("answer to HEAD has a body: %q", a.body)
			case tt.detail != "":
				p := decode[web.Problem](t, a.body)
				if p.Status != tt.status || !strings.HasPrefix(p.Detail, tt.detail) {
					t.Errorf("problem %+v, want %d %q", p, tt.status, tt.detail)
				}
			}
			if diff := moved(before, s.metrics(t), "dice_"); len(diff) > 0 {
				t.Errorf("a die was rolled: %v", diff)
			}
		})
	}
}

// Nothing that callers make up may become a series: 1,000 odd requests leave
// those that the first of each kind made.
func TestOddRequestsMakeNoSeries(t *testing.T) {
	s := start(t, roller.Options{})
	random := rand.New(rand.NewPCG(11, 0))
	word := func() string {
		b := make([]byte, 1+random.IntN(30))
		for i := range b {
			b[i] = byte('A' + random.IntN(26))
		}
		return string(b)
	}
	methods := []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodHead}
	odd := func(i int) (method, path string, status int) {
		switch i % 4 {
		case 0:
			return http.MethodGet, "/roll?die=" + url.QueryEscape(word()+string(rune(0x80+random.IntN(0x2000)))), 422
		case 1:
			return http.MethodGet, "/" + word() + "/" + word() + "?die=fair", 404
		case 2:
			return methods[i/4%len(methods)], "/roll?die=fair", 405
		default:
			return "X" + word(), "/roll?die=fair", 405
		}
	}
	var first []string
	before := s.metrics(t)
	for i := range 1000 {
		method, path, status := odd(i)
		if a := s.do(t, method, path, ""); a.status != status || a.header.Get("Content-Type") != web.ProblemType {
			t.Fatalf("%s %s answered %d %s, want %d", method, path, a.status, a.header.Get("Content-Type"), status)
		}
		if i == 4*len(methods)-1 {
			first = own(s.metrics(t))
		}
	}
	after := s.metrics(t)
	if diff := cmp.Diff(first, own(after)); diff != "" {
		t.Errorf("series (-after the first of each kind +after 1,000):\n%s", diff)
	}
	want := map[string]float64{
		`http_requests_total{handler="/roll",method="GET",status="4xx"}`:    250,
		`http_requests_total{handler="none",method="GET",status="4xx"}`:     250,
		`http_requests_total{handler="none",method="other",status="4xx"}`:   250,
		`http_requests_total{handler="/roll",method="HEAD",status="4xx"}`:   35,
		`http_requests_total{handler="none",method="POST",status="4xx"}`:    36,
		`http_requests_total{handler="none",method="PUT",status="4xx"}`:     36,
		`http_requests_total{handler="none",method="PATCH",status="4xx"}`:   36,
		`http_requests_total{handler="none",method="DELETE",status="4xx"}`:  36,
		`http_requests_total{handler="none",method="OPTIONS",status="4xx"}`: 36,
		`http_requests_total{handler="none",method="TRACE",status="4xx"}`:   35,
	}
	if diff := cmp.Diff(want, moved(before, after, "dice_", contract.MetricHTTPRequests)); diff != "" {
		t.Errorf("metrics moved (-want +got):\n%s", diff)
	}
}

// Probes and /metrics would drown what people do.
func TestProbesAreNotCounted(t *testing.T) {
	s := start(t, roller.Options{Switches: true, Faults: faults(t)})
	before := s.metrics(t)
	for range 3 {
		for _, path := range []string{"/metrics", "/healthz", "/readyz", "/faults"} {
			if a := s.get(t, path); a.status != http.StatusOK {
				t.Errorf("GET %s answered %d", path, a.status)
			}
		}
	}
	after := s.metrics(t)
	if diff := cmp.Diff(own(before), own(after)); diff != "" {
		t.Errorf("series:\n%s", diff)
	}
	if diff := moved(before, after, "dice_", "http_"); len(diff) > 0 {
		t.Errorf("metrics moved: %v", diff)
	}
}

func TestGuard(t *testing.T) {
	s := start(t, roller.Options{Hosts: []string{"dice.example"}, Switches: true, Faults: faults(t)})
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for _, tt := range []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{name: "loopback name", method: "GET", path: "/roll?die=fair", header: []string{"Host", "localhost"}, status: 200},
		{name: "allowed name", method: "GET", path: "/roll?die=fair", header: []string{"Host", "dice.example:8101"}, status: 200},
		{name: "rebound name", method: "GET", path: "/roll?die=fair", header: []string{"Host", "evil.example"}, status: 421},
		{name: "script of another site", method: "GET", path: "/roll?die=fair", header: []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, status: 403},
		{name: "image of another site", method: "GET", path: "/roll?die=fair", header: []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, status: 403},
		{name: "link of another site that rolls", method: "GET", path: "/roll?die=fair", header: link, status: 403},
		{name: "link of another site that reads", method: "GET", path: "/docs", header: link, status: 200},
		{name: "form of another site", method: "POST", path: "/faults", header: []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, status: 403},
		{name: "form of another site, old browser", method: "POST", path: "/faults", header: []string{"Origin", "https://evil.example"}, status: 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.do(t, tt.method, tt.path, "", tt.header...)
			if a.status != tt.status {
				t.Errorf("answered %d %s, want %d", a.status, a.body, tt.status)
			}
			for name := range a.header { // without them a browser shows no other site's script the answer
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("answered with header %s", name)
				}
			}
		})
	}
}

func FuzzDie(f *testing.F) {
	for _, die := range []string{"", "fair", "risky", "loaded", "fair\x00", "\xff\xfe", strings.Repeat("ü", 40), `"><script>`, "%zz&die=fair"} {
		f.Add(die)
	}
	s := start(f, roller.Options{Dice: roller.NewDice(1, 0, 0)})
	f.Fuzz(func(t *testing.T, die string) {
		a := s.get(t, "/roll?"+url.Values{"die": {die}}.Encode())
		switch die {
		case contract.DieFair, contract.DieRisky:
			if a.status != 200 {
				t.Errorf("answered %d %s", a.status, a.body)
			}
		default:
			p := decode[web.Problem](t, a.body)
			if a.status != 422 || p.Parameter != "die" || len(p.Value) > 64*3+len("…") || fmt.Sprint(p.Allowed) != "[fair risky]" {
				t.Errorf("answered %d %+v", a.status, p)
			}
		}
	})
}

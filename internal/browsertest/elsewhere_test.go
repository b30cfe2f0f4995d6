package browsertest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"dicelab/internal/contract"
)

// door passes requests on to a part of the lab as they are and keeps the status of
// each answer. Its address is one of localhost, as the part's own.
type door struct {
	url     string
	mu      sync.Mutex
	answers map[string]int // by the query parameter "try"
	news    chan struct{}
}

func openDoor(t *testing.T, part string) *door {
	t.Helper()
	to, err := url.Parse(part)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{answers: map[string]int{}, news: make(chan struct{}, 1000)}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(resp *http.Response) error {
			d.mu.Lock()
			d.answers[resp.Request.URL.Query().Get("try")] = resp.StatusCode
			d.mu.Unlock()
			d.news <- struct{}{}
			return nil
		},
	})
	t.Cleanup(server.Close)
	d.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return d
}

// answer waits for the status of a try.
func (d *door) answer(t *testing.T, try string) int {
	t.Helper()
	late := time.After(patience)
	for {
		d.mu.Lock()
		status := d.answers[try]
		d.mu.Unlock()
		if status != 0 {
			return status
		}
		select {
		case <-d.news:
		case <-late:
			t.Fatalf("%s: no request came within %v", try, patience)
		}
	}
}

// loads are the ways in which a page requests something and stays where it is;
// each is a function body over url.
var loads = []struct{ name, js string }{
	{"img", `new Image().src = url`},
	{"script", `document.head.appendChild(Object.assign(document.createElement("script"), { src: url }))`},
	{"style", `document.head.appendChild(Object.assign(document.createElement("link"), { rel: "stylesheet", href: url }))`},
	{"prefetch", `document.head.appendChild(Object.assign(document.createElement("link"), { rel: "prefetch", href: url }))`},
	{"video", `document.body.appendChild(Object.assign(document.createElement("video"), { src: url, preload: "auto" })).load()`},
	{"iframe", `document.body.appendChild(Object.assign(document.createElement("iframe"), { src: url }))`},
	{"object", `document.body.appendChild(Object.assign(document.createElement("object"), { data: url }))`},
	{"embed", `document.body.appendChild(Object.assign(document.createElement("embed"), { src: url }))`},
	{"fetch-cors", `fetch(url).catch(() => {})`},
	{"fetch-no-cors", `fetch(url, { mode: "no-cors" }).catch(() => {})`},
	{"fetch-post", `fetch(url, { mode: "no-cors", method: "POST", body: "die=fair" }).catch(() => {})`},
	{"fetch-preflight", `fetch(url, { headers: { "X-Scope-OrgID": "team" } }).catch(() => {})`},
	{"xhr", `const x = new XMLHttpRequest(); x.open("GET", url); x.send()`},
	{"event-source", `new EventSource(url)`},
	{"web-socket", `new WebSocket(url.replace("http:", "ws:"))`},
	{"beacon", `navigator.sendBeacon(url, "die=fair")`},
	{"form-in-frame", `document.body.appendChild(Object.assign(document.createElement("iframe"), { name: "hidden" }));
		const f = document.body.appendChild(Object.assign(document.createElement("form"), { action: url.split("?")[0], target: "hidden" }));
		new URL(url).searchParams.forEach((value, name) => f.appendChild(Object.assign(document.createElement("input"), { name, value }))); f.submit()`},
}

// moves are the ways in which a page gives its place to what it requests.
var moves = []struct {
	name, js string
	post     bool
}{
	{name: "link", js: `document.body.appendChild(Object.assign(document.createElement("a"), { href: url })).click()`},
	{name: "location", js: `location = url`},
	{name: "form-get", js: `const f = document.body.appendChild(Object.assign(document.createElement("form"), { action: url.split("?")[0] }));
		new URL(url).searchParams.forEach((value, name) => f.appendChild(Object.assign(document.createElement("input"), { name, value }))); f.submit()`},
	{name: "form-post", js: `document.body.appendChild(Object.assign(document.createElement("form"), { action: url, method: "POST" })).submit()`, post: true},
}

// TestOtherSites: a page of another site, and one of another port, tries what a
// browser offers. Nothing but a link that opens in the tab is answered, and no link
// rolls a die or fetches a file.
func TestOtherSites(t *testing.T) {
	l := startLab(t, sure...)
	id := l.roll(t, contract.DieFair, http.StatusOK)
	l.download(t, id, 5)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><title>elsewhere</title><body></body>`)
	}))
	t.Cleanup(page.Close)
	rolls := l.rolls(t)
	browser := startBrowser(t)
	for _, from := range []struct{ name, url string }{
		{"another site", page.URL},
		{"another port", strings.Replace(page.URL, "127.0.0.1", "localhost", 1)},
	} {
		for _, to := range []struct {
			name, part, path string
			link             int // the answer to a link
		}{
			{"page", l.explorer, "/traces?", http.StatusOK},
			{"download", l.explorer, "/traces/" + id + "/trace.json?", http.StatusForbidden},
			{"front end", l.frontend, "/?", http.StatusOK},
			{"roll", l.roller, "/roll?die=fair&", http.StatusForbidden},
			{"Tempo", l.parts["tempo"], "/api/search?", http.StatusOK},
			{"Loki", l.parts["loki"], "/loki/api/v1/labels?", http.StatusOK},
			{"Prometheus", l.parts["prometheus"], "/api/v1/query?query=up&", http.StatusOK},
		} {
			t.Run(from.name+" "+to.name, func(t *testing.T) {
				d := openDoor(t, to.part)
				tab := browser.tab(t)
				tab.open(t, from.url)
				try := func(name, js string, want int) {
					_ = eval[bool](t, tab, `((url) => { `+js+`; return true })(`+quote(d.url+to.path+"try="+name)+`)`)
					if got := d.answer(t, name); got != want {
						t.Errorf("%s: answered %d, want %d", name, got, want)
					}
				}
				for _, way := range loads {
					try(way.name, way.js, http.StatusForbidden)
				}
				for _, way := range moves {
					tab.open(t, from.url)
					want := to.link
					if way.post {
						want = http.StatusForbidden
					}
					try(way.name, way.js, want)
				}
				tab.open(t, "about:blank")
				tab.watch.take() // the complaints are about what this test does on purpose
			})
		}
	}
	if got := l.rolls(t); got != rolls {
		t.Errorf("pages elsewhere made rolls: %s, want %s", got, rolls)
	}
}

// rolls returns the counters of the dice roller.
func (l *lab) rolls(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(l.roller + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("reading the counters: %d, %v", resp.StatusCode, err)
	}
	var lines []string
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, contract.MetricDiceRolls) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatal("the dice roller shows no counters of rolls")
	}
	return fmt.Sprint(lines)
}

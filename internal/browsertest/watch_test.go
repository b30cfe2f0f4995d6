package browsertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
)

// watch notes what no page may do: ask another host, violate its
// Content-Security-Policy, write an error to the console. Browsers report a
// violation on the console.
type watch struct {
	hosts []string // that may be asked

	mu         sync.Mutex
	asked      int // requests seen
	complaints []string
	allowed    []string // URLs whose answer may be an error
}

// event is called by the tab for each event, in order.
func (w *watch) event(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(ev.Request.URL)
		if err == nil && (u.Scheme == "data" || u.Scheme == "about") {
			return // no request leaves the browser
		}
		w.asked++
		if err != nil || u.Scheme != "http" || !slices.Contains(w.hosts, u.Host) {
			w.complain("request to another host: %s, from %s", ev.Request.URL, ev.DocumentURL)
		}
	case *network.EventWebSocketCreated:
		w.complain("web socket to %s", ev.URL)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			var text []string
			for _, arg := range ev.Args {
				text = append(text, string(arg.Value)+arg.Description)
			}
			w.complain("console.%s: %s", ev.Type, strings.Join(text, " "))
		}
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			text += " " + ev.ExceptionDetails.Exception.Description
		}
		w.complain("uncaught exception at %s:%d: %s", ev.ExceptionDetails.URL, ev.ExceptionDetails.LineNumber+1, text)
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			if strings.Contains(ev.Entry.Text, "the server responded with a status of") && slices.Contains(w.allowed, ev.Entry.URL) {
				return
			}
			w.complain("%s %s: %s (%s)", ev.Entry.Source, ev.Entry.Level, ev.Entry.Text, ev.Entry.URL)
		}
	}
}

func (w *watch) complain(format string, args ...any) {
	w.complaints = append(w.complaints, fmt.Sprintf(format, args...))
}

// allowStatus allows an error status for url from now on. Chromium logs each on the console,
// whether or not the page handles it.
func (w *watch) allowStatus(url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allowed = append(w.allowed, url)
}

// take returns the complaints so far and how many requests were seen, and
// forgets both.
func (w *watch) take() (complaints []string, asked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	complaints, asked = w.complaints, w.asked
	w.complaints, w.asked = nil, 0
	return complaints, asked
}

// TestWatch checks that the watch sees what it is there for: an empty list of
// complaints means something only then.
func TestWatch(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/foreign":
			fmt.Fprint(w, `<link rel="icon" href="data:,"><img src="http://elsewhere.invalid/pixel.png">`)
		case "/policy":
			w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:")
			fmt.Fprint(w, `<link rel="icon" href="data:,"><p style="color: red">styled where it may not be</p>`)
		case "/error":
			fmt.Fprint(w, `<link rel="icon" href="data:,"><script>console.error("told")</script>`)
		case "/throw":
			fmt.Fprint(w, `<link rel="icon" href="data:,"><script>throw new Error("thrown")</script>`)
		default:
			fmt.Fprint(w, `<link rel="icon" href="data:,"><p>good</p>`)
		}
	}))
	t.Cleanup(page.Close)
	u, err := url.Parse(page.URL)
	if err != nil {
		t.Fatal(err)
	}
	tab := startBrowser(t).tab(t, u.Host)
	for _, c := range []struct{ name, path, want string }{
		{"a request to another host", "/foreign", "request to another host: http://elsewhere.invalid/pixel.png"},
		{"a violation of the policy", "/policy", "security error: Applying inline style violates the following Content Security Policy directive"},
		{"an error on the console", "/error", `console.error: "told"`},
		{"an uncaught exception", "/throw", "Error: thrown"},
		{"nothing", "/good", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab.open(t, page.URL+c.path)
			got, asked := tab.watch.take()
			if asked == 0 {
				t.Error("the request for the page itself was not seen")
			}
			if c.want == "" && len(got) > 0 || c.want != "" && !strings.Contains(strings.Join(got, "\n"), c.want) {
				t.Errorf("complaints %q, want %q", got, c.want)
			}
		})
	}
}

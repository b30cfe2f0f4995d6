package explorer

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
	"dicelab/internal/quest"
	"dicelab/internal/web"
)

//go:embed templates/*.html assets/*.css assets/*.js
var files embed.FS

// Options configures what the explorer reads, and what it shows about itself.
type Options struct {
	Prometheus *query.Prometheus // required
	Loki       *query.Loki       // required
	Tempo      *query.Tempo      // required
	// Senders lists who sends telemetry, for the page of that name. Nil: there is none.
	Senders *query.Senders
	// Dashboard is shown by the page Metrics: Grafana's own file. Required.
	Dashboard grafana.Dashboard
	// Checklist performs the checks for the page of that name. Required.
	Checklist Checker
	// FrontendURL is the page on which to roll a die. Empty means http://localhost:8102.
	FrontendURL string
	// Retention is the time for which traces are kept, as the end of a sentence. Empty
	// means "for as long as the trace store is set to keep them".
	Retention string
	// Now is the clock, whose zone is that of the times shown. Nil means
	// time.Now.
	Now func() time.Time
	// Faults lists the faults that are on in the lab, for a strip on every page; it
	// must not take long. Nil means that there are none.
	Faults func() []string
	// Quests are the exercises and quests, for the page of that name. Nil: there are none.
	Quests *quest.Engine
	// BasePath is the path below which a reverse proxy serves the pages, such as /lab.
	// Empty means that they are served at the root.
	BasePath string
	// Version is shown at the foot of each page.
	Version string
	// NoNotes leaves out what the pages conclude by themselves from signals that do not fit
	// together, such as clocks that differ, so that a reader can be asked to find it.
	NoNotes bool
}

// defaultFrontend is the front end's URL if Options names none.
const defaultFrontend = "http://localhost:" + contract.PortFrontend

// explorer answers the pages. Nothing in it changes after NewHandler but the runs of
// the checklist and the colours of services.
type explorer struct {
	Options
	pages map[string]*template.Template
	css   map[string][]byte // style sheets by name
	runs  *checkRuns
	marks *marks
	tagList
	tails chan struct{} // has an element for each live tail
	// formKey is carried by forms of the page Quests.
	formKey formKey
	*palette
	bounds
}

// NewHandler makes the explorer's pages. Security headers, refusing posts from
// elsewhere, timeouts and listening are the caller's part; the pages bound what
// is posted to them. It fails when a client is missing.
func NewHandler(o Options) (http.Handler, error) {
	if o.Prometheus == nil || o.Loki == nil || o.Tempo == nil {
		return nil, errors.New("making the explorer: it needs clients of Prometheus, Loki and Tempo")
	}
	if len(o.Dashboard.Panels) == 0 {
		return nil, errors.New("making the explorer: it needs a dashboard with panels")
	}
	if o.Checklist == nil {
		return nil, errors.New("making the explorer: it needs a checklist")
	}
	if o.FrontendURL == "" {
		o.FrontendURL = defaultFrontend
	}
	if o.Retention == "" {
		o.Retention = "for as long as the trace store is set to keep them"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &explorer{Options: o, pages: map[string]*template.Template{}, css: map[string][]byte{},
		runs: &checkRuns{Checker: o.Checklist, clock: o.Now}, marks: &marks{}, tails: make(chan struct{}, maxTails),
		palette: newPalette(), bounds: newBounds(), formKey: newFormKey()}
	for _, name := range []string{"overview", "service", "traces", "trace", "notrace", "file", "logs", "metrics", "metric",
		"targets", "senders", "checks", "quests", "doc", "message", "compare", "offline"} {
		t, err := template.New("layout.html").Funcs(template.FuncMap{"linked": linked, "code": code}).
			ParseFS(files, "templates/layout.html", "templates/frame.html", "templates/parts.html",
				"templates/waterfall.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("parsing the explorer's page %s: %w", name, err)
		}
		e.pages[name] = t
	}
	pages, err := e.routes()
	return web.Mount(o.BasePath, pages), err
}

// The media types of assets.
const (
	cssType = "text/css; charset=utf-8"
	jsType  = "text/javascript; charset=utf-8"
)

// hidesNotes reports whether the pages leave out what they conclude: always, or while a quest
// asks the reader to find it.
func (e *explorer) hidesNotes() bool { return e.NoNotes || e.Quests != nil && e.Quests.UnderWay() }

func (e *explorer) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	for pattern, page := range map[string]http.HandlerFunc{
		"GET /{$}":                 e.overview,
		"GET /service":             e.service,
		"GET /traces":              e.traces,
		"GET /traces/file":         e.fileForm,
		"POST /traces/file":        e.file,
		"GET /traces/values":       e.tagValues,
		"GET /traces/{id}":         e.trace,
		"GET /traces/{id}/compare": e.compare,
		"GET /logs":                e.logs,
		"GET /metrics":             e.metrics,
		"GET /metrics/find":        e.metric,
		"GET /targets":             e.targets,
		"GET /docs/{$}":            e.docList,
		"GET /docs/{name}":         e.docPage,
	} {
		mux.HandleFunc(pattern, e.bounded(page))
	}
	if e.Senders != nil {
		mux.HandleFunc("GET /senders", e.bounded(e.senders))
	}
	if e.Quests != nil {
		mux.HandleFunc("GET /quests", e.quests)
		mux.HandleFunc("POST /quests/{action}", e.questAction)
		mux.Handle("GET /quests/report.json", web.NoLinks(http.HandlerFunc(e.Quests.ServeReport)))
		mux.Handle("GET /quests/report.html", web.NoLinks(http.HandlerFunc(e.Quests.ServeReport)))
		for _, pattern := range []string{"GET " + quest.Path, "GET " + quest.Path + "/", "POST " + quest.Path + "/"} {
			mux.Handle(pattern, e.Quests.API())
		}
	}
	mux.Handle("GET /traces/{id}/trace.json", web.NoLinks(e.bounded(e.traceJSON)))
	mux.Handle("GET /traces/{id}/trace.html", web.NoLinks(e.bounded(e.traceHTML)))
	mux.HandleFunc("GET /logs/tail", e.tail)
	mux.HandleFunc("POST /mark", e.setMark)
	mux.HandleFunc("GET /checklist", e.checks)
	mux.HandleFunc("POST /checklist", e.startChecks)
	mux.Handle("GET /checklist/report.json", web.NoLinks(http.HandlerFunc(e.checksJSON)))
	mux.Handle("GET /assets/theme.css", web.Theme())
	for name, kind := range map[string]string{"explorer.css": cssType, "pages.css": cssType, "trace.css": cssType,
		"explorer.js": jsType, "pages.js": jsType, "trace.js": jsType} {
		body, err := files.ReadFile("assets/" + name)
		if err != nil {
			return nil, fmt.Errorf("reading the explorer's files: %w", err)
		}
		if kind == cssType {
			e.css[name] = body
		}
		mux.Handle("GET /assets/"+name, web.Asset(kind, body))
	}
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		e.message(w, http.StatusNotFound, "Nothing here", "There is no page at "+r.URL.Path+".")
	})
	return mux, nil
}

// page holds what every page shows around its own content.
type page struct {
	Title   string
	Section string // the navigation's entry
	// Reload is the number of seconds after which the browser loads ReloadURL; 0: never.
	Reload         int
	ReloadURL      string
	ReloadScripted bool       // a script reloads better: the browser does it only without scripts
	Live           bool       // offer to refresh by itself
	Wide           bool       // use the whole width of the window
	Window         url.Values // the time that was chosen, which the navigation carries on
	Service        string     // that the data are of, as well
	Time           *timeBar   // nil: the page is about no time
	HasSenders     bool       // whether there is a page of senders
	HasQuests      bool       // whether there is a page of quests
	Data           any
	FrontendURL    string
	Version        string
	Zone           string
	Now            string
	Faults         []string // that are on
	Quest          bool     // whether a quest is under way, and hides faults
}

// NavItem is an entry of the navigation.
type NavItem struct {
	Name, Href string
	Current    bool
}

// Nav lists the entries.
func (p page) Nav() []NavItem {
	items := []NavItem{{Name: "Overview", Href: "/"}, {Name: "Traces", Href: "/traces"}, {Name: "Logs", Href: "/logs"},
		{Name: "Metrics", Href: "/metrics"}, {Name: "Targets", Href: "/targets"}}
	if p.HasSenders {
		items = append(items, NavItem{Name: "Senders", Href: "/senders"})
	}
	items = append(items, NavItem{Name: "Checklist", Href: "/checklist"})
	if p.HasQuests {
		items = append(items, NavItem{Name: "Quests", Href: "/quests"})
	}
	for i := range items {
		items[i].Current = items[i].Name == p.Section
		v := url.Values{}
		switch items[i].Name {
		case "Traces", "Logs":
			if p.Service != "" {
				v.Set("service", p.Service)
			}
			fallthrough
		case "Metrics", "Overview":
			maps.Copy(v, p.Window)
		}
		if len(v) > 0 {
			items[i].Href += "?" + v.Encode()
		}
	}
	return items
}

// filled returns p with what all pages show.
func (e *explorer) filled(p page) page {
	now := e.Now()
	if e.Faults != nil {
		p.Faults = slices.DeleteFunc(slices.Clone(e.Faults()), func(name string) bool {
			p.Quest = p.Quest || name == fault.Quest
			return name == fault.Quest
		})
	}
	p.HasSenders, p.HasQuests = e.Senders != nil, e.Quests != nil
	p.FrontendURL, p.Version, p.Zone, p.Now = e.FrontendURL, e.Version, now.Format("MST"), now.Format("15:04:05")
	return p
}

func (e *explorer) render(w http.ResponseWriter, status int, name string, p page) {
	e.write(w, status, func(b *bytes.Buffer) error { return e.pages[name].Execute(b, e.filled(p)) })
}

// part renders a template of a page alone, for a page that replaces it in itself.
func (e *explorer) part(w http.ResponseWriter, name, part string, data any) {
	e.write(w, http.StatusOK, func(b *bytes.Buffer) error { return e.pages[name].ExecuteTemplate(b, part, data) })
}

func (e *explorer) write(w http.ResponseWriter, status int, make func(*bytes.Buffer) error) {
	var b bytes.Buffer
	if err := make(&b); err != nil {
		http.Error(w, "making this page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	web.Page(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(web.Links(e.BasePath, b.Bytes())) // client gone; nothing to do
}

func (e *explorer) message(w http.ResponseWriter, status int, title, text string) {
	e.render(w, status, "message", page{Title: title, Data: struct{ Title, Text string }{title, text}})
}

// failure is a backend's error as the pages show it.
type failure struct {
	Title, Message, Hint, URL string
	Server                    string // "" if none is at fault
	Rejected                  bool   // the query is at fault, not the backend
	Unreachable               bool   // there was no answer
	Busy                      bool   // the explorer is at fault, for the moment
}

func newFailure(err error) *failure {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*query.MeterError](err); ok {
		f := &failure{Title: "This page takes too much memory", Message: refused.Reason, Busy: refused.Busy}
		if f.Busy {
			f.Title = "The explorer is busy"
		}
		return f
	}
	qe, ok := errors.AsType[*query.Error](err)
	if !ok {
		return &failure{Title: "This could not be read", Message: err.Error()}
	}
	f := &failure{Message: qe.Message, Hint: qe.Hint, URL: qe.URL, Server: qe.Server}
	switch {
	case qe.Unreachable():
		f.Title = qe.Server + " cannot be reached"
		// If the server does not respond, the query does not matter.
		f.URL, _, _ = strings.Cut(f.URL, "?")
		f.Unreachable = true
	case qe.Status == 0:
		f.Title = qe.Server + " gave an answer that makes no sense"
	case qe.Status == http.StatusBadRequest || qe.Status == http.StatusUnprocessableEntity:
		f.Title, f.Rejected = qe.Server+" does not accept this query", true
	default:
		f.Title = fmt.Sprintf("%s answered %d %s", qe.Server, qe.Status, http.StatusText(qe.Status))
	}
	return f
}

// status returns the status of a page whose main query failed like this.
func (f *failure) status() int {
	switch {
	case f == nil:
		return http.StatusOK
	case f.Rejected:
		return http.StatusBadRequest
	case f.Busy:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

// inParallel runs all functions, at most six at a time, and waits: a page asks
// its backends several things, but should not swamp them. A panic in one of them
// becomes the caller's, where the server ends the request; in a goroutine of its
// own it would end the process.
func inParallel(fs ...func()) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 6)
	panics := make(chan any, len(fs))
	for _, f := range fs {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() {
				if p := recover(); p != nil {
					panics <- fmt.Sprintf("%v\n\n%s", p, debug.Stack())
				}
				<-slots
			}()
			f()
		})
	}
	wg.Wait()
	select {
	case p := <-panics:
		panic(p)
	default:
	}
}

// dieClass returns the class that colours a die.
func dieClass(die string) string {
	switch die {
	case contract.DieFair:
		return "c-fair"
	case contract.DieRisky:
		return "c-risky"
	}
	return "c-other"
}

// trimmed returns a form value without the space around it.
func trimmed(r *http.Request, key string) string { return strings.TrimSpace(r.URL.Query().Get(key)) }

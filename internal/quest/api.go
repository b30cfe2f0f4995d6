package quest

import (
	"errors"
	"net/http"
	"strings"

	"dicelab/internal/web"
)

// Path is the path of the API, below the address of the explorer.
const Path = "/api/quests"

// TokenFile is the file of the data directory that has the token of the API.
const TokenFile = "control-token"

// ReportHTML is the media type for which the reports are a page.
const ReportHTML = "text/html"

// API serves the quests to programs: GET [Path] is the [View], POST Path/ACTION performs an
// action of [Engine.Do] and answers with the View, GET Path/report has the journals of the
// quests that have ended. Each takes the token, which no page knows.
func (e *Engine) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, _ *http.Request) { e.respond(w, nil) })
	mux.HandleFunc("POST "+Path+"/{action}", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			web.Fail(w, web.BadForm(err))
			return
		}
		e.respond(w, e.Do(r.Context(), r.PathValue("action"), r.PostForm))
	})
	mux.HandleFunc("GET "+Path+"/report", e.ServeReport)
	return web.RequireToken(e.Token, web.Unmatched(mux))
}

// maxForm bounds the answers, in bytes.
const maxForm = 64 << 10

func (e *Engine) respond(w http.ResponseWriter, err error) {
	v, viewErr := e.View()
	if err = errors.Join(err, viewErr); err != nil {
		web.Fail(w, problemOf(err))
		return
	}
	web.Respond(w, http.StatusOK, "application/json", v)
}

// problemOf returns the problem of an action: 409 if the learner can mend it, else 502,
// because a server of the lab did not do its part.
func problemOf(err error) *web.Problem {
	if refused, ok := errors.AsType[*UserError](err); ok {
		return &web.Problem{Status: http.StatusConflict, Detail: refused.Error()}
	}
	return &web.Problem{Status: http.StatusBadGateway, Detail: err.Error(), Cause: err}
}

// ServeReport answers with the reports of the quests that have ended: as a page if the path
// ends in .html or the header Accept is text/html, else as JSON.
func (e *Engine) ServeReport(w http.ResponseWriter, r *http.Request) {
	list, err := Journals(e.Dir)
	if err != nil {
		web.Fail(w, problemOf(err))
		return
	}
	if r.Header.Get("Accept") != ReportHTML && !strings.HasSuffix(r.URL.Path, ".html") {
		web.Respond(w, http.StatusOK, "application/json", reports(list))
		return
	}
	page, err := ReportPage(list)
	if err != nil {
		web.Fail(w, problemOf(err))
		return
	}
	w.Header().Set("Content-Type", web.HTML)
	w.Header().Set("Content-Security-Policy", reportPolicy)
	_, _ = w.Write(page) // client gone; nothing to do
}

// reportPolicy lets the page use its own style sheet, which is part of it, and nothing else.
const reportPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

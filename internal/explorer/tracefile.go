package explorer

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"

	"dicelab/internal/web"
)

// offlineView is a page that is a file by itself: with its style sheets, without a script, and
// without any address.
type offlineView struct {
	traceView
	CSS     template.CSS
	Made    string
	Version string
	All     []spanLine // log lines
	Cut     bool       // there are more
}

// traceHTML sends a trace to be saved as a page with its waterfall and its log lines.
func (e *explorer) traceHTML(w http.ResponseWriter, r *http.Request) {
	id, ok := e.savedID(w, r)
	if !ok {
		return
	}
	t, err := e.Tempo.Trace(r.Context(), id)
	if err != nil {
		e.notSaved(w, err, "")
		return
	}
	ask := askOf(id, url.Values{}, false)
	ask.offline = true
	v := offlineView{traceView: e.traceView(r.Context(), t, ask, url.Values{}, nil), Version: e.Version,
		Made: e.Now().Format("2 Jan 2006, 15:04:05 MST")}
	for _, sheet := range [][]byte{web.ThemeCSS, e.css["explorer.css"], e.css["trace.css"]} {
		v.CSS += template.CSS(sheet) // files of this program
	}
	for _, l := range v.lines {
		v.All = append(v.All, e.spanLine(l, v.start))
	}
	v.Cut = len(v.All) == maxLines
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="trace-%s.html"`, id))
	e.write(w, http.StatusOK, func(b *bytes.Buffer) error {
		return e.pages["offline"].ExecuteTemplate(b, "offline",
			v)
	})
}

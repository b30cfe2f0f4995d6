package quest

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"time"

	"dicelab/internal/web"
)

//go:embed report.html
var files embed.FS

// Latest returns the journal of the quest that is under way, or of the last one; false if
// there is none.
func (e *Engine) Latest() (Journal, bool) {
	if r := e.current(); r != nil {
		return r.journal.copy(), true
	}
	return Journal{}, false
}

// reports returns the journals as reports have them, without the rolls, which may be
// thousands.
func reports(list []Journal) []Journal {
	for i := range list {
		list[i].Rolls = nil
	}
	return list
}

// ReportPage returns the report of quests that have ended as one HTML page that needs no
// other file.
func ReportPage(list []Journal) ([]byte, error) {
	page, err := template.New("report.html").Funcs(template.FuncMap{
		"took":  func(j Journal) time.Duration { return j.Ended.Sub(j.Began).Round(time.Second) },
		"fault": func(in *Incident) string { return in.Fault() },
		"clock": func(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") },
	}).ParseFS(files, "report.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the report: %w", err)
	}
	var b bytes.Buffer
	err = page.Execute(&b, struct {
		Style    template.CSS
		Journals []Journal
	}{template.CSS(web.ThemeCSS), reports(list)}) // a file of this program
	if err != nil {
		return nil, fmt.Errorf("making the report: %w", err)
	}
	return b.Bytes(), nil
}

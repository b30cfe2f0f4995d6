package explorer

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
	"dicelab/internal/web"
)

// Bounds of the named moments that the explorer keeps in memory, for all who use it.
const (
	maxMarks    = 20
	maxMarkName = 40      // bytes
	maxMarkForm = 8 << 10 // bytes of the form that sets one
)

// mark is a moment with a name.
type mark struct {
	Name string
	At   time.Time
}

// marks keeps the last moments that were marked. It may be used by several goroutines.
type marks struct {
	mu   sync.Mutex
	list []mark // the newest first
}

func (m *marks) all() []mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

// add keeps a moment. The oldest is dropped if there are too many.
func (m *marks) add(name string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.Insert(m.list, 0, mark{name, at})
	m.list = m.list[:min(len(m.list), maxMarks)]
}

// remove forgets the moment at.
func (m *marks) remove(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, func(one mark) bool { return one.At.Equal(at) })
}

// setMark answers the form "Mark now", and the one that removes a mark.
func (e *explorer) setMark(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxMarkForm)
	if err := r.ParseForm(); err != nil {
		e.message(w, http.StatusBadRequest, "This moment could not be marked", err.Error())
		return
	}
	if text := r.PostForm.Get("remove"); text != "" {
		at, err := parseTime(text, time.UTC)
		if err != nil {
			e.message(w, http.StatusBadRequest, "This mark could not be removed", err.Error())
			return
		}
		e.marks.remove(at)
	} else {
		now := e.Now()
		name := strings.Join(strings.Fields(query.Clip(strings.ToValidUTF8(r.PostForm.Get("name"), "�"), maxMarkName)), " ")
		if name == "" {
			name = "mark " + now.Format("15:04:05")
		}
		e.marks.add(name, now)
	}
	back := r.PostForm.Get("back")
	if !web.LocalPath(back) {
		back = "/"
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

// moments returns the marks as charts show them.
func (e *explorer) moments() (out []chart.Moment) {
	for _, m := range e.marks.all() {
		out = append(out, chart.Moment{Time: m.At, Name: m.Name})
	}
	return out
}

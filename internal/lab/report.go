package lab

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/mattn/go-isatty"

	"dicelab/internal/lab/child"
	"dicelab/internal/terminal"
)

// Report prints what the lab does, one line a fact, in columns. It may be used from several
// goroutines. Colour marks states and never carries meaning alone.
type Report struct {
	*terminal.Printer

	mu    sync.Mutex
	width int // of the widest part's name, in characters
}

// Link is something to open when the lab is up.
type Link struct{ Label, URL string }

// NewReport returns a report to out, which is to write bytes as they come; with
// colour for a terminal.
func NewReport(out io.Writer, colour bool) *Report {
	return &Report{Printer: terminal.NewPrinter(out, colour)}
}

// Colour reports whether f is a terminal on which colour is welcome: the environment variable
// NO_COLOR (no-color.org) is empty, TERM is not "dumb".
func Colour(f *os.File, getenv func(string) string) bool {
	return isatty.IsTerminal(f.Fd()) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// Title prints the program's version and the data directory.
func (r *Report) Title(version, dir string) {
	r.Line("%s  data %s", r.Paint(terminal.Bold, "dicelab "+version), dir)
}

// Links lists what to open, aligned.
func (r *Report) Links(links ...Link) {
	width := 0
	for _, l := range links {
		width = max(width, utf8.RuneCountInString(l.Label))
	}
	for _, l := range links {
		r.Line("%s  %s", pad(l.Label+":", width+1), r.Paint(terminal.Bold, l.URL))
	}
}

// Children returns a function that prints the starts and ends of children, to be passed as
// child.Config.Notify. A child's first readiness is printed with the part that it belongs to, so
// the function prints only what follows an end.
func (r *Report) Children() func(child.Event) {
	var mu sync.Mutex
	ended := map[string]bool{}
	return func(e child.Event) {
		mu.Lock()
		news := !e.Ready || ended[e.Name]
		ended[e.Name] = !e.Ready
		mu.Unlock()
		switch {
		case !e.Ready:
			r.Line("%s %s (%v); restarting in %s", e.Name, r.Paint(terminal.Red, "ended"), e.Err, Duration(e.RestartIn))
		case news:
			r.Line("%s %s again (pid %d)", e.Name, r.Paint(terminal.Green, "ready"), e.Pid)
		}
	}
}

// Note prints one remark.
func (r *Report) Note(text string) { r.Line("%s", text) }

// begin learns the names, so that columns stay the same from the first line on.
func (r *Report) begin(parts []Part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range parts {
		r.width = max(r.width, utf8.RuneCountInString(p.Name))
	}
}

func (r *Report) ready(p Part, took time.Duration) {
	r.part(p, terminal.Green, "ready", Duration(took), p.URL)
}
func (r *Report) stopped(p Part, took time.Duration) {
	r.part(p, terminal.Plain, "stopped", Duration(took), "")
}
func (r *Report) failed(p Part) { r.part(p, terminal.Red, "failed", "", "") }

func (r *Report) part(p Part, style terminal.Style, state, took, url string) {
	const stateWidth, tookWidth = 7, 7 // "stopped", "1234 ms"
	r.Line("  %s  %s  %*s  %s", pad(p.Name, r.width), r.Paint(style, pad(state, stateWidth)), tookWidth, took, url)
}

func (r *Report) opened(took time.Duration) { r.Line("Ready in %s.", Duration(took)) }

func (r *Report) howToStop() { r.Line("Ctrl-C stops; again kills.") }

func (r *Report) stopping(err error) {
	if err != nil {
		r.Line("Stopping, because something failed.")
		return
	}
	r.Line("Stopping; Ctrl-C kills.")
}

// pad fills text with spaces up to width characters.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// Duration writes a duration as a person reads it: "12 ms", "1.25 s"; what is
// shorter than a millisecond is "<1 ms".
func Duration(d time.Duration) string {
	switch {
	case d <= 0:
		return "0 ms"
	case d < time.Millisecond:
		return "<1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

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
)

// Report tells a person what the lab does, one line a fact, in columns. It may
// be used from several goroutines. Colour marks states and never carries
// meaning alone.
type Report struct {
	out    io.Writer
	colour bool

	mu    sync.Mutex
	width int // of the widest part's name, in characters
	err   error
}

// Link is something to open when the lab is up.
type Link struct{ Label, URL string }

// NewReport writes to out; with colour for a terminal.
func NewReport(out io.Writer, colour bool) *Report { return &Report{out: out, colour: colour} }

// Colour tells whether f is a terminal on which colour is welcome: the
// environment variable NO_COLOR (no-color.org) is empty, TERM is not "dumb".
func Colour(f *os.File, getenv func(string) string) bool {
	return isatty.IsTerminal(f.Fd()) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// Title says what starts: the program's version and the data directory.
func (r *Report) Title(version, dir string) {
	r.line("%s  data %s", r.paint(bold, "dicelab "+version), dir)
}

// Links lists what to open, aligned.
func (r *Report) Links(links ...Link) {
	width := 0
	for _, l := range links {
		width = max(width, utf8.RuneCountInString(l.Label))
	}
	for _, l := range links {
		r.line("%s  %s", pad(l.Label+":", width+1), r.paint(bold, l.URL))
	}
}

// Children returns what tells the changes in the lives of children, to be
// passed as child.Config.Notify. The first readiness of a child is told with
// the part it belongs to, so only what follows an end is news.
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
			r.line("%s %s (%v); restarting in %s", e.Name, r.paint(red, "ended"), e.Err, Duration(e.RestartIn))
		case news:
			r.line("%s %s again (pid %d)", e.Name, r.paint(green, "ready"), e.Pid)
		}
	}
}

// Note says one thing that has no line of its own.
func (r *Report) Note(text string) { r.line("%s", text) }

// Err is the first failure to write; after one the report is silent.
func (r *Report) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return fmt.Errorf("writing the report: %w", r.err)
	}
	return nil
}

// begin learns the names, so that columns stay the same from the first line on.
func (r *Report) begin(parts []Part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range parts {
		r.width = max(r.width, utf8.RuneCountInString(p.Name))
	}
}

func (r *Report) ready(p Part, took time.Duration)   { r.part(p, green, "ready", Duration(took), p.URL) }
func (r *Report) stopped(p Part, took time.Duration) { r.part(p, "", "stopped", Duration(took), "") }
func (r *Report) failed(p Part)                      { r.part(p, red, "failed", "", "") }

func (r *Report) part(p Part, colour, state, took, url string) {
	const stateWidth, tookWidth = 7, 7 // "stopped", "1234 ms"
	r.line("  %s  %s  %*s  %s", pad(p.Name, r.width), r.paint(colour, pad(state, stateWidth)), tookWidth, took, url)
}

func (r *Report) opened(took time.Duration) { r.line("Ready in %s.", Duration(took)) }

func (r *Report) howToStop() { r.line("Ctrl-C stops; again kills.") }

func (r *Report) stopping(err error) {
	if err != nil {
		r.line("Stopping, because something failed.")
		return
	}
	r.line("Stopping; Ctrl-C kills.")
}

func (r *Report) line(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		_, r.err = io.WriteString(r.out, strings.TrimRight(fmt.Sprintf(format, args...), " ")+"\n")
	}
}

// ECMA-48 SGR sequences.
const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	reset = "\x1b[0m"
)

func (r *Report) paint(colour, text string) string {
	if !r.colour || colour == "" {
		return text
	}
	return colour + text + reset
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

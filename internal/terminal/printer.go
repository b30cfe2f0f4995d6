package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// Style is the look of a part of a line: a sequence of ECMA-48 (SGR), or "".
type Style string

// The styles in use.
const (
	Plain Style = ""
	Bold  Style = "\x1b[1m"
	Dim   Style = "\x1b[2m"
	Red   Style = "\x1b[31m"
	Green Style = "\x1b[32m"

	reset = "\x1b[0m"
)

// Painted is text that is clean and has its style.
type Painted string

// Printer prints lines. It is safe for concurrent use.
type Printer struct {
	out    io.Writer
	colour bool

	mu  sync.Mutex
	err error
}

// NewPrinter returns a printer to out, which is to write bytes as they come
// (Output.Raw); the printer cleans what it is given. Without colour it leaves
// styles out.
func NewPrinter(out io.Writer, colour bool) *Printer { return &Printer{out: out, colour: colour} }

// Paint returns text in a style.
func (p *Printer) Paint(style Style, text string) Painted {
	if text = Line(text); p.colour && style != Plain {
		text = string(style) + text + reset
	}
	return Painted(text)
}

// Line prints a line, without spaces at its end: format with its arguments, which
// are cleaned as Sprintf does.
func (p *Printer) Line(format string, args ...any) {
	line := strings.TrimRight(Sprintf(format, args...), " ") + "\n"
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		_, p.err = io.WriteString(p.out, line)
	}
}

// Err returns the first failure to write; after one the printer is silent.
func (p *Printer) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("writing the report: %w", p.err)
	}
	return nil
}

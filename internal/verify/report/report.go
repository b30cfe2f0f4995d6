// Package report writes the checklist as it is filled in: for people, as groups of
// lines with one line a check and a summary; for programs, as JSON or as JUnit's XML.
package report

import (
	"fmt"
	"io"
	"strings"

	"dicelab/internal/checklist"
)

// Writer writes one run.
type Writer interface {
	Begin(checklist.Start)
	Result(checklist.Result)
	End(checklist.Report) error // the first error of writing
}

// The formats.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatJUnit = "junit"
)

// Formats lists the formats, the usual one first.
func Formats() []string { return []string{formatText, formatJSON, formatJUnit} }

// Options say how a report in text looks.
type Options struct {
	Colour  bool // for a terminal
	Verbose bool // with the requests and answers of every check
	Version string
}

// Output takes a report.
type Output interface {
	io.Writer       // control characters are made visible
	Raw() io.Writer // bytes are written as they come
}

// New returns a writer of a format.
func New(format string, out Output, o Options) (Writer, error) {
	switch format {
	case formatText:
		return newText(out.Raw(), o), nil
	case formatJSON:
		return atEnd(func(r checklist.Report) error { return r.WriteJSON(out) }), nil
	case formatJUnit:
		return atEnd(func(r checklist.Report) error { return writeJUnit(out, r) }), nil
	}
	return nil, fmt.Errorf("there is no format %q: choose %s", format, strings.Join(Formats(), ", "))
}

// atEnd is a writer that writes the whole report at the end.
type atEnd func(checklist.Report) error

func (atEnd) Begin(checklist.Start)          {}
func (atEnd) Result(checklist.Result)        {}
func (w atEnd) End(r checklist.Report) error { return w(r) }

// document is the file whose sections say what failures mean.
const document = "docs/troubleshooting.md"

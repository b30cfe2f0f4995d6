package logql

import (
	"cmp"
	"context"

	"dicelab/internal/embedded/pattern"
)

// Pipeline holds the stages of a query: filters and parsers, in order.
// It is immutable and may be used by several goroutines.
type Pipeline struct {
	stages []stageFunc
	// required are filters that match each line that passes, and complete reports
	// whether they are all of the stages.
	required []Filter
	complete bool
}

// stageFunc handles one line and reports whether it stays.
type stageFunc func(*entry) bool

// entry is a line on its way through the pipeline.
type entry struct {
	Labels
	ctx        context.Context
	ended      error // error of ctx, if a stage has noticed it
	text       string
	err        string // value of LabelError, "" if there was no error
	errDetails string
}

// Process runs a line through the pipeline and returns its labels, or false if
// the line is filtered out. The maps are not changed; the result may share them.
// A stage that cannot handle a line keeps it and sets LabelError on it. If ctx ends
// first, Process returns the error of ctx.
func (p Pipeline) Process(ctx context.Context, stream, metadata map[string]string, text string) (Labels, bool, error) {
	e := entry{Labels: withMetadata(stream, metadata), ctx: ctx, ended: ctx.Err(), text: text}
	for _, stage := range p.stages {
		stays := stage(&e)
		if e.ended != nil {
			return Labels{}, false, e.ended
		}
		if !stays {
			return Labels{}, false, nil
		}
	}
	if e.err != "" {
		e.parsed(LabelError, e.err)
	}
	if e.errDetails != "" {
		e.parsed(LabelErrorDetails, e.errDetails)
	}
	return e.Labels, true, e.ended
}

// parsed sets a label that was extracted from the text.
func (e *entry) parsed(name, value string) {
	if e.Parsed == nil {
		e.Parsed = make(map[string]string)
	}
	e.Parsed[name] = value
}

// fail notes that a stage could not handle the line. The first failure stays:
// later ones follow from it.
func (e *entry) fail(kind, details string) {
	if e.err == "" {
		e.err, e.errDetails = kind, details
	}
}

// match reports whether a text matches; if the context ends first, it does not.
func (e *entry) match(p *pattern.Pattern, text string) bool {
	matches, err := p.Match(e.ctx, text)
	e.ended = cmp.Or(e.ended, err)
	return matches
}

// value returns the value that a filter on text compares. Filters see LabelError, too,
// although it is set last.
func (e *entry) value(name string) string {
	if name == LabelError {
		return e.err
	}
	value, _ := e.get(name)
	return value
}

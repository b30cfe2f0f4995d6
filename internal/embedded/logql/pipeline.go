package logql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dicelab/internal/embedded/pattern"
)

// Pipeline holds the stages of a query: filters, parsers and formatters, in order.
// It is immutable and may be used by several goroutines.
type Pipeline struct {
	stages []stageFunc
	needs  *needs
	// required are filters that match each line that passes, and complete reports
	// whether they are all of the stages.
	required []Filter
	complete bool
}

// stageFunc handles one line and reports whether it stays.
type stageFunc func(*entry) bool

// needs are the labels that a metric query needs of its lines. Parsers extract no others,
// as in Loki: a line whose rest is broken counts if they have been found.
type needs struct {
	all    bool // every label
	names  []string
	errors bool // the query asks for LabelError, so that lines with errors count
}

// Bounds of what is extracted from one line: parsing JSON reads an object once for each
// level around it, and a name contains the names of all objects around it.
const (
	MaxExtractedLabels = 1_000     // labels
	MaxExtracted       = 512 << 10 // bytes of names and values: twice the longest line
)

// The errors of a line that exceeds a bound. Labels that were extracted before stay.
var (
	errManyLabels = fmt.Errorf("the line has more than %d fields", MaxExtractedLabels)
	errExtracted  = fmt.Errorf("the fields of the line, with the names of the objects around each, have more than %d bytes", MaxExtracted)
	// errEnough means that all labels that are needed have been extracted.
	errEnough = errors.New("all labels that are needed have been extracted")
)

// Input is a line as it was stored.
type Input struct {
	Stream, Metadata map[string]string // not changed
	Time             int64             // nanoseconds since 1970
	Text             string
}

// Output is a line that has passed a pipeline. Its maps may be those of the input.
type Output struct {
	Labels
	Text  string
	Value float64 // of the label that is unwrapped, if the query has one
	// tolerated reports that a metric query counts the line although it has an error.
	tolerated bool
}

// entry is a line on its way through the pipeline.
type entry struct {
	Output
	input      Input
	ctx        context.Context
	ended      error // error of ctx, if a stage has noticed it
	needs      *needs
	err        string // value of LabelError, "" if there was no error
	errDetails string
	changed    bool            // labels were removed or changed
	removed    map[string]bool // labels that were extracted and removed: they are not extracted again
	size       int             // bytes of names and values that were extracted
	// paths are the paths of labels in JSON, if they are wanted, and path is that of the
	// field that is being extracted.
	paths map[string][]string
	path  []string
}

// Process runs a line through the pipeline and returns it, or false if the line is
// filtered out. A stage that cannot handle a line keeps it and sets LabelError on it. If
// ctx ends first, Process returns the error of ctx.
func (p Pipeline) Process(ctx context.Context, in Input) (Output, bool, error) {
	e := entry{input: in, ctx: ctx, ended: ctx.Err(), needs: p.needs}
	e.Labels, e.Text = withMetadata(in.Stream, in.Metadata), in.Text
	for _, stage := range p.stages {
		stays := stage(&e)
		if e.ended != nil {
			return Output{}, false, e.ended
		}
		if !stays {
			return Output{}, false, nil
		}
	}
	e.addErrors()
	return e.Output, true, e.ended
}

// ParseLine returns the labels that a parser, "json" or "logfmt", extracts from a line, and
// for JSON the paths of their fields. The labels are nil if the line cannot be parsed.
func ParseLine(ctx context.Context, in Input, parser string) (labels map[string]string, paths map[string][]string, err error) {
	e := entry{input: in, ctx: ctx, ended: ctx.Err(), needs: &needs{all: true}, paths: map[string][]string{}}
	e.Stream, e.Text = in.Stream, in.Text
	if parser == "json" {
		parseJSON(&e)
	} else {
		parseLogfmt(&e)
	}
	if e.err != "" || e.ended != nil {
		return nil, nil, e.ended
	}
	return e.Parsed, e.paths, nil
}

// addErrors sets the labels of an error. Details without an error, which drop can leave
// behind, are shown only beside other changes, as in Loki.
func (e *entry) addErrors() {
	if e.err != "" {
		e.setParsed(LabelError, e.err)
	}
	if e.errDetails != "" && (e.err != "" || e.changed || len(e.Metadata)+len(e.Parsed) > 0) {
		e.setParsed(LabelErrorDetails, e.errDetails)
	}
}

func (e *entry) setParsed(name, value string) {
	if e.Parsed == nil {
		e.Parsed = make(map[string]string)
	}
	e.Parsed[name] = value
}

// set sets a label as one that was extracted from the text, in place of any other of that name.
func (e *entry) set(name, value string) {
	e.Stream = e.without(e.Stream, name)
	e.Metadata = e.without(e.Metadata, name)
	e.setParsed(name, value)
}

// remove removes a label.
func (e *entry) remove(name string) {
	e.Stream = e.without(e.Stream, name)
	e.Metadata = e.without(e.Metadata, name)
	if _, ok := e.Parsed[name]; ok {
		if e.removed == nil {
			e.removed = make(map[string]bool)
		}
		e.removed[name] = true
		delete(e.Parsed, name)
	}
}

// without returns labels without one. The map of a stream or of metadata may be shared
// with other lines, so it is copied.
func (e *entry) without(labels map[string]string, name string) map[string]string {
	if _, ok := labels[name]; !ok {
		return labels
	}
	e.changed = true
	labels = maps.Clone(labels)
	delete(labels, name)
	return labels
}

// extract sets a label that a parser has found, under a name that is free. If two
// fields have one name, the first stays. Its error ends the parser.
func (e *entry) extract(name, value string) error {
	if name == "" {
		return nil
	}
	if e.taken(name) {
		name += extractedSuffix
	}
	if _, again := e.Parsed[name]; again || e.removed[name] || !e.needs.want(name) {
		return nil
	}
	if len(e.Parsed) == MaxExtractedLabels {
		return errManyLabels
	}
	if e.size += len(value); e.size > MaxExtracted {
		return errExtracted
	}
	e.set(name, value)
	if e.paths != nil {
		e.paths[name] = e.path
	}
	if e.enough() {
		return errEnough
	}
	return nil
}

// taken reports whether the stream, as it was stored, or the metadata has a label.
func (e *entry) taken(name string) bool {
	_, inStream := e.input.Stream[name]
	_, inMetadata := e.Metadata[name]
	return inStream || inMetadata
}

// want reports whether a label is needed.
func (n *needs) want(name string) bool { return n.all || slices.Contains(n.names, name) }

// enough reports whether all labels that are needed have been extracted.
func (e *entry) enough() bool {
	return !e.needs.all && !slices.ContainsFunc(e.needs.names, func(name string) bool {
		_, ok := e.Parsed[name]
		return !ok && !e.removed[name]
	})
}

// addNames adds names, and those without the suffix, under which parsers find them.
func (n *needs) addNames(names ...string) {
	for _, name := range names {
		n.names = append(n.names, name)
		if plain, ok := strings.CutSuffix(name, extractedSuffix); ok {
			n.names = append(n.names, plain)
		}
		n.errors = n.errors || name == LabelError
	}
}

// parsed notes the error of a parser, if it has one.
func (e *entry) parsed(kind string, err error) {
	if err == nil || errors.Is(err, errEnough) {
		return
	}
	e.err, e.errDetails = kind, err.Error()
	e.tolerated = e.tolerated || e.needs.errors
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

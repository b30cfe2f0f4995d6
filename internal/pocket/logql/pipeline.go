package logql

// Pipeline is what a query does with each line: filters and parsers, in order.
// It is immutable and may be used by several goroutines.
type Pipeline struct {
	stages []stageFunc
	// equal are conditions on structured metadata that every line has to fulfil.
	equal map[string]string
}

// stageFunc handles one line and tells whether it stays.
type stageFunc func(*entry) bool

// entry is a line on its way through the pipeline.
type entry struct {
	Labels
	text       string
	err        string // value of LabelError, "" when there was none
	errDetails string
}

// Process runs a line through the pipeline and gives its labels, or false when
// the line is filtered out. The maps are not changed; the result may share them.
// A stage that cannot handle a line keeps it and sets LabelError on it.
func (p Pipeline) Process(stream, metadata map[string]string, text string) (Labels, bool) {
	e := entry{Labels: withMetadata(stream, metadata), text: text}
	for _, stage := range p.stages {
		if !stage(&e) {
			return Labels{}, false
		}
	}
	if e.err != "" {
		e.parsed(LabelError, e.err)
	}
	if e.errDetails != "" {
		e.parsed(LabelErrorDetails, e.errDetails)
	}
	return e.Labels, true
}

// MetadataEquals are the conditions name="value" that a line's structured
// metadata has to fulfil to come through, for a store that has an index on them:
// those of label filters before any parser, outside any "or". They hold for
// streams that have no label of that name; for others, whose label the filter
// means, they say nothing.
func (p Pipeline) MetadataEquals() map[string]string { return p.equal }

// parsed sets a label that came out of the text.
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

// value is what a filter on text compares. LabelError can be filtered on,
// although it is set last.
func (e *entry) value(name string) string {
	if name == LabelError {
		return e.err
	}
	value, _ := e.get(name)
	return value
}

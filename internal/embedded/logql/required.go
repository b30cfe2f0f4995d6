package logql

import (
	"slices"
	"strings"
	"unicode/utf8"

	"dicelab/internal/embedded/pattern"
)

// Filter is a condition on a line, in a form that a store can search for.
type Filter struct {
	Label  string   // name of the label that is compared; "" means the text of the line
	Op     string   // for a text |=, != or |~; for a label =, != or =~
	Values []string // |= and |~ match if one of them is found, != if none is; one for a label
}

// Required returns filters that match every line that passes the pipeline. It reports
// whether they are all of the pipeline: then every line that they match passes, with no
// label but those of its stream and its metadata.
//
// A filter on a label means structured metadata. It does not apply to lines of a stream
// that has a label of that name.
func (p Pipeline) Required() (filters []Filter, all bool) { return p.required, p.complete }

// Counted returns the names of the metadata by which a range aggregation groups lines; nil
// means all metadata. ok reports whether the filters that Required returns decide
// everything else, so that a store can count the lines.
func (r *Range) Counted() (metadata []string, ok bool) {
	switch {
	case !r.Pipeline.complete || r.reduce != nil:
		return nil, false
	case r.grouping == nil || r.grouping.without:
		return nil, true
	}
	metadata = []string{}
	for _, name := range r.grouping.names {
		metadata = append(metadata, name, strings.TrimSuffix(name, extractedSuffix))
	}
	return metadata, true
}

// neutral reports whether a stage passes all lines and changes neither text nor labels.
func (s *stage) neutral() bool {
	onlyErrors := len(s.Drop) > 0
	for _, n := range s.Drop {
		onlyErrors = onlyErrors && strings.HasPrefix(n.Name, "__error_")
	}
	return onlyErrors
}

// changesText reports whether stages behind it see another text than the store's.
func (s *stage) changesText() bool { return s.Unpack || s.Color || s.Format != nil }

// require adds what the stages require of lines. A parser or a formatter may set labels:
// filters on these are not required of metadata.
func (p *Pipeline) require(stages []*stage) {
	text, labels := true, true
	for _, s := range stages {
		switch {
		case s.Line != nil && text:
			p.requireText(s.Line)
		case s.Filter != nil && labels:
			p.requireLabels(s.Filter)
		case s.neutral():
		default:
			p.complete = false
			labels = false
		}
		text = text && !s.changesText()
	}
}

func (p *Pipeline) requireText(f *lineFilter) {
	filter := Filter{Op: f.Op}
	searchable := f.Op == "|=" || f.Op == "!=" || f.Op == "|~"
	for _, v := range f.Values {
		if v.IP != nil {
			searchable = false
			continue
		}
		text, err := v.Text.text()
		// An index of words has no parts of characters.
		searchable = searchable && err == nil && text != "" && utf8.ValidString(text) && (f.Op != "|~" || cheap(text, pattern.Part))
		filter.Values = append(filter.Values, text)
	}
	p.complete = p.complete && (searchable && f.Op != "|~" || f.always())
	if searchable {
		p.required = append(p.required, filter)
	}
}

// always reports whether every line passes a filter: one for the empty text, which
// Grafana adds to each query.
func (f *lineFilter) always() bool {
	if f.Op != "|=" && f.Op != "|~" {
		return false
	}
	for _, v := range f.Values {
		if v.Text != nil && len(v.Text.Raw) == 2 {
			return true
		}
	}
	return false
}

func (p *Pipeline) requireLabels(f *orFilter) {
	if len(f.Terms) != 1 {
		p.complete = false
		return
	}
	for _, t := range f.Terms[0].Terms {
		if t.Paren != nil {
			p.requireLabels(t.Paren)
		} else {
			p.requireLabel(t.Cond)
		}
		if t.Rest != nil {
			p.requireLabels(t.Rest)
		}
	}
}

func (p *Pipeline) requireLabel(c *condition) {
	if c.Value.Text == nil || strings.HasPrefix(c.Name, LabelError) || c.Name == LabelErrorDetails || strings.HasSuffix(c.Name, extractedSuffix) {
		p.complete = false
		return
	}
	text, err := c.Value.Text.text()
	exact := slices.Contains([]string{"=", "!="}, c.Op)
	p.complete = p.complete && err == nil && exact
	if err == nil && (exact || c.Op == "=~" && cheap(text, pattern.Whole)) {
		p.required = append(p.required, Filter{c.Name, c.Op, []string{text}})
	}
}

// cheap reports whether an expression is valid and matches quickly.
func cheap(expr string, mode pattern.Mode) bool {
	p, err := new(pattern.Set).Compile(expr, mode)
	return err == nil && p.Cheap()
}

package explorer

import (
	"strings"
	"unicode"

	"dicelab/internal/query"
)

// spanQuery is a search within a trace: a span is found if all terms are in it. A term is a
// text, or a key and a text with = between them.
type spanQuery struct {
	text  string // as it was typed
	terms []term
}

type term struct{ key, text string } // in lower case; key is "" for any

// maxFind limits the text of a search, in bytes.
const maxFind = 500

// parseSpanQuery reads a search. Quotation marks keep spaces within a term.
func parseSpanQuery(text string) spanQuery {
	q := spanQuery{text: query.Clip(strings.TrimSpace(text), maxFind)}
	quoted := false
	words := strings.FieldsFunc(q.text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && unicode.IsSpace(r)
	})
	for _, w := range words {
		t := term{text: strings.ToLower(w)}
		if key, value, ok := strings.Cut(t.text, "="); ok && !strings.Contains(key, `"`) && key != "" {
			t.key, t.text = key, value
		}
		if t.text = strings.ReplaceAll(t.text, `"`, ""); t.text != "" || t.key != "" {
			q.terms = append(q.terms, t)
		}
	}
	return q
}

// findService returns the text of a search for the spans of a service, or, with a name, for those
// of one name.
func findService(service, name string) string {
	quote := func(s string) string {
		if strings.ContainsFunc(s, unicode.IsSpace) {
			return `"` + strings.ReplaceAll(s, `"`, "") + `"`
		}
		return s
	}
	text := "service=" + quote(service)
	if name != "" {
		text += " name=" + quote(name)
	}
	return text
}

// matches reports whether the query finds a span.
func (q spanQuery) matches(n *query.Node) bool {
	for _, t := range q.terms {
		if !t.in(n) {
			return false
		}
	}
	return len(q.terms) > 0
}

// in reports whether a span has the term.
func (t term) in(n *query.Node) bool {
	has := func(text string) bool { return strings.Contains(strings.ToLower(text), t.text) }
	switch t.key {
	case "":
		return has(n.Name) || has(n.Service) || has(n.StatusMessage) || has(n.SpanID) || n.Failed() &&
			has("failed error") || t.inAttributes(n)
	case "name":
		return has(n.Name) || t.inAttributes(n)
	case "service":
		return has(n.Service)
	case "status":
		return has(n.Status) || n.Failed() && has("failed")
	case "kind":
		return has(n.Kind)
	case "span":
		return has(n.SpanID)
	}
	return t.inAttributes(n)
}

// inAttributes reports whether an attribute of the span or of one of its events has the term.
func (t term) inAttributes(n *query.Node) bool {
	in := func(attributes query.Attributes) bool {
		for _, a := range attributes {
			switch {
			case t.key == "" && strings.Contains(strings.ToLower(a.Key), t.text):
				return true
			case t.key != "" && !strings.EqualFold(a.Key, t.key):
			case strings.Contains(strings.ToLower(query.FormatValue(a.Value)), t.text):
				return true
			}
		}
		return false
	}
	if in(n.Attributes) || t.key != "" && in(n.Resource) {
		return true
	}
	for _, e := range n.Events {
		if t.key == "" && strings.Contains(strings.ToLower(e.Name), t.text) || in(e.Attributes) {
			return true
		}
	}
	return false
}

// find returns the spans of a tree that the query finds, in the order of the waterfall.
func (q spanQuery) find(tree *query.Tree) (found []*query.Node) {
	if len(q.terms) == 0 {
		return nil
	}
	tree.Walk(func(n *query.Node) bool {
		if q.matches(n) {
			found = append(found, n)
		}
		return true
	})
	return found
}

// neighbours returns the spans before and after the current one, from the last to the first
// again, and its place from 1 on; 0 if it is not among them. order has the place of each span in
// the waterfall.
func neighbours(found []*query.Node, current *query.Node, order map[*query.Node]int) (before, after *query.Node,
	place int) {
	if len(found) == 0 {
		return nil, nil, 0
	}
	at := -1
	if current != nil {
		at = order[current]
	}
	before, after = found[len(found)-1], found[0]
	for i, n := range found {
		switch {
		case n == current:
			place = i + 1
		case order[n] < at:
			before = n
		}
	}
	for _, n := range found {
		if order[n] > at {
			after = n
			break
		}
	}
	return before, after, place
}

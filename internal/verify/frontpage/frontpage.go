// Package frontpage reads a page of the front end, as it comes over the wire.
package frontpage

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Page has the contents of a page.
type Page struct {
	Title    string
	Form     bool     // there is a form that posts to /roll, with a button
	Dice     []string // the choices of the drop-down
	Sidebar  string   // the text beside the form
	External []string // addresses of other hosts from which the page loads something

	Result  bool   // there is a result
	Value   string // of the die; "" if the roll failed
	Status  string // of the problem; "" if there is none
	Problem string // the problem in words
	TraceID string // as displayed in the section that can be unfolded
	Sent    string // the traceparent that went to the dice roller
	Link    string // to the trace; "" if it is not recorded
}

// Parse reads the HTML of a page.
func Parse(text []byte) (pg Page, err error) {
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		return pg, fmt.Errorf("reading the page: %w", err)
	}
	pg.Title, pg.Sidebar = textOf(find(root, "title")), textOf(find(root, "aside"))
	form := find(root, "form", "method=post", "action=/roll")
	pg.Form = find(form, "button") != nil
	for _, o := range all(find(form, "select", "name=die"), "option") {
		pg.Dice = append(pg.Dice, attr(o, "value"))
	}
	for _, loads := range []string{"link", "script", "img", "iframe"} {
		for _, n := range all(root, loads) {
			for _, name := range []string{"href", "src"} {
				if u, err := url.Parse(attr(n, name)); err != nil || u.Host != "" {
					pg.External = append(pg.External, attr(n, name))
				}
			}
		}
	}
	sections := all(root, "section")
	isResult := func(n *html.Node) bool { return slices.Contains(strings.Fields(attr(n, "class")), "result") }
	i := slices.IndexFunc(sections, isResult)
	if i < 0 {
		return pg, nil
	}
	result := sections[i]
	pg.Result, pg.Status, pg.Link = true, attr(result, "data-status"), attr(result, "data-trace-url")
	if headline := find(result, "h2"); headline != nil && pg.Status != "" {
		pg.Problem = textOf(headline.Parent)
	} else {
		pg.Value = textOf(find(headline, "strong"))
	}
	unfold := find(result, "details")
	pg.Sent = textOf(find(unfold, "pre"))
	for n := range nodes(unfold) {
		if attr(n, "id") == "trace-id" {
			pg.TraceID = textOf(n)
		}
	}
	return pg, nil
}

// nodes returns all elements within n; none if n is nil.
func nodes(n *html.Node) func(func(*html.Node) bool) {
	return func(yield func(*html.Node) bool) {
		if n == nil {
			return
		}
		for d := range n.Descendants() {
			if d.Type == html.ElementNode && !yield(d) {
				return
			}
		}
	}
}

// all returns the elements within n with the name, and with the attributes
// "name=value".
func all(n *html.Node, name string, attributes ...string) (out []*html.Node) {
	for d := range nodes(n) {
		other := slices.ContainsFunc(attributes, func(a string) bool {
			key, value, _ := strings.Cut(a, "=")
			return attr(d, key) != value
		})
		if d.Data == name && !other {
			out = append(out, d)
		}
	}
	return out
}

// find returns the first of all, or nil.
func find(n *html.Node, name string, attributes ...string) *html.Node {
	return append(all(n, name, attributes...), nil)[0]
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf returns the text within n, with single spaces.
func textOf(n *html.Node) string {
	var words []string
	if n != nil {
		for d := range n.Descendants() {
			if d.Type == html.TextNode {
				words = append(words, strings.Fields(d.Data)...)
			}
		}
	}
	return strings.Join(words, " ")
}

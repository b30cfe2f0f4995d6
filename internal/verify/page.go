package verify

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// page is what a reader finds on a page of the front end.
type page struct {
	title    string
	form     bool     // there is a form that posts to /roll, with a button
	dice     []string // what the drop-down offers
	sidebar  string   // the text beside the form
	external []string // what would be loaded from other hosts

	result  bool   // there is a result
	value   string // of the die; "" where the roll failed
	status  string // of the problem; "" where there is none
	problem string // the problem in words
	traceID string // as displayed in the section that can be unfolded
	sent    string // the traceparent that went to the dice roller
	link    string // to the trace; "" where it is not recorded
}

func parsePage(text []byte) (pg page, err error) {
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		return pg, fmt.Errorf("reading the page: %w", err)
	}
	pg.title = textOf(find(root, tag("title")))
	if aside := find(root, tag("aside")); aside != nil {
		pg.sidebar = textOf(aside)
	}
	form := find(root, func(n *html.Node) bool {
		return n.Data == "form" && attr(n, "method") == "post" && attr(n, "action") == "/roll"
	})
	pg.form = form != nil && find(form, tag("button")) != nil
	if form != nil {
		if choice := find(form, func(n *html.Node) bool { return n.Data == "select" && attr(n, "name") == "die" }); choice != nil {
			for _, o := range all(choice, tag("option")) {
				pg.dice = append(pg.dice, attr(o, "value"))
			}
		}
	}
	for _, n := range all(root, func(n *html.Node) bool { return slices.Contains([]string{"link", "script", "img", "iframe"}, n.Data) }) {
		for _, name := range []string{"href", "src"} {
			if u, err := url.Parse(attr(n, name)); err != nil || u.Host != "" {
				pg.external = append(pg.external, attr(n, name))
			}
		}
	}
	if result := find(root, func(n *html.Node) bool {
		return n.Data == "section" && slices.Contains(strings.Fields(attr(n, "class")), "result")
	}); result != nil {
		pg.read(result)
	}
	return pg, nil
}

// read reads the section about a roll.
func (pg *page) read(result *html.Node) {
	pg.result = true
	pg.status, pg.link = attr(result, "data-status"), attr(result, "data-trace-url")
	if headline := find(result, tag("h2")); headline != nil {
		if pg.status == "" {
			pg.value = textOf(find(headline, tag("strong")))
		} else {
			pg.problem = textOf(headline.Parent)
		}
	}
	unfold := find(result, tag("details"))
	if unfold == nil {
		return
	}
	if id := find(unfold, func(n *html.Node) bool { return attr(n, "id") == "trace-id" }); id != nil {
		pg.traceID = textOf(id)
	}
	if sent := find(unfold, tag("pre")); sent != nil {
		pg.sent = textOf(sent)
	}
}

func tag(name string) func(*html.Node) bool {
	return func(n *html.Node) bool { return n.Data == name }
}

// find is the first element within n, n included, that is wanted, or nil.
func find(n *html.Node, wanted func(*html.Node) bool) *html.Node {
	if n == nil {
		return nil
	}
	if n.Type == html.ElementNode && wanted(n) {
		return n
	}
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && wanted(d) {
			return d
		}
	}
	return nil
}

func all(n *html.Node, wanted func(*html.Node) bool) (out []*html.Node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && wanted(d) {
			out = append(out, d)
		}
	}
	return out
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf is the text within n, with single spaces.
func textOf(n *html.Node) string {
	if n == nil {
		return ""
	}
	var words []string
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			words = append(words, strings.Fields(d.Data)...)
		}
	}
	return strings.Join(words, " ")
}

package explorer

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"

	"dicelab/docs"
)

// Links that lead out of the folder docs, and pictures, are not served.
var (
	outside = regexp.MustCompile(`<a href="\.\./[^"]*">(.*?)</a>`)
	picture = regexp.MustCompile(`<img [^>]*>`)
)

// docPage shows a document of the folder docs, with the sections that failed checks
// link to.
func (e *explorer) docPage(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	text, err := docs.Files.ReadFile(name)
	if err != nil {
		e.message(w, http.StatusNotFound, "Nothing here", "There is no document "+name+".")
		return
	}
	markdown := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	var b bytes.Buffer
	if err := markdown.Convert(text, &b); err != nil {
		e.message(w, http.StatusInternalServerError, "The document cannot be shown", err.Error())
		return
	}
	html := picture.ReplaceAllString(outside.ReplaceAllString(b.String(), "$1"), "")
	// The document is part of this program, and goldmark passes no HTML through.
	e.render(w, http.StatusOK, "doc", page{Title: name, Data: template.HTML(html)})
}

// docList lists the documents, each with the first heading in it.
func (e *explorer) docList(w http.ResponseWriter, _ *http.Request) {
	names, err := fs.Glob(docs.Files, "*.md")
	if err != nil {
		e.message(w, http.StatusInternalServerError, "The documents cannot be listed", err.Error())
		return
	}
	var b strings.Builder
	b.WriteString("<h1>Docs</h1><ul>")
	for _, name := range names {
		text, err := docs.Files.ReadFile(name)
		if err != nil {
			e.message(w, http.StatusInternalServerError, "The documents cannot be listed", err.Error())
			return
		}
		first, _, _ := strings.Cut(string(text), "\n")
		fmt.Fprintf(&b, `<li><a href="/docs/%s">%s</a></li>`, template.HTMLEscapeString(name), template.HTMLEscapeString(strings.TrimLeft(first, "# ")))
	}
	b.WriteString("</ul>")
	e.render(w, http.StatusOK, "doc", page{Title: "Docs", Data: template.HTML(b.String())})
}

// Doc returns the document about a page, nil if there is none.
func (p page) Doc() *choice {
	name := map[string]string{"Overview": "concepts.md", "Traces": "concepts.md", "Logs": "telemetry.md", "Metrics": "dashboard.md",
		"Senders": "send.md", "Targets": "telemetry.md", "Checklist": "verify.md"}[p.Section]
	if name == "" {
		return nil
	}
	return &choice{Href: "/docs/" + name}
}

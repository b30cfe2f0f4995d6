package explorer

import (
	"bytes"
	"html/template"
	"net/http"
	"regexp"

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

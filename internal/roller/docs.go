package roller

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"dicelab/internal/web"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS []byte

// docsView is the OpenAPI document as the page shows it.
type docsView struct {
	Title, Version, Description string
	Operations                  []operationView
}

type operationView struct {
	Method, Path, Summary string
	Parameters            []parameterView
	Responses             []responseView
}

type parameterView struct {
	Name, In, Text string
	Required       bool
	Allowed        []any
}

type responseView struct{ Status, Text, Type string }

// newDocs renders the OpenAPI document as a page, once: it does not change. It
// is ours because the pages that come with libraries load scripts from other
// hosts, and a lab must work offline.
func newDocs(spec *huma.OpenAPI) (http.Handler, error) {
	page, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, fmt.Errorf("parsing the documentation page: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, newDocsView(spec)); err != nil {
		return nil, fmt.Errorf("rendering the documentation page: %w", err)
	}
	asset := web.Asset(web.HTML, out.Bytes())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.Page(w.Header())
		asset.ServeHTTP(w, r)
	}), nil
}

func newDocsView(spec *huma.OpenAPI) docsView {
	view := docsView{Title: spec.Info.Title, Version: spec.Info.Version, Description: spec.Info.Description}
	for _, path := range slices.Sorted(maps.Keys(spec.Paths)) {
		op := spec.Paths[path].Get // the API only reads
		if op == nil {
			continue
		}
		o := operationView{Method: op.Method, Path: path, Summary: op.Summary}
		for _, p := range op.Parameters {
			o.Parameters = append(o.Parameters, parameterView{Name: p.Name, In: p.In, Text: p.Description, Required: p.Required, Allowed: p.Schema.Enum})
		}
		for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
			r := op.Responses[status]
			types := slices.Sorted(maps.Keys(r.Content))
			if len(types) == 0 || status == "default" {
				continue
			}
			o.Responses = append(o.Responses, responseView{Status: status, Text: r.Description, Type: types[0]})
		}
		view.Operations = append(view.Operations, o)
	}
	return view
}

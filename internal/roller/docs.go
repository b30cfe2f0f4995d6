package roller

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"dicelab/internal/web"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS []byte

// openAPI describes the API. Tests compare the answers of the service with it.
//
//go:embed openapi.json
var openAPI []byte

// document is the part of openapi.json that the page shows (OpenAPI 3.1, section
// 4.8).
type document struct {
	Info  struct{ Title, Version, Description string }
	Paths map[string]map[string]struct { // by path and method
		Summary    string
		Parameters []struct {
			Name, In, Description string
			Required              bool
			Schema                struct{ Enum []string }
		}
		Responses map[string]struct { // by status
			Description string
			Content     map[string]struct{} // by type
		}
	}
}

// docs is the documentation of the API, for programs and for people.
type docs struct {
	spec []byte
	page http.Handler
}

// newDocs renders openapi.json as a page, once: it does not change. The page is
// ours because the pages that come with libraries load scripts from other hosts,
// and a lab must work offline.
func newDocs(version string) (*docs, error) {
	quoted, err := json.Marshal(version)
	if err != nil {
		return nil, fmt.Errorf("writing the version into openapi.json: %w", err)
	}
	spec := bytes.Replace(openAPI, []byte(`"{version}"`), quoted, 1)
	var doc document
	if err := json.Unmarshal(spec, &doc); err != nil {
		return nil, fmt.Errorf("reading openapi.json: %w", err)
	}
	funcs := template.FuncMap{"upper": strings.ToUpper, "types": func(content map[string]struct{}) string {
		return strings.Join(slices.Sorted(maps.Keys(content)), ", ")
	}}
	page, err := template.New("docs").Funcs(funcs).Parse(docsHTML)
	if err != nil {
		return nil, fmt.Errorf("parsing the documentation page: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, doc); err != nil {
		return nil, fmt.Errorf("rendering the documentation page: %w", err)
	}
	asset := web.Asset(web.HTML, out.Bytes())
	return &docs{spec: spec, page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.Page(w.Header())
		asset.ServeHTTP(w, r)
	})}, nil
}

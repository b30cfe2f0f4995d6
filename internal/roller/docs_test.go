package roller_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"dicelab/internal/contract"
	"dicelab/internal/roller"
)

// openAPI has the parts of the document that the tests read (OpenAPI 3.1, section 4.8).
type openAPI struct {
	OpenAPI    string
	Info       struct{ Title, Version string }
	Components struct {
		Schemas map[string]struct {
			Required   []string
			Properties map[string]struct {
				Type             string
				Minimum, Maximum *float64
			}
		}
	}
	Paths map[string]map[string]struct {
		OperationID string
		Parameters  []struct {
			Name, In string
			Required bool
			Schema   struct{ Enum []string }
		}
		Responses map[string]struct {
			Description string
			Content     map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				}
			}
		}
	}
}

func TestOpenAPI(t *testing.T) {
	s := start(t, roller.Options{})
	body := s.get(t, "/openapi.json").body
	var doc openAPI
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || doc.Info.Title != "Dice Roller API" || doc.Info.Version != "1.2.3" {
		t.Errorf("openapi %q, info %+v", doc.OpenAPI, doc.Info)
	}
	if diff := cmp.Diff([]string{"/", "/roll"}, slices.Sorted(maps.Keys(doc.Paths))); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	roll := doc.Paths["/roll"]["get"]
	types := map[string]string{}
	for status, r := range roll.Responses {
		types[status] = strings.Join(slices.Sorted(maps.Keys(r.Content)), ",")
		if r.Description == "" {
			t.Errorf("response %s has no description, which section 4.8.17 requires", status)
		}
	}
	want := map[string]string{"200": "application/json", "422": "application/problem+json", "500": "application/problem+json", "default": "application/problem+json"}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("responses of /roll (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Outcome", "Problem", "Root"}, slices.Sorted(maps.Keys(doc.Components.Schemas))); diff != "" {
		t.Errorf("schemas (-want +got):\n%s", diff)
	}
	if die := roll.Parameters[0]; die.Name != "die" || die.In != "query" || !die.Required || !slices.Equal(die.Schema.Enum, contract.Dice()) {
		t.Errorf("first parameter of /roll is %+v", die)
	}
	var whole any
	if err := json.Unmarshal([]byte(body), &whole); err != nil {
		t.Fatal(err)
	}
	checkRefs(t, whole, whole)
}

// The answers of the service are those that the document describes: status, type,
// and the fields of the schema with their types and limits.
func TestAnswersFollowTheDocument(t *testing.T) {
	for _, tt := range []struct {
		path, query string
		errorRate   float64
		status      int
	}{
		{"/", "", 0, 200},
		{"/roll", "?die=fair", 0, 200},
		{"/roll", "?die=risky", 0, 200},
		{"/roll", "?die=loaded", 0, 422},
		{"/roll", "", 0, 422},
		{"/roll", "?die=risky", 1, 500},
	} {
		t.Run(tt.path+tt.query+" "+strconv.Itoa(tt.status), func(t *testing.T) {
			s := start(t, roller.Options{Dice: roller.NewDice(1, 0, tt.errorRate)})
			var doc openAPI
			if err := json.Unmarshal([]byte(s.get(t, "/openapi.json").body), &doc); err != nil {
				t.Fatal(err)
			}
			got := s.get(t, tt.path+tt.query)
			described, ok := doc.Paths[tt.path]["get"].Responses[strconv.Itoa(tt.status)]
			content, typed := described.Content[got.header.Get("Content-Type")]
			if got.status != tt.status || !ok || !typed {
				t.Fatalf("answer %d %q; the document has %v for %d", got.status, got.header.Get("Content-Type"), described.Content, tt.status)
			}
			schema := doc.Components.Schemas[strings.TrimPrefix(content.Schema.Ref, "#/components/schemas/")]
			body := decode[map[string]any](t, got.body)
			for _, name := range schema.Required {
				if _, ok := body[name]; !ok {
					t.Errorf("%s has no %q", got.body, name)
				}
			}
			for name, value := range body {
				field := schema.Properties[name]
				n, _ := value.(float64)
				if kind := jsonType(value); kind != field.Type {
					t.Errorf("%q is a %s; the document says %q", name, kind, field.Type)
				}
				if field.Minimum != nil && n < *field.Minimum || field.Maximum != nil && n > *field.Maximum {
					t.Errorf("%q is %v, outside of what the document says", name, n)
				}
			}
		})
	}
}

// jsonType returns the type of a value as JSON Schema names it.
func jsonType(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case float64:
		return "integer" // the only numbers of this API
	case []any:
		return "array"
	default:
		return "object"
	}
}

// checkRefs follows every $ref of a document (RFC 6901 behind the "#").
func checkRefs(t *testing.T, root, at any) {
	t.Helper()
	switch v := at.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			target := root
			for key := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				m, _ := target.(map[string]any)
				target = m[key]
			}
			if target == nil {
				t.Errorf("$ref %q leads nowhere", ref)
			}
		}
		for _, child := range v {
			checkRefs(t, root, child)
		}
	case []any:
		for _, child := range v {
			checkRefs(t, root, child)
		}
	}
}

// The page must show all of the document, and load nothing from another host:
// a lab works offline.
func TestDocs(t *testing.T) {
	s := start(t, roller.Options{})
	var doc openAPI
	if err := json.Unmarshal([]byte(s.get(t, "/openapi.json").body), &doc); err != nil {
		t.Fatal(err)
	}
	page, err := html.Parse(strings.NewReader(s.get(t, "/docs").body))
	if err != nil {
		t.Fatal(err)
	}
	codes, forms, ids := map[string]bool{}, map[string]bool{}, map[string]bool{}
	var labelled []string
	for n := range page.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "code" && n.FirstChild != nil {
			codes[n.FirstChild.Data] = true
		}
		for _, a := range n.Attr {
			switch a.Key {
			case "id":
				ids[a.Val] = true
			case "aria-labelledby":
				labelled = append(labelled, a.Val)
			case "href", "src", "action":
				u, err := url.Parse(a.Val)
				if err != nil || u.Host != "" || (u.Scheme != "" && u.Scheme != "data") {
					t.Errorf("%s=%q leads to another host", a.Key, a.Val)
				} else if u.Scheme == "" && n.Data != "form" {
					if got := s.get(t, a.Val); got.status != 200 {
						t.Errorf("%s=%q answers %d", a.Key, a.Val, got.status)
					}
				}
				if n.Data == "form" {
					forms[a.Val] = true
				}
			}
		}
	}
	for path, operations := range doc.Paths {
		if !codes[path] || !forms[path] {
			t.Errorf("path %s is described: %v, can be tried: %v", path, codes[path], forms[path])
		}
		for _, p := range operations["get"].Parameters {
			if !codes[p.Name] {
				t.Errorf("parameter %s of %s is missing", p.Name, path)
			}
		}
		for status := range operations["get"].Responses {
			if status != "default" && !codes[status] {
				t.Errorf("response %s of %s is missing", status, path)
			}
		}
	}
	for _, id := range labelled {
		if !ids[id] {
			t.Errorf("aria-labelledby=%q names nothing", id)
		}
	}
	for _, style := range []string{"/assets/theme.css", "/assets/docs.css"} {
		if css := s.get(t, style).body; strings.Contains(css, "@import") || strings.Contains(css, "url(") {
			t.Errorf("%s loads something", style)
		}
	}
}

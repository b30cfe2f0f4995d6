package roller_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"dicelab/internal/contract"
	"dicelab/internal/roller"
)

// openAPI is what the tests read of the document (OpenAPI 3.1, section 4.8).
type openAPI struct {
	OpenAPI    string
	Info       struct{ Title, Version string }
	Components struct{ Schemas map[string]any }
	Paths      map[string]map[string]struct {
		OperationID string
		Parameters  []struct {
			Name, In string
			Required bool
			Schema   struct{ Enum []string }
		}
		Responses map[string]struct {
			Description string
			Content     map[string]struct{ Schema map[string]any }
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
	if diff := cmp.Diff([]string{"Outcome", "Problem", "RootBody"}, slices.Sorted(maps.Keys(doc.Components.Schemas))); diff != "" {
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

package tempo

import (
	"context"
	"net/http"
	"net/url"

	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/traceql"
)

type tagScope struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// intrinsics are the names of the third scope.
func intrinsics() []string {
	return []string{"duration", "kind", "name", "rootName", "rootServiceName", "status", "traceDuration"}
}

// tagNames answers /api/v2/search/tags. The names of span attributes are those of the
// newest spans; start and end do not narrow them further. limit applies to each scope.
func (a *api) tagNames(w http.ResponseWriter, r *http.Request) error {
	values := r.URL.Query()
	if err := checkTags(values); err != nil {
		return err
	}
	scopes := []string{string(store.ScopeResource), string(store.ScopeSpan), "intrinsic"}
	switch s := values.Get("scope"); s {
	case "", "none":
	case scopes[0], scopes[1], scopes[2]:
		scopes = []string{s}
	default:
		return badRequest("scope %q is not served by the embedded stack, which has resource, span and intrinsic: %s", s, useNative)
	}
	limit, err := number(values, "limit", maxTags, maxTags)
	if err != nil {
		return err
	}
	list := make([]tagScope, 0, len(scopes))
	for _, s := range scopes {
		names := intrinsics()
		if s != "intrinsic" {
			if names, err = a.store.TagNames(r.Context(), store.Scope(s), limit); err != nil {
				return err
			}
		}
		if names == nil {
			names = []string{}
		}
		list = append(list, tagScope{Name: s, Tags: names})
	}
	return writeJSON(w, map[string]any{"scopes": list, "metrics": struct{}{}})
}

// checkTags checks the parameters of both tag endpoints.
func checkTags(values url.Values) error {
	if q := values.Get("q"); q != "" && q != "{}" {
		return badRequest("narrowing tags by q is not served by the embedded stack: leave q out, or %s", useNative)
	}
	_, _, err := timeRange(values)
	return err
}

type tagValue struct {
	Type  string `json:"type"`
	Value string `json:"value,omitempty"`
}

// tagValues answers /api/v2/search/tag/{name}/values.
func (a *api) tagValues(w http.ResponseWriter, r *http.Request) error {
	values := r.URL.Query()
	if err := checkTags(values); err != nil {
		return err
	}
	limit, err := number(values, "limit", maxTags, maxTags)
	if err != nil {
		return err
	}
	field, err := traceql.ParseField(r.PathValue("name"))
	if err != nil {
		return err
	}
	list := []tagValue{}
	ctx := r.Context()
	texts := func(typ string, words []string) {
		for _, v := range words {
			list = append(list, tagValue{Type: typ, Value: v})
		}
	}
	words := func(list func(context.Context, int) ([]string, error)) error {
		found, err := list(ctx, limit)
		texts("string", found)
		return err
	}
	switch {
	case field.Scope == traceql.Status:
		texts("keyword", []string{"error", "ok", "unset"})
	case field.Scope == traceql.Kind:
		texts("keyword", []string{"client", "consumer", "internal", "producer", "server", "unspecified"})
	case field.Scope == traceql.Name:
		err = words(a.store.Names)
	case field == traceql.Field{Scope: traceql.ResourceScope, Name: store.AttrServiceName}:
		err = words(a.store.Services) // also "", of spans without a service
	case field.Scope <= traceql.ResourceScope:
		seen := make(map[tagValue]bool)
		for _, scope := range []store.Scope{store.ScopeResource, store.ScopeSpan} {
			if (field.Scope == traceql.SpanScope && scope != store.ScopeSpan) || (field.Scope == traceql.ResourceScope && scope != store.ScopeResource) {
				continue
			}
			found, err := a.store.TagValues(ctx, scope, field.Name, limit)
			if err != nil {
				return err
			}
			for _, v := range found {
				if tv := (tagValue{Type: v.Type, Value: v.Text}); !seen[tv] && len(list) < limit {
					seen[tv] = true
					list = append(list, tv)
				}
			}
		}
	default:
		return badRequest("values of %s are not served by the embedded stack: %s", field.Name, useNative)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"tagValues": list, "metrics": struct{}{}})
}

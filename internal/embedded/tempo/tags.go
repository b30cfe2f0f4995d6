package tempo

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/traceql"
)

type tagScope struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// intrinsics are the names of the scope intrinsic, as Tempo lists them.
func intrinsics() []string {
	return []string{"duration", "event:name", "event:timeSinceStart", "instrumentation:name", "instrumentation:version",
		"kind",
		"link:spanID", "link:traceID", "name", "rootName", "rootServiceName", "span:duration", "span:id", "span:kind",
		"span:name",
		"span:parentID", "span:status", "span:statusMessage", "status", "statusMessage", "trace:duration", "trace:id",
		"trace:rootName", "trace:rootService", "traceDuration"}
}

// tagRequest holds the parameters that the endpoints of tags have in common.
type tagRequest struct {
	query  *traceql.Query // nil for all spans
	window window
	limit  int
}

func (a *api) tagRequest(values url.Values) (t tagRequest, err error) {
	if t.window.from, t.window.to, err = timeRange(values); err != nil {
		return t, err
	}
	if values.Get("limit") == "0" {
		values.Del("limit") // no limit, in Tempo
	}
	if t.limit, err = number(values, "limit", maxTags, math.MaxInt32); err != nil {
		return t, err
	}
	t.limit = min(t.limit, maxTags)
	t.query = narrowing(values.Get("q"))
	return t, nil
}

// narrowing parses a query that narrows lists. Editors send queries that are not complete,
// as { span.x = "y" && span.z = }; as in Tempo, what is complete of one spanset counts. It
// returns nil if nothing is, or if the query finds every span.
func narrowing(text string) *traceql.Query {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" || strings.Trim(trimmed, "{} ") == "" {
		return nil
	}
	q, err := traceql.Parse(text)
	if err == nil {
		return q
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(trimmed, "{"), "}")
	if strings.ContainsAny(inner, "{}|") {
		return nil
	}
	var complete []string
	for _, condition := range strings.Split(inner, "&&") {
		if _, err := traceql.Parse("{" + condition + "}"); err == nil && strings.TrimSpace(condition) != "" {
			complete = append(complete, condition)
		}
	}
	if len(complete) == 0 {
		return nil
	}
	if q, err = traceql.Parse("{" + strings.Join(complete, "&&") + "}"); err != nil {
		return nil
	}
	return q
}

// scopes lists the names of attributes by scope. limit applies to each.
func (a *api) scopes(r *http.Request) ([]tagScope, error) {
	values := r.URL.Query()
	t, err := a.tagRequest(values)
	if err != nil {
		return nil, err
	}
	wanted := []string{"event", "instrumentation", "intrinsic", "link", "resource", "span"}
	switch s := values.Get("scope"); {
	case s == "" || s == "none":
	case slices.Contains(wanted, s):
		wanted = []string{s}
	default:
		return nil, badRequest("invalid scope: %q: it must be one of %s", s, strings.Join(wanted, ", "))
	}
	seen := map[string]map[string]bool{}
	for _, s := range wanted {
		seen[s] = map[string]bool{}
	}
	sampled := t.query != nil || slices.ContainsFunc(wanted, func(s string) bool {
		return s != "intrinsic" &&
			s != "resource" && s != "span"
	})
	if sampled {
		err = a.sample(r.Context(), t, func(trace *traceql.Trace, i int) {
			trace.Names(i, func(f traceql.Field) {
				if names := seen[f.Scope.String()]; names != nil {
					names[f.Name] = true
				}
			})
		})
	}
	var list []tagScope
	for _, s := range wanted {
		var names []string
		switch {
		case err != nil:
			return nil, err
		case s == "intrinsic":
			names = intrinsics()
		case t.query == nil && (s == "resource" || s == "span"):
			names, err = a.store.TagNames(r.Context(), store.Scope(s), t.limit)
		default:
			for name := range seen[s] {
				names = append(names, name)
			}
			slices.Sort(names)
		}
		if len(names) > 0 {
			list = append(list, tagScope{Name: s, Tags: names[:min(len(names), t.limit)]})
		}
	}
	return list, err
}

// sampledTraces is the number of traces that are read for what the index does not have.
const sampledTraces = 200

// sample calls yield with the spans that a query finds, of the newest traces.
func (a *api) sample(ctx context.Context, t tagRequest, yield func(*traceql.Trace, int)) error {
	q := t.query
	if q == nil {
		q = everySpan()
	}
	where, _ := conditions(q.Candidates())
	_, err := a.store.Search(ctx, store.SearchQuery{
		From: t.window.earliest(), To: t.window.to, Limit: sampledTraces, Where: where,
		Match: t.window.only(func(found store.Trace) (spans []int) {
			trace := traceOf(found)
			sets, err := q.Select(ctx, trace)
			if err != nil {
				return nil
			}
			for _, set := range sets {
				for _, i := range set.Spans {
					yield(trace, i)
				}
				spans = set.Spans
			}
			return spans
		}),
	})
	return cmp.Or(err, ctx.Err())
}

func everySpan() *traceql.Query {
	q, err := traceql.Parse("{}")
	if err != nil {
		panic(err) // the language has it
	}
	return q
}

// tagNamesV2 answers /api/v2/search/tags.
func (a *api) tagNamesV2(w http.ResponseWriter, r *http.Request) error {
	list, err := a.scopes(r)
	if err != nil {
		return err
	}
	return answer.JSON(w, jsonType, map[string]any{"scopes": append([]tagScope{}, list...), "metrics": struct{}{}})
}

// tagNames answers /api/search/tags: the names of all scopes together.
func (a *api) tagNames(w http.ResponseWriter, r *http.Request) error {
	list, err := a.scopes(r)
	if err != nil {
		return err
	}
	names := []string{}
	for _, s := range list {
		if s.Name != "intrinsic" || r.URL.Query().Get("scope") == "intrinsic" {
			names = append(names, s.Tags...)
		}
	}
	slices.Sort(names)
	return answer.JSON(w, jsonType, map[string]any{"tagNames": slices.Compact(names), "metrics": struct{}{}})
}

type tagValue struct {
	Type  string `json:"type"`
	Value string `json:"value,omitempty"`
}

// tagValuesV2 answers /api/v2/search/tag/{name}/values.
func (a *api) tagValuesV2(w http.ResponseWriter, r *http.Request) error {
	t, err := a.tagRequest(r.URL.Query())
	if err != nil {
		return err
	}
	field, err := traceql.ParseField(r.PathValue("name"))
	if err != nil {
		return err
	}
	list, err := a.values(r.Context(), t, field)
	if err != nil {
		return err
	}
	return answer.JSON(w, jsonType, map[string]any{"tagValues": list, "metrics": struct{}{}})
}

// tagValues answers /api/search/tag/{name}/values, where a name has no scope unless it
// names one.
func (a *api) tagValues(w http.ResponseWriter, r *http.Request) error {
	t, err := a.tagRequest(r.URL.Query())
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	field, err := traceql.ParseField(name)
	if err != nil {
		field = traceql.Field{Scope: traceql.AnyScope, Name: name}
	}
	list, err := a.values(r.Context(), t, field)
	if err != nil {
		return err
	}
	texts := []string{}
	for _, v := range list {
		texts = append(texts, v.Value)
	}
	slices.Sort(texts)
	return answer.JSON(w, jsonType, map[string]any{"tagValues": slices.Compact(texts), "metrics": struct{}{}})
}

// values lists the values of a field: of all spans where the index has them, else of the
// newest.
func (a *api) values(ctx context.Context, t tagRequest, field traceql.Field) ([]tagValue, error) {
	list, seen := []tagValue{}, map[tagValue]bool{}
	add := func(v tagValue) {
		if !seen[v] && len(list) < t.limit {
			seen[v] = true
			list = append(list, v)
		}
	}
	intrinsic := field.Scope == traceql.Intrinsic
	if intrinsic && field.Name == traceql.Status {
		return keywords("error", "ok", "unset"), nil
	}
	if intrinsic && field.Name == traceql.Kind {
		return keywords("client", "consumer", "internal", "producer", "server", "unspecified"), nil
	}
	scope, name, ok := storedAs(field)
	switch {
	case intrinsic && unlisted(field.Name):
		return list, nil // there are as many as spans or traces; Tempo lists none
	case t.query == nil && ok:
		found, err := a.indexed(ctx, scope, name, t.limit)
		for _, v := range found {
			if v.Type == "float" && !strings.ContainsAny(v.Text, ".eIN") {
				v.Text += ".0"
			}
			add(tagValue{v.Type, v.Text})
		}
		return list, err
	case ok && !t.query.OfTrace():
		err := a.narrowed(ctx, t, field, add)
		sortValues(list)
		return list, err
	}
	err := a.sample(ctx, t, func(trace *traceql.Trace, i int) { addValue(trace.Value(field, i), add) })
	sortValues(list)
	return list, err
}

func unlisted(name string) bool {
	switch name {
	case traceql.Duration, traceql.TraceDuration, traceql.TraceID, traceql.SpanID, traceql.ParentID, traceql.EventTime,
		traceql.LinkTraceID, traceql.LinkSpanID:
		return true
	}
	return false
}

func keywords(words ...string) (list []tagValue) {
	for _, w := range words {
		list = append(list, tagValue{"keyword", w})
	}
	return list
}

func sortValues(list []tagValue) {
	slices.SortFunc(list, func(a, b tagValue) int { return strings.Compare(a.Type+a.Value, b.Type+b.Value) })
}

// indexed lists the values of a field of which the index has all.
func (a *api) indexed(ctx context.Context, scope store.Scope, name string, limit int) (list []store.TagValue,
	err error) {
	texts := func(found []string, err error) ([]store.TagValue, error) {
		for _, v := range found {
			list = append(list, store.TagValue{Type: "string", Text: v})
		}
		return list, err
	}
	switch {
	case scope == store.ScopeIntrinsic:
		return texts(a.store.Names(ctx, limit))
	case scope == store.ScopeResource && name == store.AttrServiceName:
		return texts(a.store.Services(ctx, limit)) // also "", of spans without a service
	case scope != store.ScopeAny:
		return a.store.TagValues(ctx, scope, name, limit)
	}
	for _, s := range []store.Scope{store.ScopeResource, store.ScopeSpan} {
		found, err := a.indexed(ctx, s, name, limit)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// narrowed lists the values of a field of the spans that a query finds.
func (a *api) narrowed(ctx context.Context, t tagRequest, field traceql.Field, add func(tagValue)) error {
	terms, exact := t.query.Found()
	where, all := conditions(terms)
	scope, name, _ := storedAs(field)
	count := store.SpanCount{From: t.window.from, To: t.window.to, Where: where, Exact: exact && all,
		By: []store.Attribute{{Scope: scope, Name: name}}}
	if count.From.IsZero() {
		count.From = time.Unix(0, 0)
	}
	if count.To.IsZero() {
		count.To = time.Unix(1<<33, 0) // later than any span
	}
	count.Step = count.To.Sub(count.From)
	count.Read = func(_ time.Time, s store.Span) {
		trace := &traceql.Trace{Spans: []traceql.Span{spanOf(s)}}
		if sets, err := t.query.Select(ctx, trace); err == nil && len(sets) > 0 {
			addValue(trace.Value(field, 0), add)
		}
	}
	_, err := a.store.CountSpans(ctx, count, func(by []any, _ time.Time, _ int) { addValue(field.Of(by[0]), add) })
	return cmp.Or(err, ctx.Err())
}

// addValue adds a value as a list of tag values has it.
func addValue(v traceql.Value, add func(tagValue)) {
	switch v.Type {
	case traceql.TypeList:
		for _, e := range v.List {
			addValue(e, add)
		}
	case traceql.TypeString:
		add(tagValue{"string", v.Text})
	case traceql.TypeInt:
		add(tagValue{"int", v.String()})
	case traceql.TypeFloat:
		add(tagValue{"float", v.String()})
	case traceql.TypeBool:
		add(tagValue{"bool", v.String()})
	case traceql.TypeDuration:
		add(tagValue{"duration", v.String()})
	}
}

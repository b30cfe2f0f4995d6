package explorer

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dicelab/internal/query"
)

// Bounds of the conditions on attributes of a search for traces.
const (
	maxConditions   = 8
	maxListedValues = 200 // values of an attribute that a field offers
)

// tagsFor is the time for which the explorer keeps the list of attributes: a server with
// many spans takes long to make it, and it seldom changes.
const tagsFor = time.Minute

// tagList is the list of attributes that spans have. It may be used by several goroutines.
type tagList struct {
	mu   sync.Mutex
	at   time.Time
	list []string
}

// tags returns the attributes that spans have, as they were less than tagsFor ago.
func (e *explorer) tags(ctx context.Context) ([]string, error) {
	t := &e.tagList
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := e.Now().Sub(t.at); t.list != nil && age >= 0 && age < tagsFor {
		return t.list, nil
	}
	list, err := e.Tempo.Tags(ctx)
	if err != nil {
		return nil, err
	}
	t.list, t.at = list, e.Now()
	return t.list, nil
}

// conditionRow is a condition on an attribute, as the fields of a form and as a text that
// can be taken away.
type conditionRow struct {
	query.Condition
	ID     string // of the lists that the fields offer
	Ops    []choice
	Values []string
	More   int    // values that are not offered
	Text   string // "" for the row that adds one
	Href   string // the search without it
}

// readConditions reads the conditions of a request. A row without an attribute is none.
func readConditions(v url.Values) ([]query.Condition, error) {
	var out []query.Condition
	ops, values := v["op"], v["val"]
	for i, attribute := range v["attr"] {
		if attribute = strings.TrimSpace(attribute); attribute == "" {
			continue
		}
		c := query.Condition{Attribute: attribute, Op: "="}
		if i < len(ops) && ops[i] != "" {
			c.Op = ops[i]
		}
		if i < len(values) {
			c.Value = strings.TrimSpace(values[i])
		}
		if !slices.Contains(query.Ops(), c.Op) {
			return nil, fmt.Errorf(
				"reading the condition on %.40q: %.10q is none of %s",
				attribute,
				c.Op,
				strings.Join(query.Ops(), " "),
			)
		}
		if strings.ContainsAny(c.Op, "<>") && c.Value != "" {
			if _, err := strconv.ParseFloat(strings.TrimRight(c.Value, "nuµmsh"), 64); err != nil {
				return nil, fmt.Errorf(
					"reading the condition on %.40q: %s compares numbers, and %.40q is none",
					attribute,
					c.Op,
					c.Value,
				)
			}
		}
		if len(out) == maxConditions {
			return nil, fmt.Errorf(
				"reading the conditions: there are more than %d of them: write them as TraceQL",
				maxConditions,
			)
		}
		out = append(out, c)
	}
	return out, nil
}

// conditionRows returns the rows of a form: one for each condition, and an empty one.
func (e *explorer) conditionRows(
	ctx context.Context,
	conditions []query.Condition,
	params url.Values,
) ([]conditionRow, []func()) {
	rows := make([]conditionRow, 0, len(conditions)+1)
	for i, c := range conditions {
		rows = append(
			rows,
			conditionRow{Condition: c, Text: conditionText(c), Href: withoutCondition(params, conditions, i)},
		)
	}
	if len(rows) < maxConditions {
		rows = append(rows, conditionRow{Condition: query.Condition{Op: "="}})
	}
	var asks []func()
	for i := range rows {
		row := &rows[i]
		row.ID = "values-" + strconv.Itoa(i)
		row.Ops = options(query.Ops(), row.Op)
		if row.Attribute != "" {
			asks = append(asks, func() { row.Values, row.More = e.values(ctx, row.Attribute) })
		}
	}
	return rows, asks
}

// values lists what is stored of an attribute, for a field that works without the list, too.
func (e *explorer) values(ctx context.Context, attribute string) (list []string, more int) {
	list, err := e.Tempo.TagValues(ctx, attribute)
	if err != nil {
		return nil, 0 // an attribute that is not spelt to its end has no values
	}
	more = max(0, len(list)-maxListedValues)
	return list[:len(list)-more], more
}

func conditionText(c query.Condition) string {
	if c.Value == "" {
		return c.Attribute + " exists"
	}
	return c.Attribute + " " + c.Op + " " + c.Value
}

// withoutCondition returns the page of a search without its ith condition.
func withoutCondition(params url.Values, conditions []query.Condition, i int) string {
	v := without(params, "attr", "op", "val", "q")
	for j, c := range conditions {
		if j != i {
			v.Add("attr", c.Attribute)
			v.Add("op", c.Op)
			v.Add("val", c.Value)
		}
	}
	return "/traces?" + v.Encode()
}

// tagValues answers with the values of an attribute, as the options of a list, for a page
// that fills the list of one of its fields.
func (e *explorer) tagValues(w http.ResponseWriter, r *http.Request) {
	list, _ := e.values(r.Context(), trimmed(r, "attr"))
	var b strings.Builder
	for _, v := range list {
		fmt.Fprintf(&b, `<option value="%s">`, template.HTMLEscapeString(label(v)))
	}
	e.part(w, "doc", "content", page{Data: template.HTML(b.String())})
}

// Chips returns the conditions that can be taken away.
func (v tracesView) Chips() []conditionRow {
	return slices.DeleteFunc(slices.Clone(v.Conditions), func(c conditionRow) bool { return c.Text == "" })
}

package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Column is a property of spans that SQL can compare.
type Column int

// The columns. The first three hold text, the others numbers.
const (
	ColumnService  Column = iota // resource attribute service.name
	ColumnName                   // span name
	ColumnDie                    // span attribute die.type, where it is text
	ColumnStatus                 // OTLP's status code
	ColumnKind                   // OTLP's span kind
	ColumnDuration               // nanoseconds
)

// column gives the name in span_row; names come from here only.
func (c Column) column() (name string, text bool) {
	switch c {
	case ColumnService:
		return "service", true
	case ColumnName:
		return "name", true
	case ColumnDie:
		return "die", true
	case ColumnStatus:
		return "status", false
	case ColumnKind:
		return "kind", false
	default:
		return "duration", false
	}
}

// Op is a comparison.
type Op string

// The comparisons. Text knows Equal, NotEqual, Matches and NotMatches (a
// regular expression that the whole text must fulfil), numbers know all others.
const (
	Equal        Op = "="
	NotEqual     Op = "!="
	Matches      Op = "=~"
	NotMatches   Op = "!~"
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
)

// Condition compares a column with a value.
type Condition struct {
	Column Column
	Op     Op
	Text   string // for columns of text
	Number int64  // for the others
}

// SearchQuery selects traces.
type SearchQuery struct {
	From, To time.Time // [From, To) of the start of a matching span; zero means unbounded
	Limit    int       // how many traces at most, > 0

	// Where are conditions that a matching span fulfils, all of them. They are
	// checked by SQL; the rest is Match's.
	Where []Condition
	// Match gives the spans of the trace that match, as indexes into its Spans;
	// none if the trace does not. It is called with candidates: traces with a
	// span for which all of Where hold.
	Match func(Trace) []int
}

// FoundTrace is a trace that a search found.
type FoundTrace struct {
	Trace
	Matched []int // indexes into Spans, at least one
}

// SearchResult is the answer to a search.
type SearchResult struct {
	Traces []FoundTrace // newest first, by the trace's start
	// Partial says that older traces may match too, although there are fewer
	// than Limit: the search stopped after it had looked at as many rows or
	// traces as one search may.
	Partial   bool
	Inspected int // candidates that were looked at
}

// How much one search may look at: about half a second.
const (
	maxSearchRows   = 400_000
	maxSearchTraces = 4_000
	// selective is how many spans make a duration condition so selective that
	// all of them are read.
	selective = 2_000
)

// Search finds traces, newest first. Conditions on service, name, status and
// duration use an index; others are checked on the newest rows, see
// [SearchResult.Partial].
func (s *Store) Search(ctx context.Context, q SearchQuery) (SearchResult, error) {
	if q.Limit <= 0 || q.Match == nil {
		return SearchResult{}, fmt.Errorf("searching traces: limit %d must be above 0 and Match must be set", q.Limit)
	}
	sel, err := s.compile(ctx, q.Where)
	if err != nil || sel.never {
		return SearchResult{}, err
	}
	f := finder{store: s, query: q, sel: sel, seen: make(map[TraceID]bool)}
	from, to := bounds(q.From, q.To)
	few, err := s.selectiveDuration(ctx, sel)
	if err == nil && few {
		_, err = f.window(ctx, "span_duration", "", nil, from, to)
	} else if err == nil {
		var w walk
		if w, err = s.choose(ctx, sel, from, to); err == nil {
			rows := 0
			err = w.run(ctx, s.read, from, to, func(lo, hi int64, page int) (bool, error) {
				more, err := f.window(ctx, w.index, w.key, w.ids, lo, hi)
				if rows += page; more && rows >= maxSearchRows && lo > from {
					f.result.Partial = true
					return false, err
				}
				return more, err
			})
		}
	}
	if err != nil {
		return SearchResult{}, fmt.Errorf("searching traces: %w", err)
	}
	slices.SortStableFunc(f.result.Traces, func(a, b FoundTrace) int {
		x, _ := a.Bounds()
		y, _ := b.Bounds()
		return cmp.Compare(y, x)
	})
	return f.result, nil
}

// selection is a conjunction as SQL.
type selection struct {
	where []string
	args  []any
	never bool // no span can fulfil it

	ids      map[string][]int64 // columns that must be one of few values
	duration []string           // the conditions on duration, in where too
	durArgs  []any
}

func (s *Store) compile(ctx context.Context, conditions []Condition) (selection, error) {
	sel := selection{ids: make(map[string][]int64)}
	for _, c := range conditions {
		name, text := c.Column.column()
		if text {
			if err := s.compileText(ctx, &sel, name, c); err != nil {
				return sel, err
			}
			continue
		}
		switch c.Op {
		case Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual:
		default:
			return sel, fmt.Errorf("comparing column %s: operator %q is not for numbers", name, c.Op)
		}
		cond := name + " " + string(c.Op) + " ?"
		sel.where, sel.args = append(sel.where, cond), append(sel.args, c.Number)
		switch {
		case c.Column == ColumnDuration && c.Op != NotEqual: // != is no range of an index
			sel.duration, sel.durArgs = append(sel.duration, cond), append(sel.durArgs, c.Number)
		case c.Column == ColumnStatus && c.Op == Equal:
			sel.ids[name] = []int64{c.Number}
		}
	}
	return sel, nil
}

// compileText turns a condition on text into one on the numbers of its words.
func (s *Store) compileText(ctx context.Context, sel *selection, name string, c Condition) error {
	query, args := "SELECT id, text FROM word", []any(nil)
	match := func(string) bool { return true }
	switch c.Op {
	case Equal, NotEqual:
		query, args = query+" WHERE text = ?", []any{c.Text}
	case Matches, NotMatches:
		re, err := regexp.Compile("^(?:" + c.Text + ")$")
		if err != nil {
			return fmt.Errorf("comparing column %s: %w", name, err)
		}
		match = re.MatchString
	default:
		return fmt.Errorf("comparing column %s: operator %q is not for text", name, c.Op)
	}
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("reading words: %w", err)
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return fmt.Errorf("reading words: %w", err)
		}
		if match(text) {
			ids = append(ids, id)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading words: %w", err)
	}
	negative := c.Op == NotEqual || c.Op == NotMatches
	switch {
	case len(ids) == 0 && !negative:
		sel.never = true
	case len(ids) > 500:
		// Too many for SQL to gain anything: Match decides.
	case negative:
		sel.where = append(sel.where, name+" NOT IN "+list(ids))
	default:
		sel.where = append(sel.where, name+" IN "+list(ids))
		if len(ids) <= 16 {
			sel.ids[name] = ids
		}
	}
	return nil
}

// list writes numbers for IN.
func list(ids []int64) string {
	return "(" + strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ","), "[]") + ")"
}

// selectiveDuration reports whether so few spans fulfil the conditions on
// duration that reading them all is cheapest.
func (s *Store) selectiveDuration(ctx context.Context, sel selection) (bool, error) {
	if len(sel.duration) == 0 {
		return false, nil
	}
	var n int
	err := s.read.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM span_row INDEXED BY span_duration WHERE "+
		strings.Join(sel.duration, " AND ")+" LIMIT ?)", append(slices.Clone(sel.durArgs), selective+1)...).Scan(&n)
	return n <= selective, err
}

// choose picks the index whose part that must be read is the smallest.
func (s *Store) choose(ctx context.Context, sel selection, from, to int64) (walk, error) {
	best := walk{table: "span_row", key: "status", index: "span_status", ids: []int64{0, 1, 2}, column: "start", page: 512, growth: 4}
	least := math.MaxInt
	for _, key := range []string{"status", "name", "service"} {
		ids, ok := sel.ids[key]
		if !ok {
			continue
		}
		var n int
		if err := s.read.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM span_row INDEXED BY span_"+key+
			" WHERE "+key+" IN "+list(ids)+" AND start >= ? AND start < ? LIMIT 5001)", from, to).Scan(&n); err != nil {
			return best, err
		}
		if n < least {
			least, best.key, best.index, best.ids = n, key, "span_"+key, ids
		}
	}
	return best, nil
}

// finder collects the traces of a search.
type finder struct {
	store  *Store
	query  SearchQuery
	sel    selection
	seen   map[TraceID]bool
	result SearchResult
}

// window looks at the spans that start in [from, to) and reports whether to go
// on.
func (f *finder) window(ctx context.Context, index, key string, ids []int64, from, to int64) (more bool, err error) {
	candidates, err := f.candidates(ctx, index, key, ids, from, to)
	if err != nil {
		return false, err
	}
	for _, id := range candidates {
		if f.result.Inspected >= maxSearchTraces {
			f.result.Partial = true
			return false, nil
		}
		f.result.Inspected++
		t, err := f.store.Trace(ctx, id)
		if err != nil {
			return false, err
		}
		if matched := f.query.Match(t); len(matched) > 0 {
			f.result.Traces = append(f.result.Traces, FoundTrace{Trace: t, Matched: matched})
			if len(f.result.Traces) == f.query.Limit {
				return false, nil
			}
		}
	}
	return true, nil
}

// candidates are the traces, not seen before, of the spans in the window for
// which the SQL conditions hold.
func (f *finder) candidates(ctx context.Context, index, key string, ids []int64, from, to int64) ([]TraceID, error) {
	where := append([]string{"start >= ?", "start < ?"}, f.sel.where...)
	args := append([]any{from, to}, f.sel.args...)
	if key != "" {
		where = append(where, key+" IN "+list(ids))
	}
	rows, err := f.store.read.QueryContext(ctx, "SELECT trace_id FROM span_row INDEXED BY "+index+" WHERE "+
		strings.Join(where, " AND ")+" ORDER BY start DESC, id DESC", args...)
	if err != nil {
		return nil, fmt.Errorf("reading spans: %w", err)
	}
	defer rows.Close()
	var list []TraceID
	for rows.Next() {
		var raw sql.RawBytes
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("reading span: %w", err)
		}
		if id := TraceID(raw); !f.seen[id] {
			f.seen[id] = true
			list = append(list, id)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading spans: %w", err)
	}
	return list, nil
}

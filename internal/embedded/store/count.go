package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

const (
	countedRows   = 100_000 // lines that are counted at once, about
	countedGroups = 10_000  // groups of them, at most
)

// LineCount selects log lines to be counted.
type LineCount struct {
	LineQuery
	By    []string // the metadata that is wanted; nil means all
	Sizes bool     // whether the lengths of the texts are wanted
}

// Period is [From, To).
type Period struct{ From, To time.Time }

// CountLines calls yield with the times of the lines that q selects, in nanoseconds
// since 1970, and the lengths of their texts, in groups of one stream and the same
// metadata. The index has these; the lines are not read.
//
// It returns the periods for which it cannot: where a stream has the same text twice at one
// time, where metadata is not in the index, and where there are too many groups. It called yield with none of their lines.
// It reports false if the conditions of q are not all filters of the index; then it
// called yield with no line.
func (s *Store) CountLines(ctx context.Context, q LineCount, yield func(stream, metadata map[string]string, times []int64, sizes []int) error) (not []Period, ok bool, err error) {
	q.Forward = true
	w, streams, exact, err := s.lineWalk(ctx, q.LineQuery)
	if err != nil || !exact || len(streams) == 0 {
		return nil, exact, err
	}
	var lines []countedLine // used again for each stretch
	err = w.stretches(countedRows, func(parts []*partition, from, to int64, most int) (int, bool, error) {
		c := &lineCounter{ctx: ctx, query: q, streams: streams, groups: map[string]int{}, lines: lines}
		defer func() { lines = c.lines }()
		filter := w.filter + " " + between(from, to)
		err := c.read(parts, filter, q.Sizes, most)
		repeated := err == nil && len(c.lines) <= most && c.sameTime()
		if repeated && !q.Sizes {
			err = c.read(parts, filter, true, most) // their texts may differ
		}
		if err != nil || len(c.lines) > most && to-from > 1 {
			return len(c.lines), true, err
		}
		if c.more || repeated && c.repeat() {
			not = append(not, Period{time.Unix(0, from), time.Unix(0, to)})
			return len(c.lines), true, nil
		}
		return len(c.lines), true, c.yield(yield)
	})
	if err != nil {
		return nil, true, fmt.Errorf("counting lines: %w", err)
	}
	return not, true, nil
}

// lineCounter is the lines of a stretch of time.
type lineCounter struct {
	ctx     context.Context
	query   LineCount
	streams map[string]map[string]string // labels, by ID

	lines  []countedLine
	groups map[string]int // indexes into list, by stream and metadata
	list   []lineGroup
	more   bool // the index, or what is here, is not enough to count the lines
}

type countedLine struct {
	time                int64
	stream, group, size int    // stream is the first group of the same stream
	text                uint64 // a hash, 0 if texts were not read
}

type lineGroup struct {
	streamID string
	stream   int // index of the first group of the stream
	metadata map[string]string
}

// read reads the rows for which a filter holds, more than most if there are more,
// not all of them.
func (c *lineCounter) read(parts []*partition, filter string, texts bool, most int) error {
	fields := fieldTime + ", " + fieldStreamID + ", " + fieldMore
	if texts {
		fields += ", " + fieldText
	}
	if c.query.By == nil {
		fields += ", " + quote(prefixMetadata) + "*"
	}
	for _, name := range c.query.By {
		fields += ", " + quote(prefixMetadata+name)
	}
	c.lines = c.lines[:0]
	seed := maphash.MakeSeed()
	for _, p := range parts {
		err := p.index.scan(c.ctx, fmt.Sprintf("%s | fields %s | limit %d", filter, fields, most+1-len(c.lines)), func(times []int64, columns []column) {
			c.add(times, columns, seed)
		})
		if err != nil || len(c.lines) > most {
			return err
		}
	}
	return nil
}

// add adds rows.
func (c *lineCounter) add(times []int64, columns []column, seed maphash.Seed) {
	var texts []string
	var of []column // that make the group
	for _, column := range columns {
		switch {
		case column.Name == fieldText:
			texts = column.Values
		case column.Name == fieldMore:
			c.more = c.more || slices.ContainsFunc(column.Values, func(v string) bool { return v != "" })
		case column.Name == fieldStreamID || strings.HasPrefix(column.Name, prefixMetadata):
			of = append(of, column)
		}
	}
	group := -1
	for i, at := range times {
		if i == 0 || slices.ContainsFunc(of, func(column column) bool { return column.Values[i] != column.Values[i-1] }) {
			group = c.group(of, i)
		}
		l := countedLine{time: at, stream: c.list[group].stream, group: group}
		if texts != nil {
			l.size, l.text = len(texts[i]), maphash.String(seed, texts[i])
		}
		c.lines = append(c.lines, l)
	}
}

// group returns the index of the group of a row.
func (c *lineCounter) group(of []column, i int) int {
	var key strings.Builder
	for _, column := range of {
		if v := column.Values[i]; v != "" {
			fmt.Fprintf(&key, "%d:%s%d:%s", len(column.Name), column.Name, len(v), v)
		}
	}
	n, ok := c.groups[key.String()]
	if !ok {
		if n = len(c.list); n == countedGroups {
			c.more = true
			return 0
		}
		g := lineGroup{metadata: map[string]string{}}
		for _, column := range of {
			switch v := column.Values[i]; {
			case column.Name == fieldStreamID:
				g.streamID = strings.Clone(v)
			case v != "":
				g.metadata[strings.Clone(column.Name[len(prefixMetadata):])] = strings.Clone(v)
			}
		}
		if g.stream = slices.IndexFunc(c.list, func(other lineGroup) bool { return other.streamID == g.streamID }); g.stream < 0 {
			g.stream = n
		}
		if c.streams[g.streamID] == nil { // it is younger than the list
			c.more = true
		}
		c.groups[key.String()] = n
		c.list = append(c.list, g)
	}
	return n
}

// sameTime reports whether two lines of a stream have one time.
func (c *lineCounter) sameTime() bool {
	times := make([][]int64, len(c.list)) // by stream
	for _, l := range c.lines {
		times[l.stream] = append(times[l.stream], l.time)
	}
	return slices.ContainsFunc(times, func(of []int64) bool {
		slices.Sort(of)
		n := len(of)
		return len(slices.Compact(of)) < n
	})
}

// repeat reports whether two lines of a stream have the same time and text. The texts
// must have been read. It sorts the lines.
func (c *lineCounter) repeat() bool {
	slices.SortFunc(c.lines, func(a, b countedLine) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.stream, b.stream), cmp.Compare(a.text, b.text))
	})
	for i := 1; i < len(c.lines); i++ {
		a, b := c.lines[i-1], c.lines[i]
		if a.time == b.time && a.stream == b.stream && a.text == b.text {
			return true
		}
	}
	return false
}

// yield calls f for each group.
func (c *lineCounter) yield(f func(stream, metadata map[string]string, times []int64, sizes []int) error) error {
	times, sizes := make([][]int64, len(c.list)), make([][]int, len(c.list))
	for _, l := range c.lines {
		times[l.group] = append(times[l.group], l.time)
		sizes[l.group] = append(sizes[l.group], l.size)
	}
	var errs error
	for i, g := range c.list {
		if errs = errors.Join(errs, c.ctx.Err()); errs == nil {
			errs = f(c.streams[g.streamID], g.metadata, times[i], sizes[i])
		}
	}
	return errs
}

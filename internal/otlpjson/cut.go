package otlpjson

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Cut counts the elements of a span's lists that a limit left out: of the span's
// own lists, and of lists within attributes, events and links.
type Cut struct{ Attributes, Events, Links, Within int }

func (c *Cut) count(list string, n int) {
	switch list {
	case "attributes":
		c.Attributes += n
	case "events":
		c.Events += n
	case "links":
		c.Links += n
	default:
		c.Within += n
	}
}

// cutAbove is the size of a span, in bytes of JSON, below which its elements are
// not counted: they are bounded by it.
const cutAbove = 64 << 10

// limitElements returns a span with at most n elements in each of its lists, those
// of the lists within counted too. 0 means no limit.
func limitElements(raw jsontext.Value, n int) (jsontext.Value, Cut, error) {
	if n <= 0 || len(raw) <= cutAbove {
		return raw, Cut{}, nil
	}
	var out bytes.Buffer
	c := &copier{
		from: jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true)),
		to:   jsontext.NewEncoder(&out, jsontext.AllowDuplicateNames(true)),
		most: n,
	}
	if err := c.value("", 0); err != nil {
		return nil, Cut{}, fmt.Errorf("shortening the span: %w", err)
	}
	return out.Bytes(), c.cut, nil
}

// copier copies a value and leaves out elements of lists.
type copier struct {
	from *jsontext.Decoder
	to   *jsontext.Encoder
	most int // elements of a field of the span
	left int // elements of this field
	cut  Cut
}

// value copies the next value. list names the span's field that it is, "" deeper
// down.
func (c *copier) value(list string, depth int) error {
	kind := c.from.PeekKind()
	if kind != '{' && kind != '[' {
		return c.token()
	}
	if err := c.token(); err != nil {
		return err
	}
	for c.from.PeekKind() != '}' && c.from.PeekKind() != ']' {
		field := ""
		switch {
		case kind == '[' && c.left == 0:
			if err := c.from.SkipValue(); err != nil {
				return err
			}
			c.cut.count(list, 1)
			continue
		case kind == '[':
			c.left--
		default:
			name, err := c.from.ReadToken()
			if err != nil {
				return err
			}
			if depth == 0 {
				field, c.left = name.String(), c.most
			}
			if err := c.to.WriteToken(name); err != nil {
				return err
			}
		}
		if err := c.value(field, depth+1); err != nil {
			return err
		}
	}
	return c.token()
}

func (c *copier) token() error {
	token, err := c.from.ReadToken()
	if err != nil {
		return err
	}
	return c.to.WriteToken(token)
}

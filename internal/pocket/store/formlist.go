package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// maxFormLists is how many segments' forms are remembered. A search reads many
// traces of few segments.
const maxFormLists = 32

// formList is the forms of a stored segment, each decoded when it is first asked
// for.
type formList struct {
	mu    sync.Mutex
	texts [][]byte
	forms []*form
}

// form is a form that was read.
type form struct {
	source, class int64
	flags         uint64
	attributes    []*commonpb.KeyValue
}

// forms gives those of a segment, from memory where it can, or sql.ErrNoRows.
func (s *Store) forms(ctx context.Context, segment int64) (*formList, error) {
	s.mu.Lock()
	l, ok := s.formed[segment]
	s.mu.Unlock()
	if ok {
		return l, nil
	}
	var text []byte
	if err := s.read.QueryRowContext(ctx, "SELECT forms FROM span_segment WHERE id = ?", segment).Scan(&text); err != nil {
		return nil, fmt.Errorf("reading the forms of segment %d: %w", segment, err)
	}
	texts, err := splitArray(text)
	if err != nil {
		return nil, fmt.Errorf("decoding the forms of segment %d: %w", segment, err)
	}
	l = &formList{texts: texts, forms: make([]*form, len(texts))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.formed) >= maxFormLists {
		clear(s.formed)
	}
	s.formed[segment] = l
	return l, nil
}

func (l *formList) form(i int64) (*form, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i < 0 || i >= int64(len(l.forms)) {
		return nil, fmt.Errorf("a span has form %d of %d: the file is damaged", i, len(l.forms))
	}
	if l.forms[i] == nil {
		f, err := decodeForm(l.texts[i])
		if err != nil {
			return nil, fmt.Errorf("decoding form %d: %w", i, err)
		}
		l.forms[i] = f
	}
	return l.forms[i], nil
}

func decodeForm(text []byte) (*form, error) {
	elements, err := splitArray(text)
	if err != nil {
		return nil, err
	}
	if len(elements) != 4 {
		return nil, fmt.Errorf("it has %d elements: the file is damaged", len(elements))
	}
	f := &form{}
	if f.source, err = strconv.ParseInt(string(elements[0]), 10, 64); err != nil {
		return nil, err
	}
	if f.class, err = strconv.ParseInt(string(elements[1]), 10, 64); err != nil {
		return nil, err
	}
	if f.flags, err = strconv.ParseUint(string(elements[2]), 10, 64); err != nil {
		return nil, err
	}
	f.attributes, err = decodeAttributes(elements[3])
	return f, err
}

// change gives the attributes of a span of the form.
func (f *form) change(text []byte) ([]*commonpb.KeyValue, error) {
	changes, err := decodeAttributes(text)
	if err != nil || len(changes) == 0 {
		return f.attributes, err
	}
	list := slices.Clone(f.attributes)
	for _, kv := range changes {
		i := slices.IndexFunc(list, func(was *commonpb.KeyValue) bool { return was.GetKey() == kv.GetKey() })
		if i < 0 {
			return nil, fmt.Errorf("a span changes attribute %q that its form has not: the file is damaged", kv.GetKey())
		}
		list[i] = kv
	}
	return list, nil
}

var errArray = errors.New("not a JSON array: the file is damaged")

// splitArray gives the texts of the elements of an array as this package writes
// it, without spaces.
func splitArray(text []byte) ([][]byte, error) {
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return nil, errArray
	}
	text = text[1 : len(text)-1]
	var list [][]byte
	for len(text) > 0 {
		n := lengthOfValue(text)
		if n == 0 || n+1 == len(text) || n < len(text) && text[n] != ',' {
			return nil, errArray
		}
		list = append(list, text[:n])
		text = text[min(n+1, len(text)):]
	}
	return list, nil
}

// lengthOfValue is how long the JSON value is with which text begins.
func lengthOfValue(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			n := lengthOfString(text[i+1:])
			if n < 0 {
				return 0
			}
			i += n
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	if depth != 0 {
		return 0
	}
	return len(text)
}

// lengthOfString counts up to and with the quote that ends a string; -1 if none
// does.
func lengthOfString(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++ // what is escaped
		}
	}
	return -1
}

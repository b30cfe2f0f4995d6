package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// maxForms is how many bytes of forms, as text, are remembered; decoded they take
// some six times as much. A search reads thousands of traces of a few hundred
// segments, in turns.
const maxForms = 1 << 20

// formList is the forms of a stored segment, each decoded when it is first asked
// for.
type formList struct {
	size int // of the text

	mu    sync.Mutex
	texts [][]byte
	forms []*form
}

// form is a form that was read.
type form struct {
	size          int // of the text
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
	l = &formList{size: len(text), texts: texts, forms: make([]*form, len(texts))}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.formed { // some, in no order
		if s.formedSize+l.size <= maxForms {
			break
		}
		delete(s.formed, id)
		s.formedSize -= old.size
	}
	if _, ok := s.formed[segment]; !ok {
		s.formed[segment] = l
		s.formedSize += l.size
	}
	return l, nil
}

// forgetForms gives the memory back.
func (s *Store) forgetForms() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.formed)
	s.formedSize = 0
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
	f := &form{size: len(text)}
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

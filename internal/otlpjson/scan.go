package otlpjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// errNoObject begins the error of a value that is not an object.
var errNoObject = errors.New("want an object")

// object reads an object and calls field after each name, to read its value.
func (s *scanner) object(field func(name string) error) error {
	if s.d.PeekKind() != '{' {
		raw, err := s.value()
		if err != nil {
			return err
		}
		return fmt.Errorf("%w, got %s", errNoObject, start(raw))
	}
	if _, err := s.d.ReadToken(); err != nil {
		return s.notJSON(err)
	}
	for s.d.PeekKind() != '}' {
		name, err := s.d.ReadToken()
		if err != nil {
			return s.notJSON(err)
		}
		if err := field(name.String()); err != nil {
			return err
		}
	}
	_, err := s.d.ReadToken()
	return s.notJSON(err)
}

// place names where in a document something is, for errors and notes.
type place func() string

// at returns a fixed place.
func at(text string) place { return func() string { return text } }

// below returns the place of an object's field.
func (p place) below(name string) place { return func() string { return p() + "." + name } }

// list reads a list and calls element with the place of each element, to read it.
// A null is an empty list.
func (s *scanner) list(where place, element func(where place) error) error {
	switch s.d.PeekKind() {
	case 'n':
		return s.skip()
	case '[':
	default:
		raw, err := s.value()
		if err != nil {
			return err
		}
		return fmt.Errorf("%s: want a list, got %s", where(), start(raw))
	}
	if _, err := s.d.ReadToken(); err != nil {
		return s.notJSON(err)
	}
	for i := 0; s.d.PeekKind() != ']'; i++ {
		if s.d.PeekKind() == 0 {
			break // the next token is the error
		}
		if err := element(func() string { return fmt.Sprintf("%s[%d]", where(), i) }); err != nil {
			return err
		}
	}
	_, err := s.d.ReadToken()
	return s.notJSON(err)
}

// value reads a value. It is valid until the next one is read.
func (s *scanner) value() (jsontext.Value, error) {
	raw, err := s.d.ReadValue()
	return raw, s.notJSON(err)
}

func (s *scanner) skip() error { return s.notJSON(s.d.SkipValue()) }

// start returns enough of a value to recognise it.
func start(raw []byte) string {
	const enough = 40
	text := strings.ToValidUTF8(string(raw[:min(len(raw), enough)]), "\uFFFD")
	if len(raw) > enough {
		text += "…"
	}
	return text
}

// syntaxError is an error that says where the input stops being JSON.
type syntaxError struct {
	error
	torn bool // the input ended too early
}

// notJSON returns an error with the place at which the input stops being JSON.
func (s *scanner) notJSON(err error) error {
	if err == nil {
		return nil
	}
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &syntaxError{errors.New("it ends in the middle of a JSON document: save it again, it is not complete"), true}
	case errors.As(err, &syntax):
		line, column := s.lines.position(syntax.ByteOffset)
		return &syntaxError{fmt.Errorf("it is not JSON: line %d, column %d: %w%s", line, column, syntax.Err, notText(s.head)), false}
	}
	return fmt.Errorf("reading it: %w", err)
}

// line returns the line of an offset.
func (s *scanner) line(offset int64) int {
	line, _ := s.lines.position(offset)
	return line
}

// lineReader counts the lines of what is read, so that errors can name a line.
type lineReader struct {
	r     io.Reader
	read  int64
	lines int     // before those of ends
	ends  []int64 // offsets of the last line breaks
}

// maxEnds limits the line breaks that are kept. A decoder reads ahead by one value,
// which rarely has as many lines.
const maxEnds = 1 << 16

// Read implements io.Reader.
func (l *lineReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for rest := p[:n]; ; {
		at := bytes.IndexByte(rest, '\n')
		if at < 0 {
			break
		}
		rest = rest[at+1:]
		l.ends = append(l.ends, l.read+int64(n-len(rest)-1))
	}
	l.read += int64(n)
	if drop := len(l.ends) - maxEnds; drop > maxEnds {
		l.ends, l.lines = slices.Delete(l.ends, 0, drop), l.lines+drop
	}
	return n, err
}

// position returns line and column, in bytes, of an offset, from 1.
func (l *lineReader) position(offset int64) (line, column int) {
	before, _ := slices.BinarySearch(l.ends, offset)
	column = int(offset) + 1
	if before > 0 {
		column = int(offset - l.ends[before-1])
	}
	return 1 + l.lines + before, column
}

package otlpjson

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Document is the result of reading a file.
type Document struct {
	Traces []Trace // by start
	Summary
}

// Summary describes what was read beside the spans.
type Summary struct {
	// Partial reports that the trace store which answered so had more spans, and
	// Message is the store's text about that.
	Partial bool
	Message string
	// Notes name the fields that OTLP does not have and that were left out.
	Notes []string
}

// Span is a span and what it came with. Resource and Scope are shared by the spans
// of a list, and are set when [Scan] has returned: a document may have them after
// its spans.
type Span struct {
	Resource *tracepb.ResourceSpans // its ScopeSpans are not set
	Scope    *tracepb.ScopeSpans    // its Spans are not set
	*tracepb.Span
	// Cut counts what a limit left out of the span.
	Cut Cut
}

// Options are the limits of a Scan. The zero value means none.
type Options struct {
	// Answer reports that a trace store is the source, which may answer without a
	// span.
	Answer bool
	// MaxElements limits the elements of lists (attributes, events, links, values)
	// that are read of one span, so that a span of any size takes bounded memory.
	// 0 means no limit.
	MaxElements int
	// MaxSpanBytes limits a span, in bytes of JSON. A longer one is an error. 0 means
	// no limit.
	MaxSpanBytes int
}

// Read reads the documents of a file. One without a span is an error.
func Read(r io.Reader) (*Document, error) { return read(r, Options{}) }

// standardInput is the name by which ReadFiles reads from there.
const standardInput = "-"

// ReadFiles reads all traces of files; "-" is stdin. It calls warn with the notes of a
// file. The error has a line for each file that is refused.
func ReadFiles(names []string, stdin io.Reader, warn func(name, text string)) (traces []Trace, err error) {
	for _, name := range names {
		doc, bad := readFile(name, stdin)
		if name == standardInput {
			name = "standard input"
		}
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("reading %s: %w", name, bad))
			continue
		}
		for _, note := range doc.Notes {
			warn(name, note)
		}
		if doc.Partial {
			warn(name, "the trace store that wrote it has left spans out, as it says")
		}
		traces = append(traces, doc.Traces...)
	}
	return traces, err
}

func readFile(name string, stdin io.Reader) (*Document, error) {
	if name == standardInput {
		return Read(stdin)
	}
	file, err := os.Open(name)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, failed.Err // the caller names the file
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return Read(file)
}

// ReadAnswer reads what Tempo's API answers. It may be without spans.
func ReadAnswer(r io.Reader, o Options) (*Document, error) {
	o.Answer = true
	return read(r, o)
}

func read(r io.Reader, o Options) (*Document, error) {
	var found []Span
	summary, err := Scan(r, o, func(s Span) error {
		found = append(found, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Document{Traces: Group(found), Summary: summary}, nil
}

// Scan reads documents and calls yield for each span, in their order. It holds one
// span at a time. It stops at the first error, which may be yield's.
func Scan(r io.Reader, o Options, yield func(Span) error) (Summary, error) {
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(3)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return Summary{}, fmt.Errorf("reading it: %w", err)
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")): // a byte order mark
		_, err = buffered.Discard(len(head))
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return Summary{}, errors.New("it is compressed: unpack it with gunzip first")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return Summary{}, fmt.Errorf("reading it: %w", err)
	}
	lines := &lineReader{r: buffered}
	s := &scanner{
		d: jsontext.NewDecoder(lines, jsontext.AllowDuplicateNames(true)), lines: lines, options: o, yield: yield,
		unknown: make(map[string]string), times: make(map[string]int),
	}
	if err := s.documents(); err != nil {
		return Summary{}, err
	}
	return Summary{Partial: s.partial, Message: s.message, Notes: s.notes()}, nil
}

// scanner reads the spans of several documents.
type scanner struct {
	d       *jsontext.Decoder
	lines   *lineReader
	options Options
	yield   func(Span) error

	spans   int
	partial bool
	message string
	unknown map[string]string // what was left out, and where first
	times   map[string]int    // and how often
}

func (s *scanner) documents() error {
	for n := 0; ; n++ {
		kind := s.d.PeekKind()
		if kind == 0 {
			_, err := s.d.ReadToken()
			if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return s.notJSON(err)
			}
			switch {
			case n == 0:
				return errors.New("it is empty: want a document of OTLP JSON")
			case s.spans == 0 && !s.options.Answer:
				return errors.New("there is no span in it")
			}
			return nil
		}
		ahead := s.d.UnreadBuffer() // white space, and the document
		start := s.d.InputOffset() + int64(len(ahead)-len(bytes.TrimLeft(ahead, " \t\r\n")))
		if err := s.document(); err != nil {
			if _, syntax := errors.AsType[*syntaxError](err); n > 0 && !syntax {
				err = fmt.Errorf("the document in line %d: %w", s.line(start), err)
			}
			return err
		}
	}
}

// The names under which a document has its spans: OTLP's, and that of Tempo's
// first API.
const (
	keySpans   = "resourceSpans"
	keyBatches = "batches"
)

func (s *scanner) document() error {
	has := false
	var names []string
	err := s.object(func(name string) error {
		names = append(names, name)
		switch name {
		case keySpans, keyBatches:
			has = true
			return s.list(at(name), s.resource)
		case "trace": // Tempo's second API
			has = true
			return s.trace()
		case "status", "message", "metrics": // of an answer
			raw, err := s.value()
			if err != nil {
				return err
			}
			s.answer(name, raw)
			return nil
		}
		s.note(fmt.Sprintf("unknown field %q", name), at("the document"))
		return s.skip()
	})
	switch {
	case err == nil && !has:
		return notTraces(names)
	case errors.Is(err, errNoObject):
		return fmt.Errorf("want a document of OTLP JSON, an object with %s: %w", keySpans, err)
	}
	return err
}

// trace reads the trace in an answer of Tempo's second API, which may be null.
func (s *scanner) trace() error {
	if s.d.PeekKind() == 'n' {
		return s.skip()
	}
	err := s.object(func(name string) error {
		if name == keySpans || name == keyBatches {
			return s.list(at(name), s.resource)
		}
		s.note(fmt.Sprintf("unknown field %q", name), at("trace"))
		return s.skip()
	})
	if errors.Is(err, errNoObject) {
		return fmt.Errorf("trace: %w", err)
	}
	return err
}

// answer reads a field of Tempo's answer. The status is a name or a number.
func (s *scanner) answer(name string, raw jsontext.Value) {
	text := string(raw)
	if raw.Kind() == '"' {
		unquoted, err := jsontext.AppendUnquote(nil, raw)
		if err == nil {
			text = string(unquoted)
		}
	}
	switch name {
	case "status":
		s.partial = s.partial || text == "PARTIAL" || text == "1"
	case "message":
		s.message = text
	}
}

// notTraces returns an error with what a document without spans seems to be.
func notTraces(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("it is an empty object: want %s", keySpans)
	}
	for key, what := range map[string]string{"resourceLogs": "log lines", "resourceMetrics": "metrics", "resourceProfiles": "profiles"} {
		if slices.Contains(names, key) {
			return fmt.Errorf("it has %s (%s) where a file of traces has %s", key, what, keySpans)
		}
	}
	if slices.Contains(names, "data") {
		return fmt.Errorf(`it has "data", as Jaeger's JSON has: want OTLP JSON, which has %s`, keySpans)
	}
	slices.Sort(names)
	return fmt.Errorf("it has %.200q and no %s: want OTLP JSON", names[:min(len(names), 20)], keySpans)
}

// The names of scopes before OTLP 1.0, which old trace stores still use.
const (
	keyScopes    = "scopeSpans"
	keyOldScopes = "instrumentationLibrarySpans"
	keyOldScope  = "instrumentationLibrary"
)

func (s *scanner) resource(where place) error {
	resource := &tracepb.ResourceSpans{}
	return s.decodeWithout(where, resource, func(name string) (bool, error) {
		if name != keyScopes && name != keyOldScopes {
			return false, nil
		}
		return true, s.list(where.below(name), func(where place) error { return s.scope(where, resource) })
	})
}

func (s *scanner) scope(where place, resource *tracepb.ResourceSpans) error {
	scope := &tracepb.ScopeSpans{}
	return s.decodeWithout(where, scope, func(name string) (bool, error) {
		if name != "spans" {
			return false, nil
		}
		return true, s.list(where.below("spans"), func(where place) error {
			span, cut, err := s.span(where)
			if err != nil {
				return err
			}
			s.spans++
			return s.yield(Span{Resource: resource, Scope: scope, Span: span, Cut: cut})
		})
	})
}

// notes returns remarks on what was left out.
func (s *scanner) notes() []string {
	var notes []string
	for _, text := range slices.Sorted(maps.Keys(s.unknown)) {
		note := text + " is left out, since OTLP has none of that name: " + s.unknown[text]
		if more := s.times[text] - 1; more > 0 {
			note += fmt.Sprintf(", and %d more", more)
		}
		notes = append(notes, note)
	}
	return notes
}

// note records a field that was left out.
func (s *scanner) note(text string, where place) {
	if s.times[text]++; s.times[text] == 1 {
		s.unknown[text] = where()
	}
}

package otlpjson

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
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
	text, head, err := decoded(r)
	if err != nil {
		return Summary{}, err
	}
	lines := &lineReader{r: text}
	s := &scanner{
		d: jsontext.NewDecoder(lines, jsontext.AllowDuplicateNames(true)), lines: lines, head: head, options: o, yield: yield,
		unknown: make(map[string]string), times: make(map[string]int), signals: make(map[signalError]int),
	}
	if err := s.documents(); err != nil {
		return Summary{}, err
	}
	return Summary{Partial: s.partial, Message: s.message, Notes: s.notes()}, nil
}

// maxHead is the part of an input by which it is recognised, in bytes.
const maxHead = 512

// decoded returns the text of an input and its beginning. It leaves out a byte order
// mark, and converts UTF-16, which Windows PowerShell writes, if there is one.
func decoded(r io.Reader) (text io.Reader, head []byte, err error) {
	// A decoder reads past this buffer, straight into its own, so that long texts come in
	// large pieces. Only what is converted comes in small ones.
	buffered := bufio.NewReader(r)
	if head, err = buffered.Peek(maxHead); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("reading it: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		if _, err := buffered.Discard(3); err != nil {
			return nil, nil, fmt.Errorf("reading it: %w", err)
		}
	case bytes.HasPrefix(head, []byte("\xfe\xff")), bytes.HasPrefix(head, []byte("\xff\xfe")):
		buffered = bufio.NewReader(transform.NewReader(buffered, unicode.BOMOverride(transform.Nop)))
	}
	if head, err = buffered.Peek(maxHead); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("reading it: %w", err)
	}
	if bytes.HasPrefix(head, []byte("\x1f\x8b")) {
		return nil, nil, errors.New("it is compressed: unpack it with gunzip first")
	}
	return buffered, bytes.Clone(head), nil
}

// scanner reads the spans of several documents.
type scanner struct {
	d       *jsontext.Decoder
	lines   *lineReader
	head    []byte // the beginning of the input
	options Options
	yield   func(Span) error

	spans   int
	partial bool
	message string
	unknown map[string]string   // what was left out, and where first
	times   map[string]int      // and how often
	remarks []string            // on what else was left out
	signals map[signalError]int // other signals, and how often
	first   *signalError        // of them
	isTorn  bool                // the last document has no end
}

func (s *scanner) documents() error {
	for n := 0; ; n++ {
		kind := s.d.PeekKind()
		if kind == 0 {
			_, err := s.d.ReadToken()
			if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return s.torn(n, s.notJSON(err), s.d.InputOffset())
			}
			return s.ended(n)
		}
		ahead := s.d.UnreadBuffer() // white space, and the document
		start := s.d.InputOffset() + int64(len(ahead)-len(bytes.TrimLeft(ahead, " \t\r\n")))
		if kind != '{' && kind != '[' {
			if err := noDocument(ahead); err != nil {
				return err
			}
		}
		err := s.documentOrList(maxLists)
		if err = s.torn(n, err, start); err != nil {
			if _, syntax := errors.AsType[*syntaxError](err); n > 0 && !syntax {
				err = fmt.Errorf("the document in line %d: %w", s.line(start), err)
			}
			return err
		}
		if s.isTorn {
			return s.ended(n)
		}
	}
}

// ended returns the error of an input that has ended after n documents, or nil.
func (s *scanner) ended(n int) error {
	switch {
	case n == 0:
		return errors.New("it is empty: want a document of OTLP JSON")
	case s.spans == 0 && s.first != nil && !s.options.Answer:
		return s.first
	case s.spans == 0 && !s.options.Answer:
		return errors.New("there is no span in it")
	}
	return nil
}

// torn accepts that the last of several documents of a file, the one after n
// others, has no end: the program that wrote the file was stopped, or is still
// writing. It records that as a remark and returns nil. Other errors it returns.
func (s *scanner) torn(n int, err error, start int64) error {
	syntax, ok := errors.AsType[*syntaxError](err)
	if !ok || !syntax.torn || n == 0 || s.spans == 0 || s.options.Answer {
		return err
	}
	s.isTorn = true
	s.remarks = append(s.remarks, fmt.Sprintf("the end of the last document, in line %d, is missing from the file: the spans that are complete are read", s.line(start)))
	return nil
}

// maxLists is the depth of lists around documents that are read. Zipkin's are two
// deep, which has to be seen to be named.
const maxLists = 2

// documentOrList reads a document, or a list of documents.
func (s *scanner) documentOrList(depth int) error {
	if s.d.PeekKind() == '[' && depth > 0 {
		return s.list(at("the list"), func(place) error { return s.documentOrList(depth - 1) })
	}
	err := s.document()
	if _, other := errors.AsType[*signalError](err); other && !s.options.Answer {
		return nil
	}
	return err
}

// other records another signal, which is left out.
func (s *scanner) other(e *signalError) {
	s.first = cmp.Or(s.first, e)
	s.signals[*e]++
}

// The names under which a document has its spans: OTLP's, the same in the spelling
// of its protobuf, and that of Tempo's first API.
const (
	keySpans      = "resourceSpans"
	keySnakeSpans = "resource_spans"
	keyBatches    = "batches"
)

func isSpans(name string) bool {
	return name == keySpans || name == keySnakeSpans || name == keyBatches
}

// isScopes reports whether a field holds the scopes of a resource, by its name in
// OTLP or before OTLP 1.0.
func isScopes(name string) bool {
	return name == keyScopes || name == keySnakeScopes || name == keyOldScopes
}

func (s *scanner) document() error {
	has := false
	var names []string
	bare := &bareResource{rest: []byte("{")}
	err := s.object(func(name string) error {
		names = append(names, name)
		switch {
		case isSpans(name):
			has = true
			return s.list(at(name), s.resource)
		case name == "trace", name == "result" && s.d.PeekKind() == '{': // Tempo's second API, and Jaeger's third
			has = true
			return s.trace(name)
		case isScopes(name): // a resource by itself, as the logging exporter of OpenTelemetry Java wrote
			has = true
			return s.list(at(name), func(where place) error { return s.scope(where, bare.message()) })
		case name == "resource", name == "schemaUrl":
			raw, err := s.value()
			bare.keep(name, raw)
			return err
		case name == "status", name == "message", name == "metrics": // of an answer
			raw, err := s.value()
			if err != nil {
				return err
			}
			s.answer(name, raw)
			return nil
		}
		if what := signal(name); what != "" {
			s.other(&signalError{name, what})
		} else {
			s.note(fmt.Sprintf("unknown field %q", name), at("the document"))
		}
		return s.skip()
	})
	if bare.resource != nil {
		if bad := s.decode(append(bare.rest, '}'), at("the document"), bare.resource); err == nil {
			err = bad
		}
	}
	switch {
	case err == nil && !has:
		return notTraces(names)
	case errors.Is(err, errNoObject):
		return fmt.Errorf("want a document of OTLP JSON, an object with %s: %w", keySpans, err)
	}
	return err
}

// bareResource is a document that is a ResourceSpans.
type bareResource struct {
	resource *tracepb.ResourceSpans // nil for another document
	rest     []byte                 // its other fields: JSON without its end
}

func (b *bareResource) message() *tracepb.ResourceSpans {
	if b.resource == nil {
		b.resource = &tracepb.ResourceSpans{}
	}
	return b.resource
}

func (b *bareResource) keep(name string, raw jsontext.Value) {
	if len(b.rest) > 1 {
		b.rest = append(b.rest, ',')
	}
	b.rest = append(append(b.rest, `"`+name+`":`...), raw...)
}

// trace reads the trace in an answer of Tempo's second API, which may be null.
func (s *scanner) trace(where string) error {
	if s.d.PeekKind() == 'n' {
		return s.skip()
	}
	err := s.object(func(name string) error {
		if isSpans(name) {
			return s.list(at(name), s.resource)
		}
		s.note(fmt.Sprintf("unknown field %q", name), at(where))
		return s.skip()
	})
	if errors.Is(err, errNoObject) {
		return fmt.Errorf("%s: %w", where, err)
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

// The names of scopes before OTLP 1.0, which old trace stores still use.
const (
	keyScopes      = "scopeSpans"
	keySnakeScopes = "scope_spans"
	keyOldScopes   = "instrumentationLibrarySpans"
	keyOldScope    = "instrumentationLibrary"
)

func (s *scanner) resource(where place) error {
	resource := &tracepb.ResourceSpans{}
	return s.decodeWithout(where, resource, func(name string) (bool, error) {
		if !isScopes(name) {
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
	notes := s.remarks
	for e, n := range s.signals {
		documents := "documents"
		if n == 1 {
			documents = "document"
		}
		notes = append(notes, fmt.Sprintf("the %s (%s) of %d %s: only traces are read", e.what, e.field, n, documents))
	}
	slices.Sort(notes)
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

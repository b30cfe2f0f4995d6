package otlpjson

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Bytes of an ID (trace.proto, message Span).
const (
	traceIDBytes = 16
	spanIDBytes  = 8
)

// decodeWithout reads an object into m. Fields that apart reports as read are not
// part of m; the others are decoded together when the object ends.
func (s *scanner) decodeWithout(where place, m proto.Message, apart func(name string) (bool, error)) error {
	rest := []byte("{")
	err := s.object(func(name string) error {
		if taken, err := apart(name); taken || err != nil {
			return err
		}
		raw, err := s.value()
		if err != nil {
			return err
		}
		if name == keyOldScope {
			name = "scope"
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		if rest, err = jsontext.AppendQuote(rest, name); err != nil {
			return err
		}
		rest = append(append(rest, ':'), raw...)
		return nil
	})
	if errors.Is(err, errNoObject) {
		return fmt.Errorf("%s: %w", where(), err)
	}
	if syntax, ok := errors.AsType[*syntaxError](err); err != nil && !(ok && syntax.torn) {
		return err
	}
	// The spans of a torn document need what came before them.
	return cmp.Or(err, s.decode(append(rest, '}'), where, m))
}

// decode decodes a value into m by protobuf's JSON mapping.
func (s *scanner) decode(raw []byte, where place, m proto.Message) error {
	err := protojson.Unmarshal(raw, m)
	if err == nil {
		return nil
	}
	if text := plain(err); strings.HasPrefix(text, "unknown field") {
		if err = (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, m); err == nil {
			s.note(text, where)
			return nil
		}
	}
	return fmt.Errorf("%s: %s", where(), plain(err))
}

// decoderPlace matches the start of an error of protojson: its name, with a space or a no-break
// space, and a position within the value that it was given, which means nothing to a reader of the
// whole file.
var decoderPlace = regexp.MustCompile(`^proto:[\s\x{a0}]*((syntax error )?\(line \d+:\d+\): )?`)

func plain(err error) string { return decoderPlace.ReplaceAllString(err.Error(), "") }

// given is a span's name and IDs as the input has them, for an error about them.
type given struct {
	Name, TraceID, SpanID, ParentSpanID string
	Links                               []struct{ TraceID, SpanID string }
}

// span decodes a span and checks its IDs against OTLP.
func (s *scanner) span(where place) (*tracepb.Span, Cut, error) {
	raw, err := s.value()
	if err != nil {
		return nil, Cut{}, err
	}
	if most := s.options.MaxSpanBytes; most > 0 && len(raw) > most {
		return nil, Cut{}, fmt.Errorf("%s: the span has %d bytes of JSON, and at most %d are read here", where(), len(raw), most)
	}
	raw, cut, err := limitElements(raw, s.options.MaxElements)
	if err != nil {
		return nil, Cut{}, fmt.Errorf("%s: %w", where(), err)
	}
	input := func() (g given) {
		_ = json.Unmarshal(raw, &g) // as far as it can be read: what is wrong, decode says
		return g
	}
	named := func() string { return fmt.Sprintf("span %.80q (%s)", input().Name, where()) }
	span := &tracepb.Span{}
	if err := s.decode(raw, named, span); err != nil {
		return nil, Cut{}, err
	}
	if err := s.decodeIDs(span, input); err != nil {
		return nil, Cut{}, fmt.Errorf("%s: %w", named(), err)
	}
	return span, cut, nil
}

// decodeIDs replaces the span's IDs, which the mapping takes for base64, by what
// they mean.
func (s *scanner) decodeIDs(span *tracepb.Span, input func() given) error {
	type id struct {
		name   string
		at     *[]byte
		bytes  int
		needed bool
		text   func(given) string
	}
	ids := []id{
		{"traceId", &span.TraceId, traceIDBytes, true, func(g given) string { return g.TraceID }},
		{"spanId", &span.SpanId, spanIDBytes, true, func(g given) string { return g.SpanID }},
		{"parentSpanId", &span.ParentSpanId, spanIDBytes, false, func(g given) string { return g.ParentSpanID }},
	}
	for i, link := range span.GetLinks() {
		name := fmt.Sprintf("links[%d].", i)
		ids = append(ids, // a link may lead nowhere: SDKs record one for its attributes alone
			id{name + "traceId", &link.TraceId, traceIDBytes, false, func(g given) string { return g.Links[i].TraceID }},
			id{name + "spanId", &link.SpanId, spanIDBytes, false, func(g given) string { return g.Links[i].SpanID }})
	}
	for _, id := range ids {
		decoded, err := decodeID(*id.at, id.bytes)
		switch {
		case err != nil:
			return fmt.Errorf("%s is %.80q: %w", id.name, id.text(input()), err)
		case decoded == nil && id.needed:
			return fmt.Errorf("%s is %.80q: want %d hex digits that are not all zero", id.name, id.text(input()), 2*id.bytes)
		}
		*id.at = decoded
	}
	return nil
}

// decodeID returns the ID of n bytes that a decoder of base64 has made of its text.
// Hex digits are base64 digits too: encoding them again gives the text back. An
// ID of zeros is none, as a root span's parent is written by some.
func decodeID(decoded []byte, n int) ([]byte, error) {
	id := decoded
	switch len(decoded) {
	case 0:
		return nil, nil
	case n: // it was base64
	case n * 2 * 3 / 4: // it had two digits a byte
		var err error
		if id, err = hex.DecodeString(base64.StdEncoding.EncodeToString(decoded)); err != nil {
			return nil, fmt.Errorf("want %d hex digits", 2*n)
		}
	default:
		return nil, fmt.Errorf("want %d hex digits", 2*n)
	}
	if !slices.ContainsFunc(id, func(b byte) bool { return b != 0 }) {
		return nil, nil
	}
	return id, nil
}

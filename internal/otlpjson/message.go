package otlpjson

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Bytes of an ID (trace.proto, message Span).
const (
	traceIDBytes = 16
	spanIDBytes  = 8
)

// message decodes an object into m, without the fields that are decoded apart.
func (r *reader) message(obj map[string]json.RawMessage, where string, m proto.Message, apart string) error {
	rest := maps.Clone(obj)
	delete(rest, apart)
	raw, err := json.Marshal(rest)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return r.decode(raw, where, m)
}

// decode decodes a value into m by protobuf's JSON mapping.
func (r *reader) decode(raw json.RawMessage, where string, m proto.Message) error {
	err := protojson.Unmarshal(raw, m)
	if err == nil {
		return nil
	}
	if text := plain(err); strings.HasPrefix(text, "unknown field") {
		if err = (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, m); err == nil {
			r.tell(text, where)
			return nil
		}
	}
	return fmt.Errorf("%s: %s", where, plain(err))
}

// decoderPlace is how protojson begins an error: its name, with a space or a
// no-break space, and a position within the value that it was given, which means
// nothing to who has the whole file.
var decoderPlace = regexp.MustCompile(`^proto:[\s\x{a0}]*((syntax error )?\(line \d+:\d+\): )?`)

func plain(err error) string { return decoderPlace.ReplaceAllString(err.Error(), "") }

// span decodes a span and holds its IDs against OTLP.
func (r *reader) span(raw json.RawMessage, where string) (*tracepb.Span, error) {
	// As far as it can be read: an error should name the span and show its IDs.
	var given struct {
		Name, TraceID, SpanID, ParentSpanID string
		Links                               []struct{ TraceID, SpanID string }
	}
	_ = json.Unmarshal(raw, &given) // what is wrong, decode says
	where = fmt.Sprintf("span %.80q (%s)", given.Name, where)

	span := &tracepb.Span{}
	if err := r.decode(raw, where, span); err != nil {
		return nil, err
	}
	ids := []struct {
		name, text string
		at         *[]byte
		bytes      int
		needed     bool
	}{
		{"traceId", given.TraceID, &span.TraceId, traceIDBytes, true},
		{"spanId", given.SpanID, &span.SpanId, spanIDBytes, true},
		{"parentSpanId", given.ParentSpanID, &span.ParentSpanId, spanIDBytes, false},
	}
	for i, link := range span.Links {
		if i < len(given.Links) {
			name := fmt.Sprintf("links[%d].", i)
			ids = append(ids, ids[0], ids[1])
			// A link may lead nowhere: SDKs record one for its attributes alone.
			ids[len(ids)-2].needed, ids[len(ids)-1].needed = false, false
			ids[len(ids)-2].name, ids[len(ids)-2].text, ids[len(ids)-2].at = name+"traceId", given.Links[i].TraceID, &link.TraceId
			ids[len(ids)-1].name, ids[len(ids)-1].text, ids[len(ids)-1].at = name+"spanId", given.Links[i].SpanID, &link.SpanId
		}
	}
	for _, id := range ids {
		decoded, err := decodeID(*id.at, id.bytes)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %s is %.80q: %w", where, id.name, id.text, err)
		case decoded == nil && id.needed:
			return nil, fmt.Errorf("%s: %s is %.80q: want %d hex digits that are not all zero", where, id.name, id.text, 2*id.bytes)
		}
		*id.at = decoded
	}
	return span, nil
}

// decodeID gives the ID of n bytes that a decoder of base64 has made of its text.
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

// leaveOut tells of the fields of an object that are not among those known.
func (r *reader) leaveOut(obj map[string]json.RawMessage, where string, known ...string) {
	for _, key := range slices.Sorted(maps.Keys(obj)) {
		if !slices.Contains(known, key) {
			r.tell(fmt.Sprintf("unknown field %q", key), where)
		}
	}
}

func (r *reader) tell(text, where string) {
	if r.times[text]++; r.times[text] == 1 {
		r.unknown[text] = where
	}
}

// notes says what was left out.
func (r *reader) notes() []string {
	var notes []string
	for _, text := range slices.Sorted(maps.Keys(r.unknown)) {
		note := text + " is left out, since OTLP has none of that name: " + r.unknown[text]
		if more := r.times[text] - 1; more > 0 {
			note += fmt.Sprintf(", and %d more", more)
		}
		notes = append(notes, note)
	}
	return notes
}

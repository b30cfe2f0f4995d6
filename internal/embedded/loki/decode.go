package loki

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
)

// decodeJSON reads a push request in JSON (Loki's HTTP API, "Ingest logs"):
//
//	{"streams": [{"stream": {label: value}, "values": [[nanoseconds, line, metadata]]}]}
//
// It reads token by token: values of Go, made by reflection, take three times as long.
func decodeJSON(body []byte) ([]store.Line, error) {
	r := jsonReader{jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))}
	var lines []store.Line
	err := r.object(func(key string) error {
		if key != "streams" {
			return r.SkipValue()
		}
		return r.array(func() (err error) {
			lines, err = r.stream(lines)
			return err
		})
	})
	if err == nil {
		if _, err = r.ReadToken(); err == nil {
			err = errors.New("something follows the object")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("decoding the push request: %w", err)
	}
	return lines, nil
}

// jsonReader reads the parts of a push request.
type jsonReader struct{ *jsontext.Decoder }

// stream appends the lines of a stream.
func (r jsonReader) stream(lines []store.Line) ([]store.Line, error) {
	first := len(lines)
	labels := map[string]string{}
	err := r.object(func(key string) (err error) {
		switch key {
		case "stream":
			labels, err = r.texts()
			return err
		case "values":
			return r.array(func() error {
				line, err := r.line()
				lines = append(lines, line)
				return err
			})
		}
		return r.SkipValue()
	})
	labels = withoutEmpty(labels)
	for i := range lines[first:] { // the labels may come last
		lines[first+i].Stream = labels
	}
	return lines, err
}

// line reads [nanoseconds, text] or [nanoseconds, text, metadata].
func (r jsonReader) line() (line store.Line, err error) {
	n := 0
	err = r.array(func() (err error) {
		n++
		switch n {
		case 1:
			line.Time, err = r.nanoseconds()
		case 2:
			if line.Text, err = r.text(); err != nil {
				err = fmt.Errorf("reading a line: %w", err)
			}
		case 3:
			if line.Metadata, err = r.texts(); err != nil {
				err = fmt.Errorf("reading structured metadata: its values are strings: %w", err)
			}
		default:
			err = r.SkipValue()
		}
		return err
	})
	if err == nil && n != 2 && n != 3 {
		err = fmt.Errorf(`a value has %d parts; it is ["nanoseconds", "line"], with structured metadata as a third`, n)
	}
	return line, err
}

func (r jsonReader) nanoseconds() (time.Time, error) {
	text, err := r.text()
	if err != nil {
		return time.Time{}, fmt.Errorf("reading a timestamp: %w", err)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading a timestamp: it is a number of nanoseconds since 1970 in quotes: %w", err)
	}
	return time.Unix(0, n).UTC(), nil
}

// texts reads an object whose values are strings.
func (r jsonReader) texts() (map[string]string, error) {
	texts := map[string]string{}
	err := r.object(func(key string) (err error) {
		texts[key], err = r.text()
		return err
	})
	return texts, err
}

func (r jsonReader) text() (string, error) {
	token, err := r.token('"')
	return token.String(), err
}

// object calls member for each member of an object, which reads its value. null is an
// empty object.
func (r jsonReader) object(member func(key string) error) error {
	if r.PeekKind() == 'n' {
		return r.SkipValue()
	}
	if _, err := r.token('{'); err != nil {
		return err
	}
	for r.PeekKind() == '"' {
		key, err := r.text()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	_, err := r.token('}')
	return err
}

// array calls element for each element of an array, which reads it. null is an empty
// array.
func (r jsonReader) array(element func() error) error {
	if r.PeekKind() == 'n' {
		return r.SkipValue()
	}
	if _, err := r.token('['); err != nil {
		return err
	}
	for r.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := r.token(']')
	return err
}

// token reads a token of the wanted kind. It is valid until the next one is read.
func (r jsonReader) token(want jsontext.Kind) (jsontext.Token, error) {
	token, err := r.ReadToken()
	if err == nil && token.Kind() != want {
		err = fmt.Errorf("%s in place of %s, after byte %d", token.Kind(), want, r.InputOffset())
	}
	return token, err
}

// decodeProto reads a logproto.PushRequest. It reads the fields of Loki's schema
// (pkg/push/push.proto) that a client sends:
//
//	PushRequest      { repeated Stream streams = 1; }
//	Stream           { string labels = 1; repeated Entry entries = 2; }
//	Entry            { google.protobuf.Timestamp timestamp = 1; string line = 2;
//	                   repeated LabelPair structuredMetadata = 3; }
//	LabelPair        { string name = 1; string value = 2; }
//	Timestamp        { int64 seconds = 1; int32 nanos = 2; }
func decodeProto(body []byte) ([]store.Line, error) {
	var lines []store.Line
	err := fields(body, func(number protowire.Number, value field) error {
		if number != 1 {
			return nil
		}
		stream, err := value.message()
		if err != nil {
			return err
		}
		more, err := decodeStream(stream)
		lines = append(lines, more...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("decoding the push request: %w", err)
	}
	return lines, nil
}

// countProto counts the lines of a push request and the pairs of their metadata. In a
// broken request it counts those before the error.
func countProto(body []byte) (lines, pairs int) {
	// each calls visit for the messages of a field.
	each := func(message []byte, wanted protowire.Number, visit func([]byte)) {
		_ = fields(message, func(number protowire.Number, value field) error { // decoding reports what is broken
			if number == wanted && value.kind == protowire.BytesType {
				visit(value.bytes)
			}
			return nil
		})
	}
	each(body, 1, func(stream []byte) {
		each(stream, 2, func(entry []byte) {
			lines++
			each(entry, 3, func([]byte) { pairs++ })
		})
	})
	return lines, pairs
}

func decodeStream(data []byte) ([]store.Line, error) {
	var lines []store.Line
	var labels map[string]string
	err := fields(data, func(number protowire.Number, value field) error {
		if number != 1 && number != 2 {
			return nil
		}
		part, err := value.message()
		if err != nil {
			return err
		}
		if number == 1 {
			if labels, err = logql.ParseLabels(string(part)); err != nil {
				return fmt.Errorf("labels %q: %w", part, err)
			}
			return nil
		}
		line, err := decodeEntry(part)
		lines = append(lines, line)
		return err
	})
	for i := range lines { // the labels may come last
		lines[i].Stream = labels
	}
	return lines, err
}

func decodeEntry(data []byte) (store.Line, error) {
	line := store.Line{Time: time.Unix(0, 0).UTC()}
	err := fields(data, func(number protowire.Number, value field) error {
		if number < 1 || number > 3 {
			return nil
		}
		part, err := value.message()
		if err != nil {
			return err
		}
		switch number {
		case 1:
			line.Time, err = decodeTime(part)
		case 2:
			line.Text = string(part)
		case 3:
			if line.Metadata == nil {
				line.Metadata = make(map[string]string)
			}
			err = decodePair(part, line.Metadata)
		}
		return err
	})
	return line, err
}

func decodeTime(data []byte) (time.Time, error) {
	var seconds, nanos int64
	err := fields(data, func(number protowire.Number, value field) (err error) {
		switch number {
		case 1:
			seconds, err = value.varint()
		case 2:
			nanos, err = value.varint()
		}
		return err
	})
	if err == nil && (nanos < 0 || nanos >= int64(time.Second)) {
		err = fmt.Errorf("a timestamp has %d nanoseconds beside its seconds", nanos)
	}
	return time.Unix(seconds, nanos).UTC(), err
}

func decodePair(data []byte, into map[string]string) error {
	var name, text []byte
	err := fields(data, func(number protowire.Number, value field) (err error) {
		switch number {
		case 1:
			name, err = value.message()
		case 2:
			text, err = value.message()
		}
		return err
	})
	into[string(name)] = string(text)
	return err
}

// field is the value of one field of a message.
type field struct {
	kind   protowire.Type
	bytes  []byte // of a length-delimited field
	number uint64 // of a varint
}

var errWireType = errors.New("a field has another type than in Loki's schema")

func (f field) message() ([]byte, error) {
	if f.kind != protowire.BytesType {
		return nil, errWireType
	}
	return f.bytes, nil
}

func (f field) varint() (int64, error) {
	if f.kind != protowire.VarintType {
		return 0, errWireType
	}
	return int64(f.number), nil
}

// fields calls visit for each field of a message, in order.
func fields(message []byte, visit func(protowire.Number, field) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		f := field{kind: kind}
		switch kind {
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := visit(number, f); err != nil {
			return err
		}
	}
	return nil
}

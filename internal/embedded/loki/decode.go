package loki

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
)

// pushed is a push request in JSON.
type pushed struct {
	Streams []struct {
		Stream map[string]string `json:"stream"`
		Values []pushedEntry     `json:"values"`
	} `json:"streams"`
}

// pushedEntry is [nanoseconds, text] or [nanoseconds, text, metadata].
type pushedEntry struct {
	at       time.Time
	text     string
	metadata map[string]string
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *pushedEntry) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return fmt.Errorf("a value is not an array: %w", err)
	}
	if len(parts) != 2 && len(parts) != 3 {
		return fmt.Errorf("a value has %d parts; it is [\"nanoseconds\", \"line\"], with structured metadata as a third", len(parts))
	}
	var nanos string
	if err := json.Unmarshal(parts[0], &nanos); err != nil {
		return fmt.Errorf("reading a timestamp: %w", err)
	}
	n, err := strconv.ParseInt(nanos, 10, 64)
	if err != nil {
		return fmt.Errorf("reading a timestamp: it is a number of nanoseconds since 1970 in quotes: %w", err)
	}
	e.at = time.Unix(0, n).UTC()
	if err := json.Unmarshal(parts[1], &e.text); err != nil {
		return fmt.Errorf("reading a line: %w", err)
	}
	if len(parts) == 3 {
		if err := json.Unmarshal(parts[2], &e.metadata); err != nil {
			return fmt.Errorf("reading structured metadata: its values are strings: %w", err)
		}
	}
	return nil
}

func decodeJSON(body []byte) ([]store.Line, error) {
	var p pushed
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("decoding the push request: %w", err)
	}
	var lines []store.Line
	for _, s := range p.Streams {
		labels := withoutEmpty(s.Stream)
		for _, v := range s.Values {
			lines = append(lines, store.Line{Time: v.at, Stream: labels, Metadata: v.metadata, Text: v.text})
		}
	}
	return lines, nil
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

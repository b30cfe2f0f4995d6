package otlp

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Estimates of the memory that a decoded message takes, in bytes. Each is an upper
// bound for the structs of both libraries that decode exports.
const (
	perMessage = 64 // of a message without fields, with the pointer to it
	perField   = 24 // of a field: the header of a slice
	perElement = 32 // of an element of a list of numbers or texts, which may be one byte on the wire
	perByte    = 3  // copies of a byte of the body: in it, decoded, and as the store writes it
)

// The depths to which messages may be nested. The decoder of spans has a bound of its own,
// and spans with attributes nested deeper than MaxDepth are rejected one by one. The
// decoder of log records and metrics has none; lists and maps in their attributes are at
// most three messages a level, below six others.
const (
	maxMessages = protowire.DefaultRecursionLimit
	maxNested   = 3*MaxDepth + 16
)

// shape is a message type: the bytes that a message takes in memory, and the fields that
// hold messages or lists, by number. The memory that decoding takes is computed from the
// tags of a body before it is decoded, because the length of the body says little: an
// empty span is two bytes on the wire and hundreds in memory.
type shape struct {
	bytes  int64
	fields []*shape // nil for a list of numbers
	most   int64    // bytes of the largest message in it; of a root only
}

// newShape returns the shape of a message and of all messages that it can hold.
func newShape(message protoreflect.MessageDescriptor) *shape {
	known := make(map[protoreflect.FullName]*shape)
	root := shapeOf(message, known)
	for _, s := range known {
		root.most = max(root.most, s.bytes)
	}
	return root
}

func shapeOf(message protoreflect.MessageDescriptor, known map[protoreflect.FullName]*shape) *shape {
	if s, ok := known[message.FullName()]; ok {
		return s
	}
	fields := message.Fields()
	n := fields.Len()
	for i := range message.Oneofs().Len() {
		n -= message.Oneofs().Get(i).Fields().Len() - 2 // a pointer, and the value that is set
	}
	s := &shape{bytes: perMessage + perField*int64(n)}
	known[message.FullName()] = s
	for i := range fields.Len() {
		field := fields.Get(i)
		var inner *shape
		switch {
		case field.Message() != nil:
			inner = shapeOf(field.Message(), known)
		case field.IsList():
			inner = &shape{bytes: elementBytes(field.Kind())}
		default:
			continue
		}
		for len(s.fields) <= int(field.Number()) {
			s.fields = append(s.fields, nil)
		}
		s.fields[field.Number()] = inner
	}
	if message.ReservedRanges().Has(oldScopes) {
		s.fields = append(s.fields, make([]*shape, oldScopes+1-len(s.fields))...)
		s.fields[oldScopes] = s.fields[2]
	}
	return s
}

// oldScopes is the number that the list of scopes had before OTLP 1.0. The decoder of log
// records and metrics still reads it.
const oldScopes = 1000

// elementBytes returns the memory that a list takes for a byte of the body.
func elementBytes(kind protoreflect.Kind) int64 {
	switch kind {
	case protoreflect.DoubleKind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return perElement / 8
	}
	return perElement
}

// protobuf returns the bytes that an export in protobuf takes in memory, and whether its
// messages are nested deeper than depth. For a broken one it returns the bytes that
// decoding takes until it fails.
func (s *shape) protobuf(body []byte, depth int) (size int64, deep bool) {
	size, deep = s.weigh(body, depth)
	return size + perByte*int64(len(body)), deep
}

// weigh returns the bytes that a message takes, with the messages in it down to depth
// levels, and whether there are deeper ones.
func (s *shape) weigh(body []byte, depth int) (size int64, deep bool) {
	if s.fields == nil { // a packed list
		return s.bytes * int64(max(len(body), 1)), false
	}
	size = s.bytes
	if depth == 0 {
		return size, true
	}
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return size, deep
		}
		body = body[n:]
		if int(number) >= len(s.fields) || s.fields[number] == nil || kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, body); n < 0 {
				return size, deep
			}
			body = body[n:]
			if int(number) < len(s.fields) && s.fields[number] != nil { // an element of a list that is not packed
				size += perElement
			}
			continue
		}
		inner, n := protowire.ConsumeBytes(body)
		if n < 0 {
			return size, deep
		}
		bytes, below := s.fields[number].weigh(inner, depth-1)
		size, deep, body = size+bytes, deep || below, body[n:]
	}
	return size, deep
}

// json returns an upper bound of the bytes that an export in JSON takes in memory, and
// whether it is nested deeper than most messages: each object is one message, and each
// element of a list but the first follows a comma.
func (s *shape) json(body []byte, most int) (size int64, deep bool) {
	size = perByte*int64(len(body)) + s.most*int64(bytes.Count(body, []byte("{"))) + perElement*int64(bytes.Count(body, []byte(",")))
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			if depth++; depth > 2*most { // a list is a level of its own
				return size, true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return size, false
}

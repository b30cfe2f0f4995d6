package otlp

import (
	"bytes"
	"reflect"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// scale computes the memory that decoding a body takes, beforehand and from the tags
// alone. The length of the body would not do: an empty span is two bytes on the wire
// and hundreds in memory.
type scale struct {
	root *shape
	most int64 // bytes of the largest message, for JSON
}

// shape describes a message type: the bytes that a message takes in memory, and the
// fields that hold further messages, by number.
type shape struct {
	bytes  int64
	fields []*shape
}

const (
	// perMessage is the number of further bytes that each message takes: a pointer in
	// a list that has grown, and the wrapper that a oneof allocates.
	perMessage = 48
	// perByte is the number of copies of a byte of the body at a time: in the body, in
	// the decoded strings, and in the text that the store writes.
	perByte = 3
	// maxMessages is the depth to which nested messages are counted. The decoder fails
	// at the same depth (protobuf's default), so deeper ones take no memory.
	maxMessages = protowire.DefaultRecursionLimit
)

func newScale() *scale {
	s := &scale{}
	s.root = s.shape((&coltracepb.ExportTraceServiceRequest{}).ProtoReflect(), make(map[protoreflect.FullName]*shape))
	return s
}

// shape returns the shape of a message and of all messages that it can hold.
func (s *scale) shape(message protoreflect.Message, known map[protoreflect.FullName]*shape) *shape {
	name := message.Descriptor().FullName()
	if sh, ok := known[name]; ok {
		return sh
	}
	sh := &shape{bytes: perMessage + int64(reflect.TypeOf(message.Interface()).Elem().Size())}
	known[name] = sh
	s.most = max(s.most, sh.bytes)
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		var of *shape
		switch inner := message.NewField(field); {
		case field.IsList() && field.Message() != nil:
			of = s.shape(inner.List().NewElement().Message(), known)
		case field.IsList():
			of = &shape{bytes: perMessage}
		case field.Message() != nil:
			of = s.shape(inner.Message(), known)
		default:
			continue
		}
		for len(sh.fields) <= int(field.Number()) {
			sh.fields = append(sh.fields, nil)
		}
		sh.fields[field.Number()] = of
	}
	return sh
}

// protobuf returns the bytes that an export in protobuf takes in memory. For a broken
// one it returns the bytes that decoding takes until it fails.
func (s *scale) protobuf(body []byte) int64 {
	return perByte*int64(len(body)) + s.root.weigh(body, maxMessages)
}

// json returns an upper bound of the bytes that an export in JSON takes in memory: each
// object is one message, and each element of a list but the first follows a comma.
func (s *scale) json(body []byte) int64 {
	return perByte*int64(len(body)) + s.most*int64(bytes.Count(body, []byte("{"))) + perMessage*int64(bytes.Count(body, []byte(",")))
}

// weigh returns the bytes that a message takes, with the messages in it down to depth
// levels.
func (sh *shape) weigh(body []byte, depth int) (bytes int64) {
	bytes = sh.bytes
	if depth == 0 {
		return bytes
	}
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return bytes
		}
		body = body[n:]
		if kind == protowire.BytesType && int(number) < len(sh.fields) && sh.fields[number] != nil {
			inner, n := protowire.ConsumeBytes(body)
			if n < 0 {
				return bytes
			}
			bytes += sh.fields[number].weigh(inner, depth-1)
			body = body[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, body); n < 0 {
			return bytes
		}
		body = body[n:]
	}
	return bytes
}

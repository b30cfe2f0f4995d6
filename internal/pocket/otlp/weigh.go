package otlp

import (
	"bytes"
	"reflect"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// An empty span is two bytes on the wire and hundreds in memory, so the length of
// a body says little about what decoding it takes. A scale tells beforehand, from
// the tags alone.
type scale struct {
	root *shape
	most int64 // bytes of the largest message, for JSON
}

// shape is what a scale knows of a kind of message: the bytes that one takes and
// the fields that hold further ones, by number.
type shape struct {
	bytes  int64
	fields []*shape
}

const (
	// perMessage is what comes with each message: a pointer in a list that has
	// grown, and what a oneof allocates besides.
	perMessage = 48
	// perByte is how often a byte of the body is there at a time: in the body, in
	// the decoded strings, and as the text that the store writes.
	perByte = 3
	// maxMessages is how deep messages are followed. Of deeper ones the decoder
	// makes nothing: it gives up at the same depth (protobuf's default).
	maxMessages = protowire.DefaultRecursionLimit
)

func newScale() *scale {
	s := &scale{}
	s.root = s.shape((&coltracepb.ExportTraceServiceRequest{}).ProtoReflect(), make(map[protoreflect.FullName]*shape))
	return s
}

// shape describes a message and all that it can hold.
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

// protobuf is what an export in protobuf takes. Of one that is broken it is what
// decoding takes until that is seen.
func (s *scale) protobuf(body []byte) int64 {
	return perByte*int64(len(body)) + s.root.weigh(body, maxMessages)
}

// json is what an export in JSON takes at most: each object is one message, and
// each element of a list but the first follows a comma.
func (s *scale) json(body []byte) int64 {
	return perByte*int64(len(body)) + s.most*int64(bytes.Count(body, []byte("{"))) + perMessage*int64(bytes.Count(body, []byte(",")))
}

// weigh returns the bytes that a message takes, with those that it holds down to
// depth levels.
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

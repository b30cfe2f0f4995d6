package query

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/otlpjson"
)

// Traces are read as protobuf where the server can write it, which takes a quarter of the time of
// JSON. The limits on a span's elements are those of the reader of JSON, so an answer that may reach
// them is asked for again, as JSON.
const (
	protobufType = "application/protobuf"
	maxProtobuf  = 32 << 20 // bytes of an answer
	maxMessage   = 64 << 10 // bytes of a span, a resource or a scope
)

// errNeedsJSON reports an answer that is to be read as JSON instead: it is too large, or not what
// OTLP allows, such as a text that is not UTF-8.
var errNeedsJSON = errors.New("the answer cannot be read as protobuf")

// acceptProtobuf are the headers of a request for a trace.
func acceptProtobuf() http.Header {
	return http.Header{"Accept": {protobufType + ", application/json;q=0.9"}}
}

// isProtobuf reports whether an answer has protobuf.
func isProtobuf(header http.Header) bool {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && (kind == protobufType || kind == "application/x-protobuf")
}

// decodeProtobuf reads the trace with the given ID from a TraceByIDResponse (Tempo,
// pkg/tempopb/tempo.proto), as [DecodeTrace] reads it from JSON.
func decodeProtobuf(r io.Reader, id string) (*Trace, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxProtobuf+1))
	if err != nil {
		return nil, fmt.Errorf("reading a trace: %w", err)
	}
	if len(body) > maxProtobuf {
		return nil, errNeedsJSON
	}
	wanted, err := hex.DecodeString(id)
	if err != nil {
		return nil, fmt.Errorf("reading trace ID %.40q: %w", id, err)
	}
	t := &Trace{ID: id}
	b := newTraceBuilder()
	err = fields(body, func(num protowire.Number, value []byte, n uint64) error {
		switch num {
		case 1: // trace
			return fields(value, func(num protowire.Number, value []byte, _ uint64) error {
				if num != 1 { // resource_spans
					return nil
				}
				return b.addResource(t, wanted, value)
			})
		case 3: // status: COMPLETE or PARTIAL
			t.Partial = n == 1
		case 4:
			t.Message = string(value)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNeedsJSON, err)
	}
	b.finish(t)
	return t, nil
}

// addResource adds those spans of a ResourceSpans message that have the trace ID.
func (b *traceBuilder) addResource(t *Trace, id, message []byte) error {
	resource := &tracepb.ResourceSpans{Resource: &resourcepb.Resource{}}
	return fields(message, func(num protowire.Number, value []byte, _ uint64) error {
		switch num {
		case 1:
			return unmarshal(value, resource.Resource)
		case 2:
			scope := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{}}
			return fields(value, func(num protowire.Number, value []byte, _ uint64) error {
				switch num {
				case 1:
					return unmarshal(value, scope.Scope)
				case 2:
					span := &tracepb.Span{}
					if err := unmarshal(value, span); err != nil {
						return err
					}
					if bytes.Equal(span.GetTraceId(), id) {
						b.add(t, otlpjson.Span{Resource: resource, Scope: scope, Span: span})
					}
				}
				return nil
			})
		}
		return nil
	})
}

// unmarshal decodes a message of bounded size.
func unmarshal(value []byte, into proto.Message) error {
	if len(value) > maxMessage {
		return errNeedsJSON
	}
	return proto.Unmarshal(value, into)
}

// fields calls f for each field of a message: with the bytes of one that has them, or the number of
// a varint.
func fields(message []byte, f func(num protowire.Number, value []byte, n uint64) error) error {
	for len(message) > 0 {
		num, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var value []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(num, kind, message)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if err := f(num, value, n); err != nil {
			return err
		}
	}
	return nil
}

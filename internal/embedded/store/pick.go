package store

import (
	"errors"
	"fmt"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of OTLP's trace.proto. ResourceSpans and ScopeSpans have the same number
// for their list; that of TracesData is different.
const (
	protoResourceSpans = 1
	protoHead          = 1 // resource, or scope
	protoList          = 2 // scope_spans, or spans
	protoSchemaURL     = 3
)

// pick decodes the spans of a TracesData whose numbers are wanted, and calls yield
// with each. It does not decode the others: a record has hundreds of spans, and few of
// them belong to one trace.
func pick(data []byte, wanted func(number int) bool, yield func(number int, span Span)) error {
	number := 0
	for len(data) > 0 {
		field, resource, rest, err := next(data)
		if err != nil {
			return err
		}
		data = rest
		if field != protoResourceSpans {
			continue
		}
		of, err := split(resource)
		if err != nil {
			return err
		}
		for _, scope := range of.list {
			in, err := split(scope)
			if err != nil {
				return err
			}
			var source *Source // decoded when it is needed
			for _, text := range in.list {
				if !wanted(number) {
					number++
					continue
				}
				if source == nil {
					if source, err = newSource(of, in); err != nil {
						return err
					}
				}
				span := &tracepb.Span{}
				if err := proto.Unmarshal(text, span); err != nil {
					return fmt.Errorf("decoding a span: %w", err)
				}
				yield(number, Span{Span: span, Source: source})
				number++
			}
		}
	}
	return nil
}

// parts are the fields of a ResourceSpans or ScopeSpans.
type parts struct {
	head      []byte
	list      [][]byte
	schemaURL string
}

func split(message []byte) (p parts, err error) {
	for len(message) > 0 {
		field, value, rest, err := next(message)
		if err != nil {
			return p, err
		}
		message = rest
		switch field {
		case protoHead:
			p.head = value
		case protoList:
			p.list = append(p.list, value)
		case protoSchemaURL:
			p.schemaURL = string(value)
		}
	}
	return p, nil
}

// next reads a field. Its value is nil if it is not length-delimited.
func next(message []byte) (field protowire.Number, value, rest []byte, err error) {
	field, kind, n := protowire.ConsumeTag(message)
	if n < 0 {
		return 0, nil, nil, errors.New("decoding spans: a tag is damaged")
	}
	message = message[n:]
	if kind == protowire.BytesType {
		value, n = protowire.ConsumeBytes(message)
	} else {
		n = protowire.ConsumeFieldValue(field, kind, message)
	}
	if n < 0 {
		return 0, nil, nil, errors.New("decoding spans: a field is damaged")
	}
	return field, value, message[n:], nil
}

func newSource(resource, scope parts) (*Source, error) {
	s := &Source{ResourceSchemaURL: resource.schemaURL, ScopeSchemaURL: scope.schemaURL, key: string(resource.head) + "\x00" + resource.schemaURL}
	if resource.head != nil {
		s.Resource = &resourcepb.Resource{}
		if err := proto.Unmarshal(resource.head, s.Resource); err != nil {
			return nil, fmt.Errorf("decoding a resource: %w", err)
		}
	}
	if scope.head != nil {
		s.Scope = &commonpb.InstrumentationScope{}
		if err := proto.Unmarshal(scope.head, s.Scope); err != nil {
			return nil, fmt.Errorf("decoding a scope: %w", err)
		}
	}
	s.scopeKey = s.key + "\x00" + string(scope.head) + "\x00" + scope.schemaURL
	s.Service = serviceOf(s.Resource)
	return s, nil
}

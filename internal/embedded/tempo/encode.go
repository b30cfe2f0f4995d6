package tempo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// encoder writes a response in JSON piece by piece, until its context ends: a trace in
// memory is many times as large as a piece.
type encoder struct {
	ctx context.Context
	w   io.Writer
	err error
}

// respond answers with the output of write.
func respond(w http.ResponseWriter, r *http.Request, write func(*encoder)) error {
	w.Header().Set("Content-Type", "application/json")
	e := &encoder{ctx: r.Context(), w: w}
	write(e)
	return e.err
}

func (e *encoder) bytes(text []byte) {
	if e.err = cmp.Or(e.err, e.ctx.Err()); e.err == nil {
		_, e.err = e.w.Write(text)
	}
}

func (e *encoder) text(s string) { e.bytes([]byte(s)) }

func (e *encoder) value(v any) {
	text, err := json.Marshal(v)
	e.err = cmp.Or(e.err, err)
	e.bytes(text)
}

// list writes n elements, and stops at the first error.
func (e *encoder) list(n int, element func(i int)) {
	e.text("[")
	for i := range n {
		if e.err != nil {
			return
		}
		if i > 0 {
			e.text(",")
		}
		element(i)
	}
	e.text("]")
}

// message writes a message in protobuf's JSON mapping.
func (e *encoder) message(m proto.Message) {
	text, err := messageJSON(m)
	e.err = cmp.Or(e.err, err)
	e.bytes(text)
}

// messageJSON returns a message in protobuf's JSON mapping, without the white space
// that package protojson adds at random.
func messageJSON(m proto.Message) (json.RawMessage, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding the answer: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, fmt.Errorf("encoding the answer: %w", err)
	}
	return compact.Bytes(), nil
}

// batches writes OTLP's ResourceSpans in protobuf's JSON mapping.
func (e *encoder) batches(batches []*tracepb.ResourceSpans) {
	e.list(len(batches), func(i int) {
		b := batches[i]
		e.text("{")
		if b.Resource != nil {
			e.text(`"resource":`)
			e.message(b.Resource)
			e.text(",")
		}
		e.text(`"scopeSpans":`)
		e.list(len(b.ScopeSpans), func(j int) { e.scope(b.ScopeSpans[j]) })
		e.schema(b.SchemaUrl)
	})
}

func (e *encoder) scope(s *tracepb.ScopeSpans) {
	e.text("{")
	if s.Scope != nil {
		e.text(`"scope":`)
		e.message(s.Scope)
		e.text(",")
	}
	e.text(`"spans":`)
	e.list(len(s.Spans), func(i int) { e.message(s.Spans[i]) })
	e.schema(s.SchemaUrl)
}

// schema writes the last field of an object, if there is one, and closes the object.
func (e *encoder) schema(url string) {
	if url != "" {
		e.text(`,"schemaUrl":`)
		e.value(url)
	}
	e.text("}")
}

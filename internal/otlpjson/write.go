package otlpjson

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json/jsontext"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Write writes the trace to w as one document, indented, with a line break at its
// end. It encodes one span at a time.
func (t Trace) Write(w io.Writer) error {
	d := &documentWriter{to: jsontext.NewEncoder(w, jsontext.WithIndent("  "), jsontext.PreserveRawStrings(true))}
	d.trace(t.Data)
	if d.err != nil {
		return fmt.Errorf("writing trace %s: %w", t.ID, d.err)
	}
	return nil
}

// Create writes the trace to a new file, whole or not at all, that its owner alone can
// read, because telemetry may be private.
func (t Trace) Create(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating the file: %w", err)
	}
	err = t.Write(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// documentWriter writes what protobuf's JSON mapping gives a TracesData, with the
// fields in the order of their numbers. After the first error, err, it does nothing.
type documentWriter struct {
	to  *jsontext.Encoder
	err error
}

func (d *documentWriter) trace(resources []*tracepb.ResourceSpans) {
	d.object(func() {
		d.list(keySpans, len(resources), func(i int) { d.resource(resources[i]) })
	})
}

func (d *documentWriter) resource(r *tracepb.ResourceSpans) {
	d.object(func() {
		d.message("resource", r.GetResource())
		d.list(keyScopes, len(r.GetScopeSpans()), func(i int) { d.scope(r.GetScopeSpans()[i]) })
		d.text("schemaUrl", r.GetSchemaUrl())
	})
}

func (d *documentWriter) scope(s *tracepb.ScopeSpans) {
	d.object(func() {
		d.message("scope", s.GetScope())
		d.list("spans", len(s.GetSpans()), func(i int) { d.span(s.GetSpans()[i]) })
		d.text("schemaUrl", s.GetSchemaUrl())
	})
}

// span writes a span with its IDs in hex.
func (d *documentWriter) span(span *tracepb.Span) {
	span = proto.CloneOf(span)
	ids := []*[]byte{&span.TraceId, &span.SpanId, &span.ParentSpanId}
	for _, link := range span.GetLinks() {
		ids = append(ids, &link.TraceId, &link.SpanId)
	}
	for _, id := range ids {
		var err error
		if *id, err = encodeID(*id); err != nil {
			d.err = fmt.Errorf("span %.80q: %w", span.GetName(), err)
			return
		}
	}
	d.value(span)
}

func (d *documentWriter) object(fields func()) {
	d.token(jsontext.BeginObject)
	fields()
	d.token(jsontext.EndObject)
}

// list writes a field with n elements. Without one it is left out.
func (d *documentWriter) list(name string, n int, element func(i int)) {
	if n == 0 {
		return
	}
	d.token(jsontext.String(name))
	d.token(jsontext.BeginArray)
	for i := 0; i < n && d.err == nil; i++ {
		element(i)
	}
	d.token(jsontext.EndArray)
}

// text writes a field with a text, unless it is empty.
func (d *documentWriter) text(name, text string) {
	if text != "" {
		d.token(jsontext.String(name))
		d.token(jsontext.String(text))
	}
}

// message writes a field with a message, unless it is not set.
func (d *documentWriter) message(name string, m proto.Message) {
	if m.ProtoReflect().IsValid() {
		d.token(jsontext.String(name))
		d.value(m)
	}
}

func (d *documentWriter) value(m proto.Message) {
	if d.err != nil {
		return
	}
	var text []byte
	if text, d.err = (protojson.MarshalOptions{UseEnumNumbers: true}).Marshal(m); d.err == nil {
		d.err = d.to.WriteValue(text)
	}
}

func (d *documentWriter) token(t jsontext.Token) {
	if d.err == nil {
		d.err = d.to.WriteToken(t)
	}
}

// encodeID returns the bytes that an encoder of base64 writes as the ID's hex
// digits: decodeID the other way round.
func encodeID(id []byte) ([]byte, error) {
	decoded, err := base64.StdEncoding.DecodeString(hex.EncodeToString(id))
	if err != nil {
		return nil, fmt.Errorf("ID %x has %d bytes, which no ID of OTLP has", id, len(id))
	}
	return decoded, nil
}

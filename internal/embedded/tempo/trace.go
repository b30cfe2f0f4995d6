package tempo

import (
	"fmt"
	"net/http"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/store"
)

// tooLarge returns Tempo's message for a trace that it does not return, or not whole.
func tooLarge() string {
	return fmt.Sprintf("trace exceeds max size (max bytes: %d)", store.MaxTraceBytes)
}

// traceV1 answers /api/traces/{id}: {"batches":[…]}, where a batch is OTLP's
// ResourceSpans in protobuf's JSON mapping; or tempopb.Trace, which on the wire
// is OTLP's TracesData. It has no field for missing spans, so a trace that is too large is
// an error, as in Tempo.
func (a *api) traceV1(w http.ResponseWriter, r *http.Request) error {
	t, err := a.trace(r)
	if err != nil {
		return err
	}
	if len(t.Spans) == 0 {
		return answer.Errorf(http.StatusNotFound, "trace not found: %s", r.PathValue("id"))
	}
	if t.Partial {
		return answer.Errorf(http.StatusUnprocessableEntity, "%s: /api/v2/traces gives the part that came first", tooLarge())
	}
	batches := t.ResourceSpans()
	if wantsProtobuf(r) {
		return protobuf(w, &tracepb.TracesData{ResourceSpans: batches}, nil)
	}
	return respond(w, r, func(e *encoder) {
		e.text(`{"batches":`)
		e.batches(batches)
		e.text("}")
	})
}

// traceV2 answers /api/v2/traces/{id}: tempopb.TraceByIDResponse, in JSON or on
// the wire. The trace of an unknown ID is empty.
func (a *api) traceV2(w http.ResponseWriter, r *http.Request) error {
	t, err := a.trace(r)
	if err != nil {
		return err
	}
	envelope := &traceByID{}
	if t.Partial {
		envelope.partial, envelope.message = true, tooLarge()
	}
	batches := t.ResourceSpans()
	if wantsProtobuf(r) {
		return protobuf(w, &tracepb.TracesData{ResourceSpans: batches}, envelope)
	}
	return respond(w, r, func(e *encoder) {
		e.text(`{"trace":{`)
		if len(batches) > 0 {
			e.text(`"resourceSpans":`)
			e.batches(batches)
		}
		e.text(`},"metrics":{}`)
		if t.Partial {
			e.text(`,"status":"PARTIAL","message":`)
			e.value(tooLarge())
		}
		e.text("}")
	})
}

// trace reads a trace. An unknown one has no spans. A span without a status gets an empty
// one, as in Tempo.
func (a *api) trace(r *http.Request) (store.Trace, error) {
	id, err := parseTraceID(r.PathValue("id"))
	if err != nil {
		return store.Trace{}, err
	}
	t, err := a.store.Trace(r.Context(), id)
	for _, s := range t.Spans {
		if s.Status == nil {
			s.Status = &tracepb.Status{}
		}
	}
	return t, err
}

func wantsProtobuf(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/protobuf")
}

// traceByID holds the fields of a tempopb.TraceByIDResponse except for field 1, the
// trace (Tempo, pkg/tempopb/tempo.proto).
type traceByID struct {
	partial bool   // field 3, status: COMPLETE (0, left out) or PARTIAL (1)
	message string // field 4
}

func protobuf(w http.ResponseWriter, trace *tracepb.TracesData, envelope *traceByID) error {
	body, err := proto.Marshal(trace)
	if err != nil {
		return fmt.Errorf("encoding the trace: %w", err)
	}
	if envelope != nil {
		body = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), body)
		if envelope.partial {
			body = protowire.AppendVarint(protowire.AppendTag(body, 3, protowire.VarintType), 1)
			body = protowire.AppendString(protowire.AppendTag(body, 4, protowire.BytesType), envelope.message)
		}
	}
	w.Header().Set("Content-Type", "application/protobuf")
	_, _ = w.Write(body) // an error means that the client is gone
	return nil
}

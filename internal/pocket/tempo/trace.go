package tempo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// traceV1 answers /api/traces/{id}: {"batches":[…]}, where a batch is OTLP's
// ResourceSpans in protobuf's JSON mapping; or tempopb.Trace, which on the wire
// is OTLP's TracesData.
func (a *api) traceV1(w http.ResponseWriter, r *http.Request) error {
	batches, err := a.trace(r)
	if err != nil {
		return err
	}
	if len(batches) == 0 {
		return &failure{http.StatusNotFound, fmt.Sprintf("trace not found: %s", r.PathValue("id"))}
	}
	if wantsProtobuf(r) {
		return protobuf(w, &tracepb.TracesData{ResourceSpans: batches}, false)
	}
	list, err := jsonBatches(batches)
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"batches": list})
}

// traceV2 answers /api/v2/traces/{id}: {"trace":{"resourceSpans":[…]}}, or
// tempopb.TraceByIDResponse, whose field 1 is the trace. That of an unknown trace
// is empty.
func (a *api) traceV2(w http.ResponseWriter, r *http.Request) error {
	batches, err := a.trace(r)
	if err != nil {
		return err
	}
	if wantsProtobuf(r) {
		return protobuf(w, &tracepb.TracesData{ResourceSpans: batches}, true)
	}
	list, err := jsonBatches(batches)
	if err != nil {
		return err
	}
	trace := map[string]any{}
	if len(list) > 0 {
		trace["resourceSpans"] = list
	}
	return answer(w, map[string]any{"trace": trace, "metrics": struct{}{}})
}

// trace reads a trace; none of its spans are known where there are no batches. A
// span without a status gets an empty one, as in Tempo.
func (a *api) trace(r *http.Request) ([]*tracepb.ResourceSpans, error) {
	id, err := parseTraceID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	t, err := a.store.Trace(r.Context(), id)
	if err != nil {
		return nil, err
	}
	for _, s := range t.Spans {
		if s.Status == nil {
			s.Status = &tracepb.Status{}
		}
	}
	return t.ResourceSpans(), nil
}

func wantsProtobuf(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/protobuf")
}

func jsonBatches(batches []*tracepb.ResourceSpans) ([]json.RawMessage, error) {
	list := make([]json.RawMessage, len(batches))
	for i, b := range batches {
		var err error
		if list[i], err = protojson.Marshal(b); err != nil {
			return nil, fmt.Errorf("encoding the trace: %w", err)
		}
	}
	return list, nil
}

func protobuf(w http.ResponseWriter, trace *tracepb.TracesData, wrapped bool) error {
	body, err := proto.Marshal(trace)
	if err != nil {
		return fmt.Errorf("encoding the trace: %w", err)
	}
	if wrapped {
		body = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), body)
	}
	w.Header().Set("Content-Type", "application/protobuf")
	_, _ = w.Write(body) // a client that has gone cannot be told anything
	return nil
}

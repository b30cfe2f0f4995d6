package otlp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded/senders"
)

func (r *Receiver) traces() *signal {
	return &signal{
		name: senders.Traces, items: "spans", path: "/v1/traces", method: coltracepb.TraceService_Export_FullMethodName,
		batch: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", shape: newShape((&coltracepb.ExportTraceServiceRequest{}).ProtoReflect().Descriptor()),
		depth: maxMessages, store: r.storeSpans,
		respond: func(rejected int64, message string) response {
			resp := &coltracepb.ExportTraceServiceResponse{}
			if message != "" {
				resp.PartialSuccess = &coltracepb.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: message}
			}
			return resp
		},
	}
}

// storeSpans stores the valid spans of an export.
func (r *Receiver) storeSpans(ctx context.Context, e export) (o outcome, err error) {
	req := &coltracepb.ExportTraceServiceRequest{}
	if e.json {
		err = decodeJSON(e.body, req)
	} else {
		err = proto.Unmarshal(e.body, req)
	}
	if err != nil {
		return o, undecodable(e, err)
	}
	o.rejected = prune(req, len(e.body) > MaxSpanBytes)
	for _, resource := range req.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			o.add(serviceOf(resource.GetResource().GetAttributes()), len(scope.GetSpans()))
		}
	}
	o.note = r.misplaced(req, time.Now())
	if err := r.spans.AppendSpans(ctx, req.GetResourceSpans()); err != nil {
		return o, fmt.Errorf("storing spans, send them again later: %w", err)
	}
	return o, nil
}

// decode decodes an export into a request of the Collector's library, pdata.
func (e export) decode(into interface {
	UnmarshalJSON([]byte) error
	UnmarshalProto([]byte) error
}) error {
	read := into.UnmarshalProto
	if e.json {
		if !json.Valid(e.body) { // the library reads the first value alone
			return undecodable(e, errors.New("it is not one JSON document"))
		}
		read = into.UnmarshalJSON
	}
	if err := read(e.body); err != nil {
		return undecodable(e, err)
	}
	return nil
}

// undecodable returns the error of an export that cannot be decoded.
func undecodable(e export, err error) error {
	kind := typeProtobuf
	if e.json {
		kind = typeJSON
	}
	return malformed(fmt.Errorf("decoding the export as %s: %w", kind, err))
}

// serviceOf returns the name of the service among the attributes of a resource.
func serviceOf(attributes []*commonpb.KeyValue) string {
	for _, kv := range attributes {
		if kv.GetKey() == serviceKey {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}

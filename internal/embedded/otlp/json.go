package otlp

import (
	"encoding/base64"
	"encoding/hex"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// decodeJSON decodes OTLP's JSON (OTLP 1.x, section "JSON Protobuf
// Encoding"): protobuf's JSON mapping, but with trace and span IDs in hex and
// not in base64. Unknown fields are ignored, as the section demands.
//
// Hex digits are base64 digits, too, so the mapping decodes such an ID without an error,
// into wrong bytes. Encoding these as base64 again returns the digits.
func decodeJSON(body []byte, req *coltracepb.ExportTraceServiceRequest) error {
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, req); err != nil {
		return err
	}
	for _, resource := range req.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				span.TraceId, span.SpanId, span.ParentSpanId = fromHex(span.GetTraceId()), fromHex(span.GetSpanId()), fromHex(span.GetParentSpanId())
				for _, link := range span.GetLinks() {
					link.TraceId, link.SpanId = fromHex(link.GetTraceId()), fromHex(link.GetSpanId())
				}
			}
		}
	}
	return nil
}

// fromHex returns the ID whose hex digits were decoded as base64. If they were not hex, it
// returns an ID of one byte, which every check of IDs rejects.
func fromHex(decoded []byte) []byte {
	if len(decoded) == 0 {
		return nil
	}
	id, err := hex.DecodeString(base64.RawStdEncoding.EncodeToString(decoded))
	if err != nil {
		return []byte{0}
	}
	return id
}

package otlp

import (
	"errors"
	"fmt"
	"math"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded/intake"
)

// MaxDepth is the deepest nesting of lists and maps in an attribute. Every level is
// four levels of JSON, and readers accept at most 10,000 (package encoding/json) or
// far fewer. Real instrumentation nests a few levels.
const MaxDepth = 64

// MaxSpanBytes is the size of the largest span with its resource and scope, in bytes
// of protobuf. Its JSON may be eight times as long, which is the limit for a trace that
// is read (store.MaxTraceBytes).
const MaxSpanBytes = 2 << 20

// prune removes the invalid spans from the request, and returns them by service. large
// means that the request may hold spans of more than MaxSpanBytes: otherwise their sizes
// are not computed, which takes time.
func prune(req *coltracepb.ExportTraceServiceRequest, large bool) (rejected []intake.Rejection) {
	for _, resource := range req.GetResourceSpans() {
		inResource := checkAttributes("its resource", resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			inScope := checkAttributes("its scope", scope.GetScope().GetAttributes())
			room := math.MaxInt
			if large {
				room = MaxSpanBytes - proto.Size(resource.GetResource()) - proto.Size(scope.GetScope())
			}
			valid := scope.Spans[:0]
			for _, span := range scope.Spans {
				err := errors.Join(inResource, inScope)
				if err == nil {
					err = check(span)
				}
				if err == nil && large && proto.Size(span) > room {
					err = fmt.Errorf("has more than %d bytes with its resource and scope, which is the limit", MaxSpanBytes)
				}
				if err == nil {
					valid = append(valid, span)
					continue
				}
				err = fmt.Errorf("span %.100q %w", span.GetName(), err)
				rejected = intake.AddRejection(rejected, serviceOf(resource.GetResource().GetAttributes()), 1, err)
			}
			clear(scope.Spans[len(valid):])
			scope.Spans = valid
		}
	}
	return rejected
}

// length says how many bytes an ID has. One byte is the result of fromHex for text that is not
// hex, such as 0x and digits, or base64.
func length(id []byte) string {
	if len(id) == 1 {
		return "that is not hex (a prefix 0x or base64 is not), or has 1 byte"
	}
	return fmt.Sprintf("of %d bytes", len(id))
}

// check checks the IDs of a span against OTLP (trace.proto, message Span): 16 and 8 bytes,
// not all zero; a root span has no parent ID, which some SDKs write as zeros. A span that
// it accepts can be read again and exported.
func check(span *tracepb.Span) error {
	switch {
	case len(span.GetTraceId()) != 16:
		return fmt.Errorf("has a trace ID %s: it must have 16 (32 hex digits in JSON)", length(span.GetTraceId()))
	case zero(span.GetTraceId()):
		return errors.New("has a trace ID that is all zeros, which means none")
	case len(span.GetSpanId()) != 8:
		return fmt.Errorf("has a span ID %s: it must have 8 (16 hex digits in JSON)", length(span.GetSpanId()))
	case zero(span.GetSpanId()):
		return errors.New("has a span ID that is all zeros, which means none")
	case len(span.GetParentSpanId()) != 0 && len(span.GetParentSpanId()) != 8:
		return fmt.Errorf("has a parent span ID %s: it must have 8 (16 hex digits in JSON), or none", length(span.GetParentSpanId()))
	}
	if zero(span.GetParentSpanId()) {
		span.ParentSpanId = nil
	}
	for i, link := range span.GetLinks() {
		if n, m := len(link.GetTraceId()), len(link.GetSpanId()); n != 0 && n != 16 || m != 0 && m != 8 {
			return fmt.Errorf("has a link %d whose IDs have %d and %d bytes: they must have 16 and 8 (32 and 16 hex digits in JSON), or none", i+1, n, m)
		}
		if err := checkAttributes(fmt.Sprintf("link %d", i+1), link.GetAttributes()); err != nil {
			return err
		}
	}
	for i, event := range span.GetEvents() {
		if err := checkAttributes(fmt.Sprintf("event %d", i+1), event.GetAttributes()); err != nil {
			return err
		}
	}
	return checkAttributes("it", span.GetAttributes())
}

func zero(id []byte) bool {
	for _, b := range id {
		if b != 0 {
			return false
		}
	}
	return true
}

// checkAttributes rejects attributes that are nested too deep to be read again.
func checkAttributes(of string, kvs []*commonpb.KeyValue) error {
	for _, kv := range kvs {
		if deeper(kv.GetValue(), MaxDepth) {
			return fmt.Errorf("has the attribute %.100q (of %s) with lists or maps nested deeper than %d levels, which is the limit", kv.GetKey(), of, MaxDepth)
		}
	}
	return nil
}

// deeper reports whether a value is nested deeper than n levels of lists and maps.
func deeper(v *commonpb.AnyValue, n int) bool {
	array, kvs := v.GetArrayValue(), v.GetKvlistValue()
	if array == nil && kvs == nil {
		return false
	}
	if n == 0 {
		return true
	}
	for _, e := range array.GetValues() {
		if deeper(e, n-1) {
			return true
		}
	}
	for _, kv := range kvs.GetValues() {
		if deeper(kv.GetValue(), n-1) {
			return true
		}
	}
	return false
}

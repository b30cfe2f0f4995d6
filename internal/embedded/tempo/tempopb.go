package tempo

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// streamingService is the full name of Tempo's service.
const streamingService = "tempopb.StreamingQuerier"

// messages lists the messages of the service as far as they are used: the numbers, names and
// types of their fields on the wire (Tempo, pkg/tempopb/tempo.proto). A * repeats a field.
func messages() map[string]string {
	return map[string]string{
		"SearchRequest": "1 Tags *TagsEntry, 2 MinDurationMs uint32, 3 MaxDurationMs uint32, 4 Limit uint32, " +
			"5 start uint32, 6 end uint32, 8 Query string, 9 SpansPerSpanSet uint32",
		"TagsEntry":              "1 key string, 2 value string",
		"SearchTagsRequest":      "1 scope string, 2 query string, 3 start uint32, 4 end uint32, 5 maxTagsPerScope uint32",
		"SearchTagValuesRequest": "1 tagName string, 2 query string, 4 start uint32, 5 end uint32, 6 maxTagValues uint32",
		"QueryRangeRequest":      "1 query string, 2 start uint64, 3 end uint64, 4 step uint64, 16 exemplars uint32",
		"QueryInstantRequest":    "1 query string, 2 start uint64, 3 end uint64",

		"SearchResponse": "1 traces *TraceSearchMetadata, 2 metrics SearchMetrics",
		"TraceSearchMetadata": "1 traceID string, 2 rootServiceName string, 3 rootTraceName string, " +
			"4 startTimeUnixNano uint64, 5 durationMs uint32, 6 spanSet SpanSet, 7 spanSets *SpanSet, 8 serviceStats *ServiceStatsEntry",
		"ServiceStatsEntry": "1 key string, 2 value ServiceStats",
		"ServiceStats":      "1 spanCount uint32, 2 errorCount uint32",
		"SpanSet":           "1 spans *Span, 2 matched uint32, 3 attributes *KeyValue",
		"Span": "1 spanID string, 2 name string, 3 startTimeUnixNano uint64, 4 durationNanos uint64, " +
			"5 attributes *KeyValue",
		"SearchMetrics": "1 inspectedTraces uint32, 4 completedJobs uint32, 5 totalJobs uint32",

		"SearchTagsResponse":        "1 tagNames *string",
		"SearchTagsV2Response":      "1 scopes *SearchTagsV2Scope",
		"SearchTagsV2Scope":         "1 name string, 2 tags *string",
		"SearchTagValuesResponse":   "1 tagValues *string",
		"SearchTagValuesV2Response": "1 tagValues *TagValue",
		"TagValue":                  "1 type string, 2 value string",

		"QueryRangeResponse":   "1 series *TimeSeries, 2 metrics SearchMetrics, 3 status PartialStatus, 4 message string",
		"TimeSeries":           "1 labels *KeyValue, 2 samples *Sample, 4 exemplars *Exemplar",
		"Sample":               "1 value double, 2 timestamp_ms int64",
		"Exemplar":             "1 labels *KeyValue, 2 value double, 3 timestamp_ms int64",
		"QueryInstantResponse": "1 series *InstantSeries, 2 metrics SearchMetrics, 3 status PartialStatus, 4 message string",
		"InstantSeries":        "1 labels *KeyValue, 2 value double",
	}
}

// streamingQuerier returns the methods of the service.
func streamingQuerier() (map[string]*method, error) {
	file, err := describe()
	if err != nil {
		return nil, fmt.Errorf("describing %s: %w", streamingService, err)
	}
	fixed := func(path string) func(url.Values) string { return func(url.Values) string { return path } }
	ofTag := func(path string) func(url.Values) string {
		return func(values url.Values) string {
			name := values.Get("tag")
			values.Del("tag")
			return path + cmp.Or(name, "name") + "/values"
		}
	}
	tags := map[string]string{"scope": "scope", "query": "q", "start": "start", "end": "end", "maxTagsPerScope": "limit"}
	tagValues := map[string]string{"tagName": "tag", "query": "q", "start": "start", "end": "end", "maxTagValues": "limit"}
	metric := map[string]string{"query": "q", "start": "start", "end": "end", "step": "step", "exemplars": "exemplars"}
	search := map[string]string{"MinDurationMs": "minDuration", "MaxDurationMs": "maxDuration", "Limit": "limit",
		"start": "start", "end": "end",
		"Query": "q", "SpansPerSpanSet": "spss"}
	of := func(request, response string, path func(url.Values) string, names map[string]string) *method {
		return &method{file.Messages().ByName(protoreflect.Name(request)),
			file.Messages().ByName(protoreflect.Name(response)), path, names}
	}
	return map[string]*method{
		"Search":          of("SearchRequest", "SearchResponse", fixed("/api/search"), search),
		"SearchTags":      of("SearchTagsRequest", "SearchTagsResponse", fixed("/api/search/tags"), tags),
		"SearchTagsV2":    of("SearchTagsRequest", "SearchTagsV2Response", fixed("/api/v2/search/tags"), tags),
		"SearchTagValues": of("SearchTagValuesRequest", "SearchTagValuesResponse", ofTag("/api/search/tag/"), tagValues),
		"SearchTagValuesV2": of("SearchTagValuesRequest", "SearchTagValuesV2Response", ofTag("/api/v2/search/tag/"),
			tagValues),
		"MetricsQueryRange":   of("QueryRangeRequest", "QueryRangeResponse", fixed("/api/metrics/query_range"), metric),
		"MetricsQueryInstant": of("QueryInstantRequest", "QueryInstantResponse", fixed("/api/metrics/query"), metric),
	}, nil
}

// describe returns the description of messages.
func describe() (protoreflect.FileDescriptor, error) {
	common := commonpb.File_opentelemetry_proto_common_v1_common_proto
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("tempo.proto"), Package: proto.String("tempopb"), Syntax: proto.String("proto3"),
		Dependency: []string{common.Path()},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: proto.String("PartialStatus"),
			Value: []*descriptorpb.EnumValueDescriptorProto{
				{Name: proto.String("COMPLETE"), Number: proto.Int32(0)}, {Name: proto.String("PARTIAL"), Number: proto.Int32(1)},
			}}},
	}
	entries := map[string]*descriptorpb.DescriptorProto{}
	for name, text := range messages() {
		m := &descriptorpb.DescriptorProto{Name: proto.String(name)}
		for _, line := range strings.Split(text, ", ") {
			f, err := fieldOf(name, line)
			if err != nil {
				return nil, err
			}
			m.Field = append(m.Field, f)
		}
		if strings.HasSuffix(name, "Entry") { // of a map: a message within the one that has it
			m.Options = &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)}
			entries[name] = m
			continue
		}
		file.MessageType = append(file.MessageType, m)
	}
	for _, m := range file.MessageType {
		for _, f := range m.Field {
			if entry := entries[strings.TrimPrefix(f.GetTypeName(), ".tempopb."+m.GetName()+".")]; entry != nil {
				m.NestedType = append(m.NestedType, entry)
			}
		}
	}
	return protodesc.NewFile(file, protoregistry.GlobalFiles)
}

// fieldOf returns the description of a field, such as "1 traces *TraceSearchMetadata".
func fieldOf(message, line string) (*descriptorpb.FieldDescriptorProto, error) {
	part := strings.Fields(line)
	if len(part) != 3 {
		return nil, fmt.Errorf("%s has a field %q", message, line)
	}
	number, err := strconv.ParseInt(part[0], 10, 32)
	if err != nil {
		return nil, err
	}
	f := &descriptorpb.FieldDescriptorProto{Name: proto.String(part[1]), Number: proto.Int32(int32(number)),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	kind, repeated := strings.CutPrefix(part[2], "*")
	if repeated {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	switch kind {
	case "string":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	case "uint32":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_UINT32.Enum()
	case "uint64":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_UINT64.Enum()
	case "int64":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum()
	case "double":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE.Enum()
	case "PartialStatus":
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(), proto.String(".tempopb.PartialStatus")
	case "KeyValue":
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(),
			proto.String(".opentelemetry.proto.common.v1.KeyValue")
	default:
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".tempopb."+kind)
		if strings.HasSuffix(kind, "Entry") {
			f.TypeName = proto.String(".tempopb." + message + "." + kind)
		}
	}
	return f, nil
}

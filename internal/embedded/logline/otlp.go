package logline

import (
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
)

// attributeService is the resource attribute that names the sender.
const attributeService = "service.name"

// indexedAttributes are the resource attributes that become labels of a stream; all
// others become structured metadata (Loki, distributor.otlp,
// default_resource_attributes_as_index_labels).
func indexedAttributes() []string {
	return []string{
		attributeService, "service.namespace", "service.instance.id", "deployment.environment", "deployment.environment.name",
		"cloud.region", "cloud.availability_zone", "container.name",
		"k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "k8s.replicaset.name", "k8s.deployment.name",
		"k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name",
	}
}

// FromOTLP returns the lines of log records (docs/differences.md, "Log records"). now is
// the time of a record that has none.
func FromOTLP(logs plog.Logs, now time.Time) []store.Line {
	lines := make([]store.Line, 0, logs.LogRecordCount())
	names := namer{}
	indexed := indexedAttributes()
	for _, resource := range logs.ResourceLogs().All() {
		stream, ofResource := map[string]string{}, map[string]string{}
		for key, value := range resource.Resource().Attributes().All() {
			to := ofResource
			if slices.Contains(indexed, key) {
				to = stream
			}
			names.add(to, "", key, value)
		}
		if stream[contract.StreamService] == "" {
			stream[contract.StreamService] = serviceOf(stream)
		}
		for _, scope := range resource.ScopeLogs().All() {
			shared := names.ofScope(scope.Scope(), ofResource)
			for _, record := range scope.LogRecords().All() {
				lines = append(lines, names.line(record, stream, shared, now))
			}
		}
	}
	return lines
}

// namer makes names of labels of names of attributes, and remembers them.
type namer map[string]string

// name returns the name of an attribute with the bytes replaced that a label may not
// have. It returns "" for a name that has no letter and no digit.
func (n namer) name(attribute string) string {
	name, ok := n[attribute]
	if !ok {
		//lint:ignore SA1019 Loki names labels in this way, with the prefix "key" before an underscore.
		l := otlptranslator.LabelNamer{UnderscoreLabelSanitization: true, PreserveMultipleUnderscores: true}
		name, _ = l.Build(attribute) // the error of a name of underscores alone
		n[attribute] = name
	}
	return name
}

// add adds an attribute. A map adds its members, with the name of the map before theirs.
func (n namer) add(to map[string]string, prefix, key string, value pcommon.Value) {
	if prefix != "" {
		key = prefix + "_" + key
	}
	name := n.name(key)
	if value.Type() == pcommon.ValueTypeMap {
		for inner, member := range value.Map().All() {
			n.add(to, name, inner, member)
		}
		return
	}
	if name != "" {
		to[name] = value.AsString()
	}
}

// ofScope returns the structured metadata that all records of a scope share.
func (n namer) ofScope(scope pcommon.InstrumentationScope, ofResource map[string]string) map[string]string {
	shared := make(map[string]string, len(ofResource)+scope.Attributes().Len()+3)
	for key, value := range scope.Attributes().All() {
		n.add(shared, "", key, value)
	}
	for name, value := range ofResource {
		shared[name] = value
	}
	set(shared, "scope_name", scope.Name())
	set(shared, "scope_version", scope.Version())
	setNumber(shared, "scope_dropped_attributes_count", uint64(scope.DroppedAttributesCount()))
	return shared
}

// line returns the line of a record.
func (n namer) line(record plog.LogRecord, stream, shared map[string]string, now time.Time) store.Line {
	metadata := make(map[string]string, record.Attributes().Len()+len(shared)+8)
	for key, value := range record.Attributes().All() {
		n.add(metadata, "", key, value)
	}
	at := now
	switch {
	case record.Timestamp() != 0:
		at = record.Timestamp().AsTime()
		setNumber(metadata, "observed_timestamp", uint64(record.ObservedTimestamp()))
	case record.ObservedTimestamp() != 0:
		at = record.ObservedTimestamp().AsTime()
	}
	if number := record.SeverityNumber(); number != plog.SeverityNumberUnspecified {
		metadata[severityNumber] = strconv.Itoa(int(number))
	}
	set(metadata, severityText, record.SeverityText())
	set(metadata, "event_name", record.EventName())
	setNumber(metadata, "dropped_attributes_count", uint64(record.DroppedAttributesCount()))
	setNumber(metadata, "flags", uint64(record.Flags()))
	if id := record.TraceID(); !id.IsEmpty() {
		metadata[contract.FieldTraceID] = hex.EncodeToString(id[:])
	}
	if id := record.SpanID(); !id.IsEmpty() {
		metadata[contract.FieldSpanID] = hex.EncodeToString(id[:])
	}
	for name, value := range shared {
		metadata[name] = value
	}
	return store.Line{Time: at, Stream: stream, Metadata: metadata, Text: record.Body().AsString()}
}

func set(to map[string]string, name, value string) {
	if value != "" {
		to[name] = value
	}
}

func setNumber(to map[string]string, name string, value uint64) {
	if value != 0 {
		to[name] = strconv.FormatUint(value, 10)
	}
}

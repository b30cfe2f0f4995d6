package generate

import (
	"cmp"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
)

// The attributes that are read (OpenTelemetry semantic conventions; for databases the
// old names and db.namespace, as in Tempo 3.0).
const (
	attrServiceName  = "service.name"
	attrPeerService  = "peer.service"
	attrDBName       = "db.name"
	attrDBNamespace  = "db.namespace"
	attrDBSystem     = "db.system"
	attrAddress      = "server.address"
	attrPeerAddress  = "network.peer.address"
	attrPeerPort     = "network.peer.port"
	maxLabelValue    = 2048 // bytes, Tempo's; longer values are cut
	separatorOfPorts = ":"
)

// remote describes the other side of a call by the attributes of a span. A field
// without an attribute is "". If a key comes twice, the first value counts.
type remote struct {
	service, dbName, dbNamespace, dbSystem, address, peerAddress, peerPort string
}

func readRemote(attributes []*commonpb.KeyValue) (r remote) {
	for _, kv := range attributes {
		var to *string
		switch kv.GetKey() {
		case attrPeerService:
			to = &r.service
		case attrDBName:
			to = &r.dbName
		case attrDBNamespace:
			to = &r.dbNamespace
		case attrDBSystem:
			to = &r.dbSystem
		case attrAddress:
			to = &r.address
		case attrPeerAddress:
			to = &r.peerAddress
		case attrPeerPort:
			to = &r.peerPort
		default:
			continue
		}
		if *to == "" {
			*to = text(kv.GetValue())
		}
	}
	return r
}

// peer returns the name of a node that sends no spans.
func (r remote) peer() string { return cmp.Or(r.service, r.dbName, r.dbSystem) }

// database reports whether a call goes to a database, and returns the name of the
// database's node. An attribute of the resource comes before the span's.
func (r remote) database(resource remote) (node string, is bool) {
	name := cmp.Or(resource.dbNamespace, r.dbNamespace, resource.dbName, r.dbName, resource.dbSystem, r.dbSystem)
	if name == "" {
		return "", false
	}
	host := cmp.Or(resource.peerAddress, r.peerAddress)
	if port := cmp.Or(resource.peerPort, r.peerPort); host != "" && port != "" {
		host += separatorOfPorts + port
	}
	return cmp.Or(resource.service, r.service, resource.address, r.address, host, name), true
}

// resource holds the attributes of a resource that are used.
type resource struct {
	service string // "" if the resource has none
	remote  remote
}

func readResource(r *resourcepb.Resource) resource {
	out := resource{remote: readRemote(r.GetAttributes())}
	for _, kv := range r.GetAttributes() {
		if kv.GetKey() == attrServiceName {
			out.service = text(kv.GetValue())
			break
		}
	}
	return out
}

// text returns an attribute's value as the value of a label, in Tempo's form.
func text(v *commonpb.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'f', -1, 64)
	}
	return "" // lists and maps name no service
}

// label cuts a label's value.
func label(value string) string {
	if len(value) <= maxLabelValue {
		return value
	}
	return strings.ToValidUTF8(value[:maxLabelValue], "")
}

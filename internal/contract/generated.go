package contract

// Metrics that are made from spans, as Tempo's metrics generator names them
// (Tempo 3.0, processors service-graphs and span-metrics). No service emits them.
const (
	// Of the service graph: one series for each pair of services that call each
	// other. The two of seconds are histograms.
	MetricGraphRequests      = "traces_service_graph_request_total"
	MetricGraphFailed        = "traces_service_graph_request_failed_total"
	MetricGraphClientSeconds = "traces_service_graph_request_client_seconds"
	MetricGraphServerSeconds = "traces_service_graph_request_server_seconds"

	// Of spans: one series for each service, span name, kind and status.
	MetricSpanCalls   = "traces_spanmetrics_calls_total"
	MetricSpanLatency = "traces_spanmetrics_latency"    // histogram, in seconds
	MetricSpanSize    = "traces_spanmetrics_size_total" // as protobuf, in bytes
)

// SpanLatencyBuckets returns the upper bounds of MetricSpanLatency, in seconds.
func SpanLatencyBuckets() []float64 {
	return []float64{.002, .004, .008, .016, .032, .064, .128, .256, .512, 1.024, 2.048, 4.096, 8.192, 16.384}
}

// GraphBuckets returns the upper bounds of the service graph's histograms, in
// seconds.
func GraphBuckets() []float64 { return []float64{.1, .2, .4, .8, 1.6, 3.2, 6.4, 12.8} }

// Labels of the metrics that are made from spans, besides LabelStatusCode, and
// their values.
const (
	LabelClient   = "client"
	LabelServer   = "server"
	LabelService  = "service"
	LabelSpanName = "span_name"
	LabelSpanKind = "span_kind"
	// LabelConnection is absent for a plain request.
	LabelConnection = "connection_type"

	ConnectionMessaging = "messaging_system"
	ConnectionDatabase  = "database"
	ConnectionVirtual   = "virtual_node" // one side sends no spans

	// ClientUser is the client of a request whose caller sends no spans: a
	// browser, say.
	ClientUser = "user"
)

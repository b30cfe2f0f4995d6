package contract

// Metrics that are made from spans, as Tempo's metrics generator names them
// (Tempo 2.9, processors service-graphs and span-metrics). No service emits them.
const (
	// Of the service graph: one series for each pair of services that call each
	// other. The two of seconds are histograms.
	MetricGraphRequests      = "traces_service_graph_request_total"
	MetricGraphFailed        = "traces_service_graph_request_failed_total"
	MetricGraphClientSeconds = "traces_service_graph_request_client_seconds"
	MetricGraphServerSeconds = "traces_service_graph_request_server_seconds"

	// Of spans: one series for each service, span name, kind and status.
	MetricSpanCalls   = "traces_spanmetrics_calls_total"
	MetricSpanLatency = "traces_spanmetrics_latency" // histogram, in seconds
)

// Labels of the metrics that are made from spans.
const (
	LabelClient   = "client"
	LabelServer   = "server"
	LabelService  = "service"
	LabelSpanName = "span_name"
	LabelSpanKind = "span_kind"

	// ClientUser is the client of a request whose caller sends no spans: a
	// browser, say.
	ClientUser = "user"
)

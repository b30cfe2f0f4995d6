// Package contract holds, once, every name that crosses a process boundary:
// services, ports, spans and their attributes, metrics and their labels, log
// messages and their fields, and the labels of the stored signals.
//
// Services emit these names, the explorer and the checks read them, other
// people's dashboards and queries depend on them. They must not change. The
// package has names only: it imports nothing of the lab, and nothing in it
// has behaviour beyond looking a name up.
//
// Two statuses are kept apart everywhere. A service's own status is the one that it responded with
// (wire, SERVER span, http_requests_total, log field "status"). The backend's status is the one
// that the dice roller sent to the front end (backend.status_code, "backend_status",
// streamlit_requests_total). If the roller sent none, spans and logs have no backend status, and
// the counter has 504 (timeout) or 503 (unreachable).
package contract

// The services, as the resource attribute service.name, the Prometheus job and
// the log label service_name spell them.
const (
	ServiceFrontend = "streamlit-frontend"
	ServiceRoller   = "dice-roller"
	ServiceTraffic  = "traffic-generator"
	// Namespace is the resource attribute service.namespace of all of them.
	Namespace = "dicelab"
)

// Services lists the services that answer requests, in call order.
func Services() []string { return []string{ServiceFrontend, ServiceRoller} }

// ContainerName returns the value of the log label container_name of a service. It
// is the name that its container has under Compose, and the same everywhere
// else, so that one query serves all modes.
func ContainerName(service string) string { return service + "-stage2" }

// Ports of the lab on this machine.
const (
	PortExplorer   = "8100"
	PortRoller     = "8101"
	PortFrontend   = "8102"
	PortPrometheus = "9090"
	PortLoki       = "3100"
	PortTempo      = "3200"
	PortOTLPGRPC   = "4317"
	PortOTLPHTTP   = "4318"
)

// The dice.
const (
	DieFair  = "fair"
	DieRisky = "risky"
)

// Dice lists the dice in the order in which the page offers them.
func Dice() []string { return []string{DieFair, DieRisky} }

// Span names. A SERVER span is named by method and route, a CLIENT span by its
// method (OpenTelemetry semantic conventions, HTTP spans, "Name").
const (
	SpanFrontendRoll = "POST /roll"
	SpanButtonClick  = "roll_button_click"
	SpanClient       = "GET"
	SpanRollerRoot   = "GET /"
	SpanRollerRoll   = "GET /roll"
	SpanRoll         = "roll"
	SpanSimulated    = "simulated_frontend_request" // the traffic generator's root
)

// AttrServiceName is the resource attribute that names a service (OpenTelemetry
// semantic conventions, resource "service").
const AttrServiceName = "service.name"

// Span attributes beyond the semantic conventions of HTTP.
const (
	AttrDieType           = "die.type"
	AttrDieResult         = "die.result"          // int: the value that was rolled
	AttrDieError          = "die.error"           // bool: whether the risky die failed
	AttrRollValue         = "roll.value"          // int: the value that the front end received
	AttrBackendURL        = "backend.url"         // the roller's endpoint that was called
	AttrBackendStatusCode = "backend.status_code" // int: what the roller answered; absent when it did not
	AttrTraceparent       = "http.request.header.traceparent"
	AttrBaggage           = "http.request.header.baggage" // absent if none was sent
	AttrErrorType         = "error.type"
	AttrUserID            = "user.id"                   // the simulated user
	AttrRollNumber        = "roll.number"               // int: of the user's rolls, or of the run's; from 1
	AttrSyntheticType     = "user_agent.synthetic.type" // semantic conventions, User agent: traffic that no person made
)

// SyntheticTest is the value of AttrSyntheticType of what the traffic generator
// does.
const SyntheticTest = "test"

// Values of error.type for failures without a status code.
const (
	ErrorTypeCanceled    = "canceled"    // the caller went away
	ErrorTypeTimeout     = "timeout"     // the roller did not answer in time
	ErrorTypeUnreachable = "unreachable" // the roller could not be reached
	ErrorTypeMalformed   = "malformed"   // the roller answered 200 with a body that makes no sense
)

// Metric names.
const (
	MetricDiceRolls        = "dice_rolls_total"
	MetricDiceRollValue    = "dice_roll_value"
	MetricButtonClicks     = "streamlit_button_clicks_total"
	MetricBackendRequests  = "streamlit_requests_total"
	MetricBackendDuration  = "streamlit_request_duration_seconds"
	MetricHTTPRequests     = "http_requests_total"
	MetricHTTPDuration     = "http_request_duration_seconds"
	MetricHTTPRequestSize  = "http_request_size_bytes"
	MetricHTTPResponseSize = "http_response_size_bytes"
	MetricSpansDropped     = "dicelab_spans_dropped_total"
)

// Metric labels and their values.
const (
	LabelDieType    = "die_type"
	LabelResult     = "result"
	LabelStatusCode = "status_code"
	LabelHandler    = "handler"
	LabelMethod     = "method"
	LabelStatus     = "status"
	LabelReason     = "reason"

	ResultSuccess = "success"
	ResultError   = "error"

	HandlerNone = "none"  // handler of a request that no route matches
	MethodOther = "other" // method of a request that RFC 9110 and RFC 5789 do not define

	ReasonQueueFull    = "queue_full"    // the export queue had no room
	ReasonExportFailed = "export_failed" // the telemetry backend refused, or did not answer
)

// RollValueBuckets returns the upper bounds of dice_roll_value.
func RollValueBuckets() []float64 { return []float64{1, 2, 3, 4, 5, 6, 7, 8} }

// BackendDurationBuckets returns the upper bounds of
// streamlit_request_duration_seconds, in seconds.
func BackendDurationBuckets() []float64 { return []float64{.1, .25, .5, .75, 1, 1.5, 2, 3} }

// Log messages: constant text, so that a line can be found by it.
const (
	MsgRollerStarted   = "Dice roller started"
	MsgRollReceived    = "Roll request received"
	MsgInvalidDie      = "Invalid die"
	MsgRollCompleted   = "Roll completed"
	MsgRiskyFailed     = "Risky die failed"
	MsgRollAbandoned   = "Roll abandoned"
	MsgFrontendStarted = "Frontend started"
	MsgButtonClicked   = "Button clicked"
	MsgBackendResponse = "Backend response received"
	MsgBackendFailed   = "Backend request failed"
	MsgFaultInjected   = "Fault injected" // the fault "fail" struck
	MsgRollFailed      = "Roll failed"    // the same in a quest, which does not name the fault
	MsgTrafficStarted  = "Traffic started"
	MsgSimulatedRoll   = "Simulated roll completed"
	MsgSimulatedFailed = "Simulated roll failed"
	MsgUserFinished    = "Simulated user finished"
	MsgTrafficFinished = "Traffic finished"
)

// Log fields. The first six open every line, in this order.
const (
	FieldTimestamp = "timestamp" // RFC 3339, UTC, microseconds
	FieldLevel     = "level"     // LevelInfo, LevelWarning or LevelError
	FieldMessage   = "message"
	FieldLogger    = "logger"   // the service
	FieldTraceID   = "trace_id" // 32 hex digits
	FieldSpanID    = "span_id"  // 16 hex digits

	FieldDieType         = "die_type"
	FieldRollValue       = "roll_value"
	FieldStatus          = "status"         // the service's own
	FieldBackendStatus   = "backend_status" // the roller's; absent when it did not answer
	FieldBackendURL      = "backend_url"
	FieldDurationSeconds = "duration_seconds"
	FieldError           = "error"

	// Of the traffic generator.
	FieldUserID     = "user_id"
	FieldRollNumber = "roll_number"
	FieldRolls      = "rolls"  // how many were made
	FieldFailed     = "failed" // how many of them failed
	FieldUsers      = "users"
	FieldRate       = "rate" // "200/s", "0..2000/s"
	FieldSeed       = "seed"
)

// Log levels, as Python's logging spells them.
const (
	LevelInfo    = "INFO"
	LevelWarning = "WARNING"
	LevelError   = "ERROR"
)

// Labels of stored log streams. trace_id and span_id are structured metadata,
// never labels: they are unbounded.
const (
	StreamContainer = "container_name"
	StreamService   = "service_name"
	StreamJob       = "job"
	StreamLevel     = "level"
)

// HeaderOwnKey carries, on OTLP exports of the services that "dicelab up" runs, a
// key that is new in each run. The embedded stack keeps some memory free
// for requests with it.
const HeaderOwnKey = "dicelab-own-key"

// EmbeddedBranch is the branch in the build information of the embedded stack's Tempo
// API, by which the checks know it.
const EmbeddedBranch = "dicelab-embedded"

// HeaderForwarded is set on OTLP exports that "dicelab up --forward" sends on. A lab that
// receives one does not forward it again, so that two labs cannot send it in a circle.
const HeaderForwarded = "dicelab-forwarded"

// Headers of trace context.
const (
	HeaderTraceparent   = "traceparent"   // W3C Trace Context
	HeaderTracestate    = "tracestate"    // W3C Trace Context
	HeaderBaggage       = "baggage"       // W3C Baggage
	HeaderTraceresponse = "traceresponse" // W3C Trace Context Level 2, draft of 2020
)

// StatusClientClosedRequest is the status of a request whose caller went away. HTTP does not define
// it; nginx introduced it. It is recorded, never received.
const StatusClientClosedRequest = 499

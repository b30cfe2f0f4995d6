package telemetry

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings is what the standard OTEL_* variables ask for, as far as the SDK
// leaves it to the program.
type settings struct {
	disabled   bool          // OTEL_SDK_DISABLED
	exporter   string        // OTEL_TRACES_EXPORTER: otlp, console or none
	protocol   string        // OTEL_EXPORTER_OTLP_PROTOCOL: grpc or http/protobuf
	endpoint   bool          // whether an endpoint, or OTEL_EXPORTER_OTLP_INSECURE, is set
	propagator []string      // OTEL_PROPAGATORS
	queue      int           // OTEL_BSP_MAX_QUEUE_SIZE, spans
	batch      int           // OTEL_BSP_MAX_EXPORT_BATCH_SIZE, spans, at most queue
	delay      time.Duration // OTEL_BSP_SCHEDULE_DELAY
	timeout    time.Duration // OTEL_BSP_EXPORT_TIMEOUT
}

// Defaults that differ from the specification's, because a person waits for the
// trace of the roll just made, and because a burst of rolls must not be lost to
// a small queue. The specification says 5 s and 2,048.
const (
	defaultDelay = 100 * time.Millisecond
	defaultQueue = 16384
)

// protocolGRPC is the protocol besides the default, OTLP over HTTP.
const protocolGRPC = "grpc"

// Defaults that are the specification's.
const (
	defaultBatch   = 512
	defaultTimeout = 30 * time.Second
)

// readEnv reads the process's environment, as the SDK does. Names and values are
// those of the OpenTelemetry specification, "Environment Variable Specification"
// and "OpenTelemetry Protocol Exporter".
func readEnv() (s settings, err error) {
	if err = checkEnv(); err != nil {
		return s, err
	}
	s = settings{exporter: "otlp", protocol: "http/protobuf", propagator: []string{"tracecontext", "baggage"}}
	if s.disabled, err = envBool("OTEL_SDK_DISABLED"); err != nil {
		return s, err
	}
	if s.exporter, err = envWord("OTEL_TRACES_EXPORTER", s.exporter, "otlp", "console", "none"); err != nil {
		return s, err
	}
	for _, name := range otlpNames("PROTOCOL") { // the particular one is last, and wins
		if s.protocol, err = envWord(name, s.protocol, "http/protobuf", protocolGRPC); err != nil {
			return s, err
		}
	}
	s.endpoint = slices.ContainsFunc(append(otlpNames("ENDPOINT"), otlpNames("INSECURE")...),
		func(name string) bool { return os.Getenv(name) != "" })
	if list := os.Getenv("OTEL_PROPAGATORS"); list != "" {
		s.propagator = strings.Split(list, ",")
		for i, p := range s.propagator {
			if s.propagator[i] = strings.TrimSpace(p); !slices.Contains([]string{"tracecontext", "baggage", "none"}, s.propagator[i]) {
				return s, badEnv("OTEL_PROPAGATORS", list, "a list of tracecontext, baggage, none")
			}
		}
	}
	if s.queue, err = envInt("OTEL_BSP_MAX_QUEUE_SIZE", defaultQueue); err != nil {
		return s, err
	}
	if s.batch, err = envInt("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(defaultBatch, s.queue)); err != nil {
		return s, err
	}
	if s.batch > s.queue {
		return s, badEnv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", strconv.Itoa(s.batch), fmt.Sprintf("at most OTEL_BSP_MAX_QUEUE_SIZE, %d", s.queue))
	}
	if s.delay, err = envMilliseconds("OTEL_BSP_SCHEDULE_DELAY", defaultDelay); err != nil {
		return s, err
	}
	s.timeout, err = envMilliseconds("OTEL_BSP_EXPORT_TIMEOUT", defaultTimeout)
	return s, err
}

// checkEnv looks at what the SDK and its exporters read by themselves. They
// would write a complaint to stderr and go on with a default; here a bad value is
// an error.
func checkEnv() error {
	ints := []string{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
		"OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT",
		"OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"}
	for _, name := range append(ints, otlpNames("TIMEOUT")...) {
		if _, err := envInt(name, 1); err != nil {
			return err
		}
	}
	for _, name := range otlpNames("INSECURE") {
		if _, err := envBool(name); err != nil {
			return err
		}
	}
	for _, name := range otlpNames("COMPRESSION") {
		if _, err := envWord(name, "", "gzip", "none"); err != nil {
			return err
		}
	}
	for _, name := range otlpNames("ENDPOINT") {
		if u, err := url.Parse(os.Getenv(name)); err != nil || (*u != url.URL{} && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https")) {
			return badEnv(name, os.Getenv(name), "an address such as http://localhost:4318")
		}
	}
	for _, name := range append(otlpNames("HEADERS"), "OTEL_RESOURCE_ATTRIBUTES") {
		if !isPairs(os.Getenv(name)) {
			return badEnv(name, os.Getenv(name), "key=value pairs, separated by commas, values percent-encoded")
		}
	}
	return checkSampler()
}

func checkSampler() error {
	sampler, err := envWord("OTEL_TRACES_SAMPLER", "", "always_on", "always_off", "traceidratio",
		"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
	if err != nil {
		return err
	}
	share := os.Getenv("OTEL_TRACES_SAMPLER_ARG")
	if share == "" || !strings.HasSuffix(sampler, "traceidratio") {
		return nil // the other samplers take no argument
	}
	if ratio, err := strconv.ParseFloat(share, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		return badEnv("OTEL_TRACES_SAMPLER_ARG", share, "a share from 0 to 1")
	}
	return nil
}

// otlpNames are the variables of one setting of the exporter: for all signals,
// and for traces.
func otlpNames(setting string) []string {
	return []string{"OTEL_EXPORTER_OTLP_" + setting, "OTEL_EXPORTER_OTLP_TRACES_" + setting}
}

// isPairs tells whether s is "a=b,c=d", or empty, with values that can be
// decoded (W3C Baggage, section 3.3.1, which the specification refers to).
func isPairs(s string) bool {
	if s == "" {
		return true
	}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); err != nil || !ok || strings.TrimSpace(key) == "" {
			return false
		}
	}
	return true
}

func envBool(name string) (bool, error) {
	switch v := strings.ToLower(os.Getenv(name)); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badEnv(name, v, "true or false")
	}
}

func envWord(name, fallback string, allowed ...string) (string, error) {
	v := os.Getenv(name)
	if v == "" {
		return fallback, nil // the specification: an empty value counts as unset
	}
	if !slices.Contains(allowed, v) {
		return "", badEnv(name, v, "one of "+strings.Join(allowed, ", "))
	}
	return v, nil
}

func envInt(name string, fallback int) (int, error) {
	v := os.Getenv(name)
	if v == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 {
		return 0, badEnv(name, v, "a whole number above 0")
	}
	return n, nil
}

func envMilliseconds(name string, fallback time.Duration) (time.Duration, error) {
	n, err := envInt(name, int(fallback.Milliseconds()))
	return time.Duration(n) * time.Millisecond, err
}

func badEnv(name, value, allowed string) error {
	return fmt.Errorf("environment variable %s is %q: want %s", name, value, allowed)
}

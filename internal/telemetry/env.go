package telemetry

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings is what the standard OTEL_* variables ask for, as far as the SDK
// leaves it to the program. What the SDK and its exporters read by themselves
// (endpoints, headers, timeouts, compression, TLS, span limits, resource) is not
// repeated here, but a value that they would silently replace is refused.
type settings struct {
	disabled   bool     // OTEL_SDK_DISABLED
	exporter   string   // OTEL_TRACES_EXPORTER: otlp, console or none
	protocol   string   // OTEL_EXPORTER_OTLP_PROTOCOL: grpc or http/protobuf
	propagator []string // OTEL_PROPAGATORS
	queue      int      // OTEL_BSP_MAX_QUEUE_SIZE, spans
	delay      time.Duration
}

// Defaults that differ from the specification's, because a person waits for the
// trace of the roll just made, and because a burst of rolls must not be lost to
// a small queue. The specification says 5 s and 2,048.
const (
	defaultDelay = 100 * time.Millisecond
	defaultQueue = 16384
)

// samplers are the values of OTEL_TRACES_SAMPLER that the SDK knows.
var samplers = []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}

// readEnv reads the process's environment, as the SDK does. Names and values are
// those of the OpenTelemetry specification, "Environment Variable Specification".
func readEnv() (s settings, err error) {
	s = settings{exporter: "otlp", protocol: "http/protobuf", propagator: []string{"tracecontext", "baggage"}}
	if s.disabled, err = envBool("OTEL_SDK_DISABLED"); err != nil {
		return s, err
	}
	if s.exporter, err = envWord("OTEL_TRACES_EXPORTER", s.exporter, "otlp", "console", "none"); err != nil {
		return s, err
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} { // the particular one wins
		if s.protocol, err = envWord(name, s.protocol, "http/protobuf", "grpc"); err != nil {
			return s, err
		}
	}
	if list := os.Getenv("OTEL_PROPAGATORS"); list != "" {
		s.propagator = strings.Split(list, ",")
		for i, p := range s.propagator {
			if s.propagator[i] = strings.TrimSpace(p); !slices.Contains([]string{"tracecontext", "baggage", "none"}, s.propagator[i]) {
				return s, badEnv("OTEL_PROPAGATORS", p, "a list of tracecontext, baggage, none")
			}
		}
	}
	if _, err = envWord("OTEL_TRACES_SAMPLER", "", samplers...); err != nil {
		return s, err
	}
	if s.queue, err = envInt("OTEL_BSP_MAX_QUEUE_SIZE", defaultQueue); err != nil {
		return s, err
	}
	delay, err := envInt("OTEL_BSP_SCHEDULE_DELAY", int(defaultDelay.Milliseconds()))
	if err != nil {
		return s, err
	}
	s.delay = time.Duration(delay) * time.Millisecond
	for _, name := range []string{"OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"} {
		if _, err := envInt(name, 1); err != nil { // the SDK reads the value itself
			return s, err
		}
	}
	return s, nil
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

func badEnv(name, value, allowed string) error {
	return fmt.Errorf("environment variable %s is %q: want %s", name, value, allowed)
}

// Package otelenv checks the OTEL_* variables. The OpenTelemetry SDK and its
// exporters read most of them themselves, but answer a bad value with a line on
// stderr and a default; in this program it is an error at the start.
//
// Names and values are those of the OpenTelemetry specification, "Environment
// Variable Specification" and "OpenTelemetry Protocol Exporter". An empty value
// counts as unset.
package otelenv

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"dicelab/internal/web"
)

// Defaults of the batch processor. The first two differ from the specification's,
// 5000 and 2048: a person waits for the trace of the roll just made, and a burst
// of rolls must not be lost to a small queue.
const (
	DefaultDelay = 100 // OTEL_BSP_SCHEDULE_DELAY, milliseconds
	DefaultQueue = 16384
	DefaultBatch = 512
)

// The protocols of OTLP, as OTEL_EXPORTER_OTLP_PROTOCOL spells them.
const (
	HTTP = "http/protobuf"
	GRPC = "grpc"
)

// Check returns an error for a variable with a value that cannot be used.
func Check() error {
	for _, check := range checks() {
		for _, name := range check.names {
			if v := os.Getenv(name); v != "" && !check.valid(v) {
				return fmt.Errorf("environment variable %s is %q: want %s", name, v, check.want)
			}
		}
	}
	return nil
}

// Int returns the value of a variable that Check has checked, or fallback if it
// is not set.
func Int(name string, fallback int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return fallback
}

// OTLP returns a setting of the OTLP exporter for traces, such as "ENDPOINT": its
// variable for traces wins over the one for all signals.
func OTLP(setting string) string {
	for _, name := range otlpNames(setting) {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

func otlpNames(setting string) []string {
	return []string{"OTEL_EXPORTER_OTLP_TRACES_" + setting, "OTEL_EXPORTER_OTLP_" + setting}
}

// check is a check of variables that take the same values.
type check struct {
	want  string
	valid func(string) bool
	names []string
}

func checks() []check {
	queue := Int("OTEL_BSP_MAX_QUEUE_SIZE", DefaultQueue)
	list := []check{
		{"true or false", isBool, append(otlpNames("INSECURE"), "OTEL_SDK_DISABLED")},
		oneOf([]string{"OTEL_TRACES_EXPORTER"}, "otlp", "console", "none"),
		oneOf(otlpNames("PROTOCOL"), HTTP, GRPC),
		oneOf(otlpNames("COMPRESSION"), "gzip", "none"),
		oneOf([]string{"OTEL_TRACES_SAMPLER"}, "always_on", "always_off", "traceidratio",
			"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
		{"an address such as http://localhost:4318", func(v string) bool { return web.CheckURL(v) == nil }, otlpNames("ENDPOINT")},
		{"key=value pairs, separated by commas, values percent-encoded", isPairs,
			append(otlpNames("HEADERS"), "OTEL_RESOURCE_ATTRIBUTES")},
		{"a list of tracecontext, baggage, none", isPropagators, []string{"OTEL_PROPAGATORS"}},
		{"a whole number above 0", isCount, append(otlpNames("TIMEOUT"),
			"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY",
			"OTEL_BSP_EXPORT_TIMEOUT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
			"OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT",
			"OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT")},
		{fmt.Sprintf("at most OTEL_BSP_MAX_QUEUE_SIZE, %d", queue),
			func(v string) bool { n, err := strconv.Atoi(v); return err == nil && n <= queue },
			[]string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"}},
	}
	if strings.HasSuffix(os.Getenv("OTEL_TRACES_SAMPLER"), "traceidratio") { // the others take no argument
		list = append(list, check{"a share from 0 to 1", isShare, []string{"OTEL_TRACES_SAMPLER_ARG"}})
	}
	return list
}

func oneOf(names []string, words ...string) check {
	return check{"one of " + strings.Join(words, ", "), func(v string) bool { return slices.Contains(words, v) }, names}
}

func isBool(v string) bool { return strings.EqualFold(v, "true") || strings.EqualFold(v, "false") }

func isCount(v string) bool {
	n, err := strconv.Atoi(v)
	return err == nil && n > 0
}

func isShare(v string) bool {
	ratio, err := strconv.ParseFloat(v, 64)
	return err == nil && ratio >= 0 && ratio <= 1
}

func isPropagators(v string) bool {
	return !slices.ContainsFunc(strings.Split(v, ","), func(name string) bool {
		return !slices.Contains([]string{"tracecontext", "baggage", "none"}, strings.TrimSpace(name))
	})
}

// isPairs reports whether v is "a=b,c=d" with values that can be decoded (W3C
// Baggage, section 3.3.1, which the specification refers to).
func isPairs(v string) bool {
	for pair := range strings.SplitSeq(v, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); err != nil || !ok || strings.TrimSpace(key) == "" {
			return false
		}
	}
	return true
}

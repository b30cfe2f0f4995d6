// Package golden holds the telemetry of one roll: its spans, its log lines and
// the metrics that it moves, for the four ways in which a roll can end. It is the
// contract of package contract as data. Tests and checks compare it with what they
// observe.
//
// Values that differ from roll to roll are placeholders in angle brackets, such
// as <seconds>; Blank puts them into an observation before it is compared.
package golden

import (
	"embed"
	"encoding/json"
	"fmt"
)

// The scenarios.
const (
	Success   = "success"   // a risky roll through the front end that brings a value
	Failure   = "failure"   // a risky roll through the front end that fails
	BadDie    = "bad_die"   // a request to the roller for a die that does not exist
	Abandoned = "abandoned" // a request to the roller whose caller goes away
)

// Scenarios lists all of them.
func Scenarios() []string { return []string{Success, Failure, BadDie, Abandoned} }

// Telemetry is the telemetry of one roll.
type Telemetry struct {
	// Spans are in the order of the call: parents before children.
	Spans []Span `json:"spans"`
	// Lines are in the order in which they are written.
	Lines []Line `json:"lines"`
	// Metrics has the change of each sample: service, then sample as
	// Prometheus writes it. Of histograms it has the counts; what is not
	// listed does not move.
	Metrics map[string]map[string]float64 `json:"metrics"`
}

// Span is one span.
type Span struct {
	Service    string         `json:"service"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`   // SERVER, CLIENT or INTERNAL
	Parent     string         `json:"parent"` // the parent's name; "" for the root
	Status     string         `json:"status"` // Unset or Error
	Message    string         `json:"message,omitempty"`
	Attributes map[string]any `json:"attributes"`
	Exceptions []string       `json:"exceptions,omitempty"` // messages of its exception events
}

// Line is one log line; its trace_id is the trace's.
type Line struct {
	Service string         `json:"service"`
	Level   string         `json:"level"`
	Message string         `json:"message"`
	Span    string         `json:"span"` // name of the span whose ID it carries
	Fields  map[string]any `json:"fields"`
}

//go:embed *.json
var files embed.FS

// Load reads a scenario.
func Load(scenario string) (Telemetry, error) {
	text, err := files.ReadFile(scenario + ".json")
	if err != nil {
		return Telemetry{}, fmt.Errorf("reading golden telemetry: %w", err)
	}
	var t Telemetry
	if err := json.Unmarshal(text, &t); err != nil {
		return Telemetry{}, fmt.Errorf("reading golden telemetry %s: %w", scenario, err)
	}
	return t, nil
}

// varying maps attributes and fields whose value differs from roll to roll to
// the placeholder that stands for it.
func varying() map[string]string {
	return map[string]string{
		"backend.url": "<roller>/roll", "backend_url": "<roller>/roll", "url.full": "<roller>/roll?die=<die>",
		"server.address": "<host>", "server.port": "<port>", "client.address": "<address>",
		"network.peer.address": "<address>", "network.peer.port": "<port>",
		"user_agent.original": "<agent>", "http.request.header.traceparent": "<traceparent of GET>",
		"http.request.body.size": "<bytes>", "http.response.body.size": "<bytes>",
		"die.result": "<roll>", "roll.value": "<roll>", "roll_value": "<roll>", "duration_seconds": "<seconds>",
	}
}

// Blank returns a copy of values in which those that differ from roll to roll
// are placeholders. A whole number is a float64, as JSON has it.
func Blank(values map[string]any) map[string]any {
	placeholders := varying()
	out := make(map[string]any, len(values))
	for k, v := range values {
		switch n := v.(type) {
		case int:
			v = float64(n)
		case int64:
			v = float64(n)
		}
		if p, ok := placeholders[k]; ok {
			v = p
		}
		out[k] = v
	}
	return out
}

package logline_test

import (
	"testing"

	"dicelab/internal/embedded/logline"
)

func TestLevel(t *testing.T) {
	for _, tt := range []struct {
		name             string
		labels, metadata map[string]string
		text             string
		want             string
	}{
		{name: "set by the sender", metadata: map[string]string{"detected_level": "WRN"}, text: "error", want: "warn"},
		{name: "a label", labels: map[string]string{"level": "Information"}, metadata: map[string]string{"level": "error"}, want: "info"},
		{name: "a label that is no known level", labels: map[string]string{"severity": "NOTICE"}, want: "NOTICE"},
		{name: "metadata", metadata: map[string]string{"SEVERITY": "CRITICAL"}, text: `{"level":"info"}`, want: "critical"},
		{name: "severity text before number", metadata: map[string]string{"severity_text": "Error", "severity_number": "9"}, want: "error"},
		{name: "TRACE4", metadata: map[string]string{"severity_number": "4"}, want: "trace"},
		{name: "DEBUG", metadata: map[string]string{"severity_number": "5"}, want: "debug"},
		{name: "INFO4", metadata: map[string]string{"severity_number": "12"}, want: "info"},
		{name: "WARN", metadata: map[string]string{"severity_number": "13"}, want: "warn"},
		{name: "ERROR4", metadata: map[string]string{"severity_number": "20"}, want: "error"},
		{name: "FATAL", metadata: map[string]string{"severity_number": "21"}, want: "fatal"},
		{name: "beyond FATAL4", metadata: map[string]string{"severity_number": "25"}, want: "unknown"},
		{name: "JSON", text: ` {"msg":"info","level":"ERR"} `, want: "error"},
		{name: "JSON, a dotted name", text: `{"log.level":"debug"}`, want: "debug"},
		{name: "JSON, in an object", text: `{"log":{"level":"trc"},"level":"info"}`, want: "trace"},
		{name: "JSON, two objects deep", text: `{"a":{"b":{"level":"trace"}}}`, want: "unknown"},
		{name: "JSON, a number", text: `{"level":30}`, want: "unknown"},
		{name: "JSON, broken", text: `{"level":}`, want: "unknown"},
		{name: "logfmt", text: `ts=1 msg="a level=info" lvl=warn`, want: "warn"},
		{name: "logfmt, the name that is first in the list", text: `lvl=warn level=fatal`, want: "fatal"},
		{name: "logfmt, quoted", text: `Level="error" x=1`, want: "error"},
		{name: "logfmt, an unknown level", text: `level=loud and a warning`, want: "warn"},
		{name: "words", text: "[ERROR] it broke", want: "error"},
		{name: "words, info first", text: "ERR: no information", want: "info"},
		{name: "no word", text: "it broke", want: "unknown"},
		{name: "nothing", want: "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := logline.Level(tt.labels, tt.metadata, tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
	"dicelab/internal/lab"
	"dicelab/stack"
)

// rareTrace is a trace that has whatever OTLP can say of one, spelled as the
// specification's JSON encoding has it. START and END are times in nanoseconds.
const rareTrace = `{"resourceSpans": [
  {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "Würfel 🎲"}}], "droppedAttributesCount": 2},
   "schemaUrl": "https://opentelemetry.io/schemas/1.37.0",
   "scopeSpans": [
    {"scope": {"name": "first", "version": "1.0", "attributes": [{"key": "scoped", "value": {"boolValue": true}}], "droppedAttributesCount": 1},
     "schemaUrl": "https://opentelemetry.io/schemas/1.36.0",
     "spans": [
      {"traceId": "00000000000000a1b2c3d4e5f6070809", "spanId": "00f067aa0ba902b7", "traceState": "vendor=x,other=ü", "flags": 769,
       "name": "POST /wurf", "kind": 2, "startTimeUnixNano": "START0", "endTimeUnixNano": "END0",
       "attributes": [
        {"key": "text", "value": {"stringValue": "a \"quote\", </script>, \u0001, \u2028, 日本語"}},
        {"key": "empty", "value": {"stringValue": ""}},
        {"key": "true", "value": {"boolValue": true}}, {"key": "false", "value": {"boolValue": false}},
        {"key": "least", "value": {"intValue": "-9223372036854775808"}}, {"key": "zero", "value": {"intValue": "0"}},
        {"key": "third", "value": {"doubleValue": 0.3333333333333333}}, {"key": "whole", "value": {"doubleValue": 3}},
        {"key": "none", "value": {"doubleValue": "NaN"}}, {"key": "endless", "value": {"doubleValue": "-Infinity"}},
        {"key": "bytes", "value": {"bytesValue": "AP+A"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": "1"}, {"arrayValue": {}}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "inner", "value": {"doubleValue": 2.5}}, {"key": "none", "value": {"kvlistValue": {}}}]}}},
        {"key": "unset", "value": {}},
        {"key": "twice", "value": {"stringValue": "1"}}, {"key": "twice", "value": {"stringValue": "2"}}],
       "droppedAttributesCount": 4,
       "events": [{"timeUnixNano": "START1", "name": "exception", "attributes": [{"key": "exception.message", "value": {"stringValue": "bum\n"}}], "droppedAttributesCount": 3},
                  {"timeUnixNano": "START2", "name": "later"}],
       "droppedEventsCount": 5,
       "links": [{"traceId": "0000000000000000000000000000000f", "spanId": "000000000000000e", "traceState": "l=1", "attributes": [{"key": "why", "value": {"stringValue": "retry"}}], "droppedAttributesCount": 6, "flags": 1}],
       "droppedLinksCount": 7,
       "status": {"message": "it broke", "code": 2}}]},
    {"scope": {"name": "second"},
     "spans": [
      {"traceId": "00000000000000a1b2c3d4e5f6070809", "spanId": "b7ad6b7169203331", "parentSpanId": "00f067aa0ba902b7",
       "name": "ok", "kind": 1, "startTimeUnixNano": "START1", "endTimeUnixNano": "END1", "status": {"code": 1}},
      {"traceId": "00000000000000a1b2c3d4e5f6070809", "spanId": "b7ad6b7169203332", "parentSpanId": "00f067aa0ba902b7",
       "name": "backwards", "kind": 5, "startTimeUnixNano": "START2", "endTimeUnixNano": "END1", "status": {}}]}]},
  {"resource": {},
   "scopeSpans": [{"scope": {},
     "spans": [
      {"traceId": "00000000000000a1b2c3d4e5f6070809", "spanId": "b7ad6b7169203333", "parentSpanId": "ffffffffffffffff",
       "kind": 3, "startTimeUnixNano": "START2", "endTimeUnixNano": "END2", "status": {}}]}]}
]}`

const rareTraceID = "00000000000000a1b2c3d4e5f6070809"

// rareFile writes rareTrace to a file, as beginning at a time.
func rareFile(t *testing.T, at time.Time) string {
	t.Helper()
	text := rareTrace
	for i := range 3 {
		start := at.Add(time.Duration(i) * time.Millisecond)
		text = strings.ReplaceAll(text, fmt.Sprintf("START%d", i), fmt.Sprint(start.UnixNano()))
		text = strings.ReplaceAll(text, fmt.Sprintf("END%d", i), fmt.Sprint(start.Add(500*time.Microsecond).UnixNano()))
	}
	return file(t, text)
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ran is a command that has ended.
type ran struct {
	Status   int
	Out, Err string
}

// command runs one with settings besides the test's own.
func command(t *testing.T, env []string, args ...string) ran {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "dicelab", args...)
	cmd.Env = append(append(os.Environ(), envBook+"="+t.TempDir()), env...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			t.Fatal(err)
		}
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

func toLab(t *testing.T, l *running) []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + l.url(t, "otlp http")}
}

// What one lab exports another imports, and nothing is lost on the way.
func TestTraceRoundTrip(t *testing.T) {
	t.Parallel()
	here, there := startLab(t, t.TempDir(), nil), startLab(t, t.TempDir(), nil)
	original := rareFile(t, time.Now())

	want := ran{Out: rareTraceID + "  4 spans of Würfel 🎲, a service without a name  http://e.test/" + rareTraceID + "\n"}
	if got := command(t, toLab(t, here), "import", "--trace-url", "http://e.test/{trace_id}", original); got != want {
		t.Fatalf("import: %+v, want %+v", got, want)
	}
	exported := filepath.Join(t.TempDir(), "exported.json")
	want = ran{Out: exported + "  4 spans of Würfel 🎲, a service without a name\n"}
	// Without its leading zeros, as Tempo's search has it.
	if got := command(t, nil, "export", "--tempo-url", here.url(t, "tempo"), "--output", exported, strings.TrimLeft(rareTraceID, "0")); got != want {
		t.Fatalf("export: %+v, want %+v", got, want)
	}
	if info, err := os.Stat(exported); err != nil {
		t.Error(err)
	} else if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("the exported file has mode %o, want 600", got)
	}
	if diff := cmp.Diff(decoded(t, original), decoded(t, exported)); diff != "" {
		t.Errorf("exported (-want +got):\n%s", diff)
	}

	if got := command(t, toLab(t, there), "import", "--trace-url=", exported); got.Status != 0 || got.Err != "" {
		t.Fatalf("second import: %+v", got)
	}
	again := command(t, nil, "export", "--tempo-url", there.url(t, "tempo"), rareTraceID)
	text, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), again.Out); diff != "" || again.Err != "" {
		t.Errorf("exported again (-want +got):\n%s\n%s", diff, again.Err)
	}
	status, page := there.get(t, there.url(t, "explorer")+"/traces/"+rareTraceID+"/trace.json")
	if diff := cmp.Diff(string(text), page); diff != "" || status != http.StatusOK {
		t.Errorf("the explorer's download, %d (-want +got):\n%s", status, diff)
	}
	here.stop(t)
	there.stop(t)
}

// A roll's own trace goes the same way, and so does what Tempo's API answers.
func TestRolledTraceRoundTrip(t *testing.T) {
	t.Parallel()
	here, there := startLab(t, t.TempDir(), nil, "--max-delay", "0s"), startLab(t, t.TempDir(), nil)
	roll := here.roll(t, contract.DieFair)
	here.trace(t, roll.TraceID, 5)
	first := command(t, nil, "export", "--tempo-url", here.url(t, "tempo"), roll.TraceID)
	for _, path := range []string{"/api/traces/", "/api/v2/traces/"} {
		_, answer := here.get(t, here.url(t, "tempo")+path+roll.TraceID)
		want := roll.TraceID + "  5 spans of streamlit-frontend, dice-roller\n"
		if got := command(t, toLab(t, there), "import", "--trace-url=", file(t, answer)); got != (ran{Out: want}) {
			t.Errorf("importing the answer of %s: %+v, want %s", path, got, want)
		}
	}
	second := command(t, nil, "export", "--tempo-url", there.url(t, "tempo"), roll.TraceID)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("exported again (-want +got):\n%s", diff)
	}
	there.stop(t)

	taken := file(t, "mine")
	got := command(t, nil, "export", "--tempo-url", here.url(t, "tempo"), "--output", taken, roll.TraceID)
	if want := "dicelab: error: export: " + taken + " is there already\n" +
		"dicelab: hint: nothing is overwritten: give another name with --output, or remove the file first\n"; got != (ran{Status: lab.ExitUsage, Err: want}) {
		t.Errorf("exporting to a file that is there: %+v, want %s", got, want)
	}
	if text, err := os.ReadFile(taken); err != nil || string(text) != "mine" {
		t.Errorf("the file has %q, %v", text, err)
	}
	unknown := strings.Repeat("ab", 16)
	got = command(t, nil, "export", "--tempo-url", here.url(t, "tempo"), unknown)
	if want := "dicelab: error: trace " + unknown + " is not at " + here.url(t, "tempo") + "\n" +
		"dicelab: hint: a new trace takes a second to get there, and the lab keeps traces for 48 hours; another Tempo can be given with --tempo-url\n"; got != (ran{Status: lab.ExitFailed, Err: want}) {
		t.Errorf("exporting an unknown trace: %+v, want %s", got, want)
	}
}

func decoded(t *testing.T, path string) (v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// receiver starts an OTLP receiver that responds with answer.
func receiver(t *testing.T, answer func(w http.ResponseWriter)) (env []string, url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
	t.Cleanup(s.Close)
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.URL}, s.URL + "/v1/traces"
}

func protobuf(t *testing.T, w http.ResponseWriter, status int, m proto.Message) {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Error(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		t.Error(err)
	}
}

func partial(rejected int64, message string) *coltracepb.ExportTraceServiceResponse {
	return &coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: message}}
}

// An import prints the receiver's own reason for refusing spans.
func TestImportPrintsRefusals(t *testing.T) {
	t.Parallel()
	recent := rareFile(t, time.Now())
	for _, tt := range []struct {
		name   string
		file   string
		answer func(http.ResponseWriter)
		want   func(to string) ran
	}{
		{"rejected spans", recent, func(w http.ResponseWriter) { protobuf(t, w, http.StatusOK, partial(3, "no such tenant")) }, func(to string) ran {
			return ran{Status: lab.ExitFailed, Err: "dicelab: error: trace " + rareTraceID + ": " + to + " has rejected 3 of its 4 spans: no such tenant\n"}
		}},
		{"a remark", recent, func(w http.ResponseWriter) { protobuf(t, w, http.StatusOK, partial(0, "use gzip")) }, func(to string) ran {
			return ran{Out: rareTraceID + "  4 spans of Würfel 🎲, a service without a name\n",
				Err: "dicelab: warning: " + to + " says: use gzip\n"}
		}},
		{"a refusal", recent, func(w http.ResponseWriter) {
			protobuf(t, w, http.StatusUnauthorized, &coltracepb.ExportTracePartialSuccess{RejectedSpans: 16, ErrorMessage: "no\ntoken"}) // on the wire a google.rpc.Status
		}, func(to string) ran {
			return ran{Status: lab.ExitFailed, Err: "dicelab: error: trace " + rareTraceID + ": sending spans to " + to + ": failed to send to " + to + ": 401 Unauthorized (body: \\u0008\\u0010\\u0012\\u0008no token)\n" +
				"dicelab: hint: stored so far: 0 of 1 traces, and 0 of 4 spans of this one; start the lab with: dicelab up; or set OTEL_EXPORTER_OTLP_ENDPOINT\n"}
		}},
		{"spans that will go soon", rareFile(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }, func(string) ran {
			return ran{Out: rareTraceID + "  4 spans of Würfel 🎲, a service without a name\n",
				Err: "dicelab: warning: trace " + rareTraceID + " began at 2026-01-02T03:04:05Z, more than 48 hours ago: the lab's stores delete such spans again, the embedded one within a minute;\n" +
					"  to look at it without storing it, open the file on the explorer's page Traces\n"}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, to := receiver(t, tt.answer)
			if diff := cmp.Diff(tt.want(to), command(t, env, "import", "--trace-url=", tt.file)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Where the lab says how long it keeps traces it speaks for the real Tempo too.
func TestTraceAgeIsTempos(t *testing.T) {
	config, err := stack.Configs.ReadFile("tempo/tempo.yml")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("block_retention: %.0fh", store.DefaultTraceAge.Hours()); !strings.Contains(string(config), want) {
		t.Errorf("tempo.yml does not say %q", want)
	}
}

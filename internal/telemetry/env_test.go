package telemetry_test

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry"
	"dicelab/internal/telemetry/telemetrytest"
)

func TestBadSettingIsAnErrorThatNamesVariableAndValue(t *testing.T) {
	const pairs = "key=value pairs, separated by commas, values percent-encoded"
	tests := []struct{ name, value, want string }{
		{"OTEL_SDK_DISABLED", "yes", "true or false"},
		{"OTEL_TRACES_EXPORTER", "zipkin", "one of otlp, console, none"},
		{"OTEL_TRACES_EXPORTER", "otlp,console", "one of otlp, console, none"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "one of http/protobuf, grpc"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "GRPC", "one of http/protobuf, grpc"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "an address such as http://localhost:4318"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "an address such as http://localhost:4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[::1", "an address such as http://localhost:4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://localhost", "an address such as http://localhost:4318"},
		{"OTEL_EXPORTER_OTLP_INSECURE", "1", "true or false"},
		{"OTEL_EXPORTER_OTLP_TRACES_INSECURE", "no", "true or false"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "one of gzip, none"},
		{"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "GZIP", "one of gzip, none"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "a whole number above 0"},
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "a whole number above 0"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "token", pairs},
		{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "token=%zz", pairs},
		{"OTEL_RESOURCE_ATTRIBUTES", "team=dice,room", pairs},
		{"OTEL_RESOURCE_ATTRIBUTES", "team=100%", pairs},
		{"OTEL_RESOURCE_ATTRIBUTES", "=dice", pairs},
		{"OTEL_PROPAGATORS", "tracecontext,b3", "a list of tracecontext, baggage, none"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio"},
		{"OTEL_BSP_SCHEDULE_DELAY", "100ms", "a whole number above 0"},
		{"OTEL_BSP_EXPORT_TIMEOUT", "-1", "a whole number above 0"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "0", "a whole number above 0"},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many", "a whole number above 0"},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20000", "at most OTEL_BSP_MAX_QUEUE_SIZE, 16384"},
		{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "x", "a whole number above 0"},
		{"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "x", "a whole number above 0"},
		{"OTEL_ATTRIBUTE_COUNT_LIMIT", "x", "a whole number above 0"},
		{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "x", "a whole number above 0"},
		{"OTEL_SPAN_EVENT_COUNT_LIMIT", "x", "a whole number above 0"},
		{"OTEL_SPAN_LINK_COUNT_LIMIT", "x", "a whole number above 0"},
		{"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "x", "a whole number above 0"},
		{"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "x", "a whole number above 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+strings.ReplaceAll(tt.value, "/", "|"), func(t *testing.T) {
			t.Setenv(tt.name, tt.value)
			checkBadSetting(t, tt.name, tt.value, tt.want)
		})
	}
	for _, share := range []string{"half", "-0.1", "1.1", "NaN"} {
		t.Run("OTEL_TRACES_SAMPLER_ARG="+share, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", share)
			checkBadSetting(t, "OTEL_TRACES_SAMPLER_ARG", share, "a share from 0 to 1")
		})
	}
}

func checkBadSetting(t *testing.T, name, value, want string) {
	t.Helper()
	tel, err := telemetry.New(t.Context(), config(io.Discard, nil))
	if err == nil {
		_ = tel.Shutdown(t.Context())
		t.Fatal("taken")
	}
	if diff := cmp.Diff(`environment variable `+name+` is "`+value+`": want `+want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// TestEmptySettingCountsAsUnset: so the specification says.
func TestEmptySettingCountsAsUnset(t *testing.T) {
	for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_PROPAGATORS", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
		"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"} {
		t.Setenv(name, "")
	}
	b := start(t)
	b.spans(1)
	if got := b.sink.Wait(1)[0]; got.Service != contract.ServiceRoller || got.Name != contract.SpanRoll { // comes by itself: the delay is the default
		t.Errorf("span %v", got)
	}
}

func TestSDKDisabled(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "TRUE") // case-insensitive, says the specification
	b := start(t)
	if b.Recording() {
		t.Error("says that it records")
	}
	url := b.serve(traced("GET /roll", func(w http.ResponseWriter, r *http.Request) {
		b.Logger.InfoContext(r.Context(), contract.MsgRollReceived)
		_, _ = io.WriteString(w, "4")
	}))
	for _, parent := range []string{"", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"} {
		resp, body := b.do(http.MethodGet, url+"/roll", nil, contract.HeaderTraceparent, parent)
		if resp.StatusCode != 200 || body != "4" || resp.Header.Get(contract.HeaderTraceresponse) != "" {
			t.Errorf("answer %d %q, traceresponse %q", resp.StatusCode, body, resp.Header.Get(contract.HeaderTraceresponse))
		}
	}
	if diff := cmp.Diff(map[string]float64{"/roll GET 2xx": 2}, b.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	b.stop()
	if got := b.sink.Requests(); got != 0 {
		t.Errorf("%d export requests, want 0", got)
	}
	if got := len(b.log.Lines()); got != 2 {
		t.Errorf("%d lines, want 2", got)
	}
}

func TestTracesExporter(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_EXPORTER", "none")
		b := start(t)
		if b.Recording() {
			t.Error("says that it records")
		}
		resp, _ := b.do(http.MethodGet, b.serve(traced("GET /roll", func(http.ResponseWriter, *http.Request) {}))+"/roll", nil)
		if header := resp.Header.Get(contract.HeaderTraceresponse); len(header) != 55 {
			t.Errorf("traceresponse %q; spans still have IDs, for the caller and the log", header)
		}
		b.stop()
		if got := b.sink.Requests(); got != 0 {
			t.Errorf("%d export requests, want 0", got)
		}
	})
	t.Run("console", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_EXPORTER", "console")
		stderr := captureStderr(t)
		b := start(t)
		if !b.Recording() {
			t.Error("says that it does not record")
		}
		b.spans(1)
		b.stop()
		if text := stderr(); strings.Count(text, `"Name":"roll"`) != 1 {
			t.Errorf("stderr %q, want one span", text)
		}
		if text := b.log.Text(); text != "" {
			t.Errorf("stdout %q belongs to the log lines", text)
		}
	})
	t.Run("otlp", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
		b := start(t)
		if !b.Recording() {
			t.Error("says that it does not record")
		}
		b.spans(1)
		b.stop()
		if got := len(b.sink.Spans()); got != 1 {
			t.Errorf("%d spans came, want 1", got)
		}
	})
}

// captureStderr replaces the process's stderr for the rest of the test, and
// returns what reads it.
func captureStderr(t *testing.T) func() string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = file
	t.Cleanup(func() { os.Stderr = old; _ = file.Close() })
	return func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestProtocol(t *testing.T) {
	tests := []struct {
		name            string
		general, traces string
		grpc            bool
	}{
		{name: "default"},
		{name: "http", general: "http/protobuf"},
		{name: "grpc", general: "grpc", grpc: true},
		{name: "grpc for traces", traces: "grpc", grpc: true},
		{name: "traces win", general: "grpc", traces: "http/protobuf"},
		{name: "traces win over http", general: "http/protobuf", traces: "grpc", grpc: true},
	}
	for _, tt := range tests {
		for _, compression := range []string{"", "gzip", "none"} {
			t.Run(tt.name+" "+compression, func(t *testing.T) {
				sink := telemetrytest.NewSink
				if tt.grpc {
					sink = telemetrytest.NewGRPCSink
				}
				s := sink(t)
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
				t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", tt.general)
				t.Setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", tt.traces)
				t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
				b := startWith(t, s)
				b.spans(2)
				b.stop()
				if got := len(s.Spans()); got != 2 {
					t.Errorf("%d spans came, want 2", got)
				}
			})
		}
	}
}

func TestSampler(t *testing.T) {
	const sampled, unsampled = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00"
	tests := []struct {
		sampler, arg, parent string
		want                 int
	}{
		{"", "", "", 1}, {"", "", sampled, 1}, {"", "", unsampled, 0}, // the default is parentbased_always_on
		{"", "0", "", 1}, // an argument without a sampler means nothing
		{"always_on", "", "", 1}, {"always_on", "", unsampled, 1}, {"always_on", "half", "", 1},
		{"always_off", "", "", 0}, {"always_off", "", sampled, 0},
		{"traceidratio", "0", "", 0}, {"traceidratio", "0", sampled, 0}, {"traceidratio", "1", unsampled, 1}, {"traceidratio", "", "", 1},
		{"parentbased_always_on", "", "", 1}, {"parentbased_always_on", "", unsampled, 0},
		{"parentbased_always_off", "", "", 0}, {"parentbased_always_off", "", sampled, 1},
		{"parentbased_traceidratio", "0", "", 0}, {"parentbased_traceidratio", "0", sampled, 1}, {"parentbased_traceidratio", "1.0", unsampled, 0},
	}
	for _, tt := range tests {
		t.Run(tt.sampler+" "+tt.arg+" "+tt.parent, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", tt.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", tt.arg)
			b := start(t)
			resp, _ := b.do(http.MethodGet, b.serve(traced("GET /roll", func(http.ResponseWriter, *http.Request) {}))+"/roll", nil, contract.HeaderTraceparent, tt.parent)
			b.stop()
			if got := len(b.sink.Spans()); got != tt.want {
				t.Errorf("%d spans came, want %d", got, tt.want)
			}
			if flags := resp.Header.Get(contract.HeaderTraceresponse); !strings.HasSuffix(flags, "-0"+string(rune('0'+tt.want))) {
				t.Errorf("traceresponse %q, want flags 0%d", flags, tt.want)
			}
		})
	}
}

func TestResource(t *testing.T) {
	tests := []struct {
		name                string
		service, attributes string
		want                map[string]any // besides the instance's ID and the SDK's own
	}{
		{name: "default", want: map[string]any{"service.name": "dice-roller", "deployment.environment.name": "development"}},
		{name: "OTEL_SERVICE_NAME", service: "loaded-dice", want: map[string]any{"service.name": "loaded-dice", "deployment.environment.name": "development"}},
		{name: "OTEL_RESOURCE_ATTRIBUTES", attributes: "deployment.environment.name=class, team=blue%2Cgreen,service.name=other",
			want: map[string]any{"service.name": "other", "deployment.environment.name": "class", "team": "blue,green"}},
		{name: "both", service: "loaded-dice", attributes: "service.name=other",
			want: map[string]any{"service.name": "loaded-dice", "deployment.environment.name": "development"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OTEL_SERVICE_NAME", tt.service)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", tt.attributes)
			b := start(t)
			b.spans(1)
			b.Logger.Info(contract.MsgRollerStarted)
			b.stop()
			span := b.sink.Named(contract.SpanRoll)
			tt.want["service.namespace"], tt.want["service.version"] = "dicelab", "1.2.3"
			for key := range span.Resource {
				if strings.HasPrefix(key, "telemetry.sdk.") {
					delete(span.Resource, key)
				}
			}
			if id, _ := span.Resource["service.instance.id"].(string); len(id) != 36 {
				t.Errorf("service.instance.id %q, want a UUID", id)
			}
			delete(span.Resource, "service.instance.id")
			if diff := cmp.Diff(tt.want, span.Resource); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
			if span.Service != tt.want["service.name"] || span.Scope != "dicelab/internal/telemetry" {
				t.Errorf("service %q, scope %q", span.Service, span.Scope)
			}
			if got := b.log.Lines()[0][contract.FieldLogger]; got != contract.ServiceRoller { // it is the program's, not the resource's
				t.Errorf("logger %v", got)
			}
		})
	}
}

func TestBatchSizeAndDelay(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3000") // above the SDK's own default of the queue, 2048, below ours
	b := start(t)
	b.spans(2999)
	if got := b.sink.Requests(); got != 0 {
		t.Fatalf("%d export requests before a batch was full", got)
	}
	b.spans(2)
	if got := len(b.sink.Wait(1)); got != 3000 {
		t.Errorf("%d spans came, want a batch of 3000", got)
	}
	b.stop()
	if spans, requests := len(b.sink.Spans()), b.sink.Requests(); spans != 3001 || requests != 2 {
		t.Errorf("%d spans in %d requests, want 3001 in 2", spans, requests)
	}
}

func TestSmallQueueMakesSmallBatches(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "3")
	b := start(t)
	b.spans(3)
	if got := len(b.sink.Wait(1)); got != 3 {
		t.Errorf("%d spans came, want 3: a batch is never larger than the queue", got)
	}
}

func TestExportTimeout(t *testing.T) {
	for _, name := range []string{"OTEL_BSP_EXPORT_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "50")
			if name != "OTEL_BSP_EXPORT_TIMEOUT" { // an export that ran out of time is tried again, until this ends it
				t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "500")
			}
			b := start(t)
			b.sink.Hang()
			b.spans(1)
			line := b.log.Wait(msgFailing)
			if text, _ := line[contract.FieldError].(string); !strings.Contains(text, "timeout") && !strings.Contains(text, "deadline exceeded") {
				t.Errorf("error %q does not say that time ran out", text)
			}
			b.sink.Answer()
			b.spans(1)
			b.sink.Wait(1)
			b.log.Wait(msgWorks)
		})
	}
}

func TestExportHeaders(t *testing.T) {
	got := make(chan string, 10)
	server := serverOf(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.URL.Path + " " + r.Header.Get("X-Scope-OrgID") })
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server+"/tenant/spans")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-scope-orgid=dice%20lab")
	b := startWith(t, nil)
	b.spans(1)
	b.stop()
	if header := <-got; header != "/tenant/spans dice lab" {
		t.Errorf("export went to %q", header)
	}
}

func TestPropagators(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
	tests := []struct {
		value          string
		trace, baggage bool
	}{
		{value: "", trace: true, baggage: true},
		{value: "tracecontext,baggage", trace: true, baggage: true},
		{value: " baggage , tracecontext ", trace: true, baggage: true},
		{value: "tracecontext", trace: true},
		{value: "baggage", baggage: true},
		{value: "none"},
	}
	for _, tt := range tests {
		t.Run("OTEL_PROPAGATORS="+tt.value, func(t *testing.T) {
			t.Setenv("OTEL_PROPAGATORS", tt.value)
			b := start(t)
			seen := b.hop(contract.HeaderTraceparent, parent, contract.HeaderTracestate, "lab=1", contract.HeaderBaggage, "class=blue")
			b.stop()
			server, client := b.sink.Named(contract.SpanRollerRoll), b.sink.Named(contract.SpanClient)
			want := http.Header{}
			if tt.trace {
				want.Set(contract.HeaderTraceparent, "00-"+client.TraceID+"-"+client.SpanID+"-01")
				want.Set(contract.HeaderTracestate, "lab=1")
			}
			if tt.baggage {
				want.Set(contract.HeaderBaggage, "class=blue")
			}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Errorf("headers sent on (-want +got):\n%s", diff)
			}
			if continued := server.ParentID == "00f067aa0ba902b7" && server.TraceID == "0af7651916cd43dd8448eb211c80319c"; continued != tt.trace {
				t.Errorf("span %s of trace %s has parent %q", server.SpanID, server.TraceID, server.ParentID)
			}
		})
	}
}

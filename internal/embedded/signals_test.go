package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/embedded"
	"dicelab/internal/embedded/embeddedtest"
)

// sampled returns a context with the span of a trace that is recorded.
func sampled(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled,
	}))
}

const sampledTrace, sampledSpan = "01020300000000000000000000000000", "0405000000000000"

func shop() *resource.Resource {
	return resource.NewSchemaless(attribute.String("service.name", "shop"), attribute.String("service.namespace", "mall"),
		attribute.String("service.instance.id", "one"), attribute.String("host.name", "here"))
}

// The SDK's exporters of logs, with their defaults, over both transports: the record is a
// line with Loki's labels and structured metadata, and is found by its trace.
func TestLogsOfTheSDK(t *testing.T) {
	at, grpc := embeddedtest.StartGRPC(t, embedded.Options{Discover: true})
	overHTTP, err := otlploghttp.New(t.Context(), otlploghttp.WithEndpointURL(at.OTLP+"/v1/logs"), otlploghttp.WithCompression(otlploghttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	toLoki, err := otlploghttp.New(t.Context(), otlploghttp.WithEndpointURL(at.Loki+"/otlp/v1/logs"))
	if err != nil {
		t.Fatal(err)
	}
	overGRPC, err := otlploggrpc.New(t.Context(), otlploggrpc.WithEndpoint(grpc), otlploggrpc.WithInsecure(), otlploggrpc.WithCompressor("gzip"))
	if err != nil {
		t.Fatal(err)
	}
	for name, exporter := range map[string]sdklog.Exporter{"http": overHTTP, "grpc": overGRPC, "loki": toLoki} {
		provider := sdklog.NewLoggerProvider(sdklog.WithResource(shop()), sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
		now := time.Now()
		var record log.Record
		record.SetTimestamp(now)
		record.SetSeverity(log.SeverityWarn2)
		record.SetSeverityText("WARN")
		record.SetBody(attribute.MapValue(attribute.String("over", name), attribute.Int("left", 0)))
		record.AddAttributes(attribute.String("http.route", "/buy"))
		provider.Logger("lib", log.WithInstrumentationVersion("v1")).Emit(sampled(t.Context()), record)
		if err := provider.Shutdown(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		stream, lines := logLines(t, at.Loki, fmt.Sprintf(`{service_name="shop"} |= %q | trace_id=%q`, name, sampledTrace))
		want := map[string]string{
			"service_name": "shop", "service_namespace": "mall", "service_instance_id": "one", "host_name": "here", "http_route": "/buy",
			"scope_name": "lib", "scope_version": "v1", "severity_text": "WARN", "severity_number": "14", "detected_level": "warn",
			"trace_id": sampledTrace, "span_id": sampledSpan, "flags": "1", "observed_timestamp": stream["observed_timestamp"],
		}
		if diff := cmp.Diff(want, stream); diff != "" {
			t.Errorf("%s: labels (-want +got):\n%s", name, diff)
		}
		text := fmt.Sprintf(`{"left":0,"over":%q}`, name)
		if diff := cmp.Diff([][]string{{fmt.Sprint(now.UnixNano()), text}}, lines); diff != "" {
			t.Errorf("%s: lines (-want +got):\n%s", name, diff)
		}
	}
	var labels struct{ Data []string }
	decodeAnswer(t, get(t, at.Loki+"/loki/api/v1/labels"), &labels)
	if diff := cmp.Diff([]string{"service_instance_id", "service_name", "service_namespace"}, labels.Data); diff != "" {
		t.Errorf("labels of streams (-want +got):\n%s", diff)
	}
}

// The SDK's exporters of metrics, with their defaults, over both transports, and with
// delta temporality.
func TestMetricsOfTheSDK(t *testing.T) {
	at, grpc := embeddedtest.StartGRPC(t, embedded.Options{Discover: true})
	delta := func(sdkmetric.InstrumentKind) metricdata.Temporality { return metricdata.DeltaTemporality }
	overHTTP, err := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpointURL(at.OTLP+"/v1/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	toPrometheus, err := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpointURL(at.Prometheus+"/api/v1/otlp/v1/metrics"),
		otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	overGRPC, err := otlpmetricgrpc.New(t.Context(), otlpmetricgrpc.WithEndpoint(grpc), otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithTemporalitySelector(delta))
	if err != nil {
		t.Fatal(err)
	}
	for name, exporter := range map[string]sdkmetric.Exporter{"http": overHTTP, "grpc": overGRPC, "prometheus": toPrometheus} {
		provider := sdkmetric.NewMeterProvider(sdkmetric.WithResource(shop()), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
		meter := provider.Meter("lib")
		orders, err := meter.Int64Counter("orders."+name, metric.WithUnit("{order}"))
		if err != nil {
			t.Fatal(err)
		}
		took, err := meter.Float64Histogram("took."+name, metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.1, 1))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // exported one by one
			orders.Add(sampled(t.Context()), 2, metric.WithAttributes(attribute.String("payment.kind", "card")))
			took.Record(sampled(t.Context()), 0.5)
			if err := provider.ForceFlush(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for at := time.Now().UnixMilli(); time.Now().UnixMilli() == at; { // two samples of a series have two times
			}
		}
		if err := provider.Shutdown(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		const labels = `{job="mall/shop",instance="one"`
		for query, want := range map[string]string{
			"orders_" + name + "_total" + labels + `,payment_kind="card"}`: "6",
			"took_" + name + "_seconds_count" + labels + "}":               "3",
			"took_" + name + "_seconds_sum" + labels + "}":                 "1.5",
			"took_" + name + "_seconds_bucket" + labels + `,le="0.1"}`:     "0",
			"took_" + name + "_seconds_bucket" + labels + `,le="1"}`:       "3",
			"target_info" + labels + `,host_name="here"}`:                  "1",
		} {
			if got := instant(t, at.Prometheus, query); got != want {
				t.Errorf("%s: %s is %q, want %q", name, query, got, want)
			}
		}
		if got := exemplarTrace(t, at.Prometheus, "took_"+name+"_seconds_bucket"); got != sampledTrace {
			t.Errorf("%s: the exemplar has the trace %q, want %s", name, got, sampledTrace)
		}
	}
}

// The list of senders has what each service has sent, and what was refused and why.
func TestSenders(t *testing.T) {
	var greetings []string
	at := embeddedtest.Start(t, embedded.Options{Discover: true, Print: func(line string) { greetings = append(greetings, line) }})
	now := fmt.Sprint(time.Now().UnixNano())
	send := func(url, body string, want int) string {
		t.Helper()
		got, err := post(t.Context(), newClient(t), url, "application/json", []byte(body))
		if err != nil || got.status != want {
			t.Fatalf("%s: %v, %v, want status %d", url, got, err, want)
		}
		return got.body
	}
	of := func(service, rest string) string {
		return `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"` + service + `"}}]},` + rest + `}`
	}
	send(at.OTLP+"/v1/traces", `{"resourceSpans":[`+of("shop", `"scopeSpans":[{"spans":[{"name":"no ID"}]}]`)+`]}`, http.StatusOK)
	send(at.OTLP+"/v1/logs", `{"resourceLogs":[`+of("shop", `"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a"}},{"timeUnixNano":"`+now+`"}]}]`)+`,`+
		of("bank", `"scopeLogs":[{"logRecords":[{"body":{"stringValue":"b"}}]}]`)+`]}`, http.StatusOK)
	answered := send(at.OTLP+"/v1/metrics", `{"resourceMetrics":[`+of("shop", `"scopeMetrics":[{"metrics":[{"name":"g","gauge":{"dataPoints":[{"timeUnixNano":"`+now+`","asInt":"1"},{"timeUnixNano":"1","asInt":"1","attributes":[{"key":"a","value":{"stringValue":"b"}}]}]}}]}]`)+`]}`, http.StatusOK)
	if !strings.Contains(answered, `"rejectedDataPoints":"1"`) || !strings.Contains(answered, `\"g\" at 1970-01-01T00:00:00Z: too old sample`) {
		t.Errorf("metrics: answered %s", answered)
	}
	send(at.OTLP+"/v1/metrics", "{", http.StatusBadRequest)
	send(at.Loki+"/loki/api/v1/push", `{"streams":[{"stream":{"app":"old"},"values":[["`+now+`","x"],["1","late"]]}]}`, http.StatusBadRequest)

	var list struct {
		Senders []struct {
			Service, Signal string
			Items, Refused  int
			Bytes           int64
			Reasons         []struct {
				Text  string
				Count int
			}
		}
	}
	decodeAnswer(t, get(t, at.OTLP+"/api/senders"), &list)
	var got []string
	for _, s := range list.Senders {
		line := fmt.Sprintf("%s %s %d %d %v", s.Service, s.Signal, s.Items, s.Refused, s.Bytes > 0)
		for _, r := range s.Reasons {
			line += fmt.Sprintf(" %d× %.30s", r.Count, r.Text)
		}
		got = append(got, line)
	}
	want := []string{
		" metrics 0 1 false 1× decoding the export as applica",
		"bank logs 1 0 true",
		"old logs 1 1 true 1× entry for stream '{app=\"old\"}'",
		"shop logs 2 0 true",
		"shop metrics 1 1 true 1× \"g\" at 1970-01-01T00:00:00Z: t",
		"shop traces 0 1 false 1× span \"no ID\" has a trace ID of",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("senders (-want +got):\n%s", diff)
	}
	wantGreetings := []string{`First logs of "shop".`, `First logs of "bank".`, `First metrics of "shop".`, `First logs of "old".`}
	if diff := cmp.Diff(wantGreetings, greetings); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

// logLines returns the labels of the only stream that a query finds, and its lines.
func logLines(t *testing.T, loki, query string) (stream map[string]string, lines [][]string) {
	t.Helper()
	var body struct {
		Data struct {
			Result []struct {
				Stream map[string]string
				Values [][]string
			}
		}
	}
	decodeAnswer(t, get(t, loki+"/loki/api/v1/query_range?"+url.Values{"query": {query}}.Encode()), &body)
	if len(body.Data.Result) != 1 {
		t.Fatalf("%s: %d streams, want one", query, len(body.Data.Result))
	}
	return body.Data.Result[0].Stream, body.Data.Result[0].Values
}

// instant returns the value of the only series of a query, or "".
func instant(t *testing.T, prometheus, query string) string {
	t.Helper()
	var body struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	decodeAnswer(t, get(t, prometheus+"/api/v1/query?"+url.Values{"query": {query}}.Encode()), &body)
	if len(body.Data.Result) != 1 {
		return ""
	}
	return fmt.Sprint(body.Data.Result[0].Value[1])
}

// exemplarTrace returns the trace of the first exemplar of a series.
func exemplarTrace(t *testing.T, prometheus, query string) string {
	t.Helper()
	var body struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Minute)
	decodeAnswer(t, get(t, prometheus+"/api/v1/query_exemplars?"+url.Values{
		"query": {query}, "start": {fmt.Sprint(from.Unix())}, "end": {fmt.Sprint(to.Unix())},
	}.Encode()), &body)
	if len(body.Data) == 0 || len(body.Data[0].Exemplars) == 0 {
		return ""
	}
	return body.Data[0].Exemplars[0].Labels["trace_id"]
}

func decodeAnswer(t *testing.T, got answer, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(got.body), into); err != nil || got.status != http.StatusOK {
		t.Fatalf("status %d, %v: %s", got.status, err, got.body)
	}
}

// Everything that comes by OTLP is sent on, over both transports, unless another lab has
// sent it here.
func TestForwarding(t *testing.T) {
	got := make(chan string, 10)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.URL.Path }))
	defer backend.Close()
	to, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	at, grpc := embeddedtest.StartGRPC(t, embedded.Options{Forward: to})
	for _, path := range []string{"/v1/traces", "/v1/logs", "/v1/metrics"} {
		if sent, err := post(t.Context(), newClient(t), at.OTLP+path, "application/json", []byte("{}"), "dicelab-forwarded", "1"); err != nil || sent.status != http.StatusOK {
			t.Fatal(sent, err)
		}
		if sent, err := post(t.Context(), newClient(t), at.OTLP+path, "application/json", []byte("{}")); err != nil || sent.status != http.StatusOK {
			t.Fatal(sent, err)
		}
		if forwarded := <-got; forwarded != path {
			t.Errorf("%s arrived, want %s", forwarded, path)
		}
	}
	if _, err := dial(t, grpc).Export(t.Context(), exportOf(idOf(1, 1, 1), time.Now())); err != nil {
		t.Fatal(err)
	}
	if forwarded := <-got; forwarded != "/v1/traces" {
		t.Errorf("%s arrived, want /v1/traces", forwarded)
	}
}

package main_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/explorer"

	"dicelab/internal/embedded"
	"dicelab/internal/embedded/store"
	"dicelab/internal/grafana"
	"dicelab/internal/otlpjson"
	"dicelab/internal/query"
)

// readers are all that reads traces, over one stack.
type readers struct {
	otlp, tempo http.Handler
	client      *query.Tempo
	explorer    http.Handler
}

// noChecks is a checklist that is not run.
type noChecks struct{ explorer.Checker }

func newReaders(tb testing.TB) *readers {
	tb.Helper()
	s := embedded.New(embedded.Options{Dir: tb.TempDir(), Store: store.Options{TraceAge: math.MaxInt64}}) // times of any year are kept
	if err := s.OpenStore(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.CloseStore(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	server := httptest.NewServer(s.Tempo())
	nothing := httptest.NewServer(http.NotFoundHandler())
	tb.Cleanup(func() {
		server.Close()
		nothing.Close()
	})
	client, err := query.NewTempo(query.Config{URL: server.URL})
	if err != nil {
		tb.Fatal(err)
	}
	prometheus, err := query.NewPrometheus(query.Config{URL: nothing.URL})
	if err != nil {
		tb.Fatal(err)
	}
	loki, err := query.NewLoki(query.Config{URL: nothing.URL})
	if err != nil {
		tb.Fatal(err)
	}
	pages, err := explorer.NewHandler(explorer.Options{Prometheus: prometheus, Loki: loki, Tempo: client, Dashboard: grafana.Stage2(), Checklist: noChecks{}})
	if err != nil {
		tb.Fatal(err)
	}
	return &readers{otlp: s.Receiver(), tempo: s.Tempo(), client: client, explorer: pages}
}

func status(h http.Handler, path, accept string) (int, string) {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Host = "localhost"
	req.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

// send exports a body and returns the status.
func (r *readers) send(kind string, body []byte) (status int, answer []byte) {
	req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
	req.Header.Set("Content-Type", kind)
	rec := httptest.NewRecorder()
	r.otlp.ServeHTTP(rec, req)
	return rec.Code, rec.Body.Bytes()
}

// read reads a trace in each way that there is.
func (r *readers) read(ctx context.Context, id string) error {
	for _, q := range []struct {
		h            http.Handler
		path, accept string
	}{
		{r.tempo, "/api/traces/" + id, "application/json"},
		{r.tempo, "/api/traces/" + id, "application/protobuf"},
		{r.tempo, "/api/v2/traces/" + id, "application/json"},
		{r.tempo, "/api/v2/traces/" + id, "application/protobuf"},
		{r.tempo, "/api/search?limit=1000", "application/json"},
		{r.tempo, "/api/search?q=%7B%7D%7Cselect(span.a)", "application/json"},
		{r.explorer, "/traces/" + id, "text/html"},
		{r.explorer, "/traces/" + id + "/trace.json", "application/json"},
		{r.explorer, "/traces", "text/html"},
	} {
		if code, body := status(q.h, q.path, q.accept); code != http.StatusOK && !(strings.Contains(q.path, "select") && code == http.StatusBadRequest) {
			return fmt.Errorf("%s as %s: status %d: %.300s", q.path, q.accept, code, body)
		}
	}
	if _, err := r.client.Trace(ctx, id); err != nil {
		return err
	}
	exported, _, err := r.client.Export(ctx, id, 0)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := exported.Write(&text); err != nil {
		return err
	}
	_, err = otlpjson.Read(&text)
	return err
}

// odd returns exports that are valid but unusual.
func odd() (list []*coltracepb.ExportTraceServiceRequest) {
	id := 0
	add := func(change func(*tracepb.ResourceSpans, *tracepb.Span)) {
		id++
		span := &tracepb.Span{TraceId: []byte(fmt.Sprintf("trace %010d", id)), SpanId: []byte("span one"), Name: "n", StartTimeUnixNano: 1_700_000_000_000_000_000, EndTimeUnixNano: 1_700_000_000_000_000_001}
		batch := &tracepb.ResourceSpans{Resource: &resourcepb.Resource{}, ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{}, Spans: []*tracepb.Span{span}}}}
		change(batch, span)
		list = append(list, &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{batch}})
	}
	deep := &commonpb.AnyValue{}
	for range 64 {
		deep = &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{{Key: "k", Value: deep}}}}}
	}
	values := []*commonpb.AnyValue{nil, {}, deep,
		{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255}}},
		{Value: &commonpb.AnyValue_StringValue{StringValue: "\x00\u202e\ufffd\U0010ffff<>&"}},
		{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{{}, {}}}}},
		{Value: &commonpb.AnyValue_ArrayValue{}}, {Value: &commonpb.AnyValue_KvlistValue{}},
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1)} {
		values = append(values, &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: f}})
	}
	for _, i := range []int64{math.MinInt64, math.MaxInt64, 0} {
		values = append(values, &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: i}})
	}
	for _, v := range values {
		a := []*commonpb.KeyValue{{Key: "a", Value: v}}
		add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) { s.Attributes = a })
		add(func(r *tracepb.ResourceSpans, _ *tracepb.Span) { r.Resource.Attributes = a })
		add(func(r *tracepb.ResourceSpans, _ *tracepb.Span) { r.ScopeSpans[0].Scope.Attributes = a })
		add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) { s.Events = []*tracepb.Span_Event{{Attributes: a}} })
		add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) { s.Links = []*tracepb.Span_Link{{Attributes: a}} })
	}
	for _, name := range []string{"service.name", "die.type", "", "a"} { // in a map twice, and not as text
		twice := []*commonpb.KeyValue{{Key: name, Value: values[3]}, {Key: name}, {}, nil}
		add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) { s.Attributes = twice })
		add(func(r *tracepb.ResourceSpans, _ *tracepb.Span) { r.Resource.Attributes = twice })
	}
	add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) {
		s.Kind, s.Flags, s.Status = 77, math.MaxUint32, &tracepb.Status{Code: -77, Message: "m"}
		s.DroppedAttributesCount, s.DroppedEventsCount, s.DroppedLinksCount = math.MaxUint32, math.MaxUint32, math.MaxUint32
	})
	add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) { s.ParentSpanId = s.SpanId })
	add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) { s.Name, s.TraceState = "", "\n" })
	add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) {
		s.Links = []*tracepb.Span_Link{{TraceId: make([]byte, 16), SpanId: make([]byte, 8)}}
	})
	add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) {
		s.Links = []*tracepb.Span_Link{{TraceId: s.TraceId[:3], SpanId: s.SpanId}}
	})
	add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) {
		s.Events = []*tracepb.Span_Event{{TimeUnixNano: math.MaxUint64, Name: "\x00"}}
	})
	add(func(r *tracepb.ResourceSpans, s *tracepb.Span) {
		r.SchemaUrl, r.ScopeSpans[0].SchemaUrl = "\x00", "x"
		r.Resource.EntityRefs = []*commonpb.EntityRef{{Type: "t", IdKeys: []string{""}}}
	})
	add(func(r *tracepb.ResourceSpans, s *tracepb.Span) { r.Resource, r.ScopeSpans[0].Scope = nil, nil })
	add(func(_ *tracepb.ResourceSpans, s *tracepb.Span) { s.ProtoReflect().SetUnknown([]byte{0xf8, 0x7f, 1}) })
	return list
}

// FuzzRoundTrip checks that what is accepted can be read: over Tempo's API, by its
// client, on the explorer's pages, and from a file.
func FuzzRoundTrip(f *testing.F) {
	for _, export := range odd() {
		binary, err := proto.Marshal(export)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(binary, false)
		text, err := protojson.Marshal(export)
		if err != nil {
			f.Fatal(err)
		}
		// In JSON, IDs are hex.
		for _, id := range [][]byte{[]byte("span one"), export.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId} {
			text = bytes.ReplaceAll(text, []byte(base64.StdEncoding.EncodeToString(id)), []byte(hex.EncodeToString(id)))
		}
		f.Add(text, true)
	}
	id := strings.Repeat("ab", 16)
	for _, span := range []string{
		`"startTimeUnixNano":"0","endTimeUnixNano":"1"`, `"name":"\ud800"`, `"kind":99`, `"kind":"SPAN_KIND_SERVER"`, `"attributes":[{"key":"a","value":null}]`,
		`"attributes":[{"key":"a","value":{"doubleValue":"NaN"}}]`, `"status":null`, `"links":[{"traceId":"zz","spanId":"00"}]`, `"flags":4294967295`,
	} {
		f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"`+id+`","spanId":"0102030405060708",`+span+`}]}]}]}`), true)
	}
	r := newReaders(f)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		kind := "application/x-protobuf"
		if asJSON {
			kind = "application/json"
		}
		code, answer := r.send(kind, body)
		if code >= http.StatusInternalServerError {
			t.Fatalf("status %d: %s", code, answer)
		}
		if code != http.StatusOK {
			return
		}
		for id := range accepted(body, asJSON, answer) {
			if err := r.read(t.Context(), id); err != nil {
				t.Errorf("trace %s was accepted and cannot be read: %v", id, err)
			}
		}
	})
}

// The largest span that is accepted can be read, also where JSON has six times as
// much of it.
func TestLargestSpanRoundTrip(t *testing.T) {
	r := newReaders(t)
	now := uint64(time.Now().UnixNano())
	span := &tracepb.Span{
		TraceId: []byte("trace 0123456789"), SpanId: []byte("span one"), Name: strings.Repeat("\x00", 2<<20-100),
		StartTimeUnixNano: now, EndTimeUnixNano: now + 1,
	}
	body, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if code, answer := r.send("application/x-protobuf", body); code != http.StatusOK || len(answer) > 0 {
		t.Fatalf("status %d: %q", code, answer)
	}
	if err := r.read(t.Context(), hex.EncodeToString(span.TraceId)); err != nil {
		t.Error(err)
	}
}

// accepted returns the IDs of the traces of an export that was answered with success,
// of all spans or of some.
func accepted(body []byte, asJSON bool, answer []byte) map[string]bool {
	ids := map[string]bool{}
	var export coltracepb.ExportTraceServiceRequest
	var resp coltracepb.ExportTraceServiceResponse
	if asJSON {
		_ = (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &export) // it was accepted
		_ = protojson.Unmarshal(answer, &resp)
	} else {
		_ = proto.Unmarshal(body, &export)
		_ = proto.Unmarshal(answer, &resp)
	}
	if resp.GetPartialSuccess().GetRejectedSpans() > 0 {
		return ids
	}
	for _, batch := range export.GetResourceSpans() {
		for _, scope := range batch.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				if asJSON { // hex digits were read as base64
					ids[strings.ToLower(base64.RawStdEncoding.EncodeToString(span.GetTraceId()))] = true
					continue
				}
				ids[hex.EncodeToString(span.GetTraceId())] = true
			}
		}
	}
	return ids
}

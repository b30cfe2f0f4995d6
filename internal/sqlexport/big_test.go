package sqlexport_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/otlpjson"
	"dicelab/internal/query"
	"dicelab/internal/sqlexport"
)

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
}

func batch(service string, spans ...*tracepb.Span) *tracepb.ResourceSpans {
	return &tracepb.ResourceSpans{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", service), text("host.name", service+"-0")}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "generated", Version: "1"}, Spans: spans}},
	}
}

// generated returns trace n: eight spans of three services, each the child of the span before it,
// with values that do not repeat.
func generated(random *rand.Rand, n int, base time.Time) sqlexport.Trace {
	id := binary.BigEndian.AppendUint64(nil, random.Uint64())
	id = binary.BigEndian.AppendUint64(id, uint64(n)+1)
	at := base.Add(time.Duration(random.Int64N(int64(time.Hour))))
	spans := make([]*tracepb.Span, 8)
	for i := range spans {
		spans[i] = &tracepb.Span{
			TraceId: id, SpanId: binary.BigEndian.AppendUint64(nil, random.Uint64()|1), Name: fmt.Sprintf("GET /path/%d", random.IntN(20)),
			Kind: tracepb.Span_SpanKind(2 + i%2), StartTimeUnixNano: uint64(at.UnixNano()) + uint64(i)*1e6,
			EndTimeUnixNano: uint64(at.UnixNano()) + uint64(i)*1e6 + random.Uint64N(2e9), Status: &tracepb.Status{},
			Attributes: []*commonpb.KeyValue{text("http.request.method", "GET"), number("http.response.status_code", int64(200+random.IntN(3)*100)),
				text("user.id", fmt.Sprintf("u%d", random.IntN(100_000))), number("items", random.Int64N(50)), text("url.path", fmt.Sprintf("/order/%d", random.IntN(1_000_000)))},
		}
		if i > 0 {
			spans[i].ParentSpanId = spans[i-1].GetSpanId()
		}
		if random.IntN(50) == 0 {
			spans[i].Status.Code = tracepb.Status_STATUS_CODE_ERROR
		}
	}
	return sqlexport.Trace{Trace: otlpjson.Trace{ID: hex.EncodeToString(id),
		Data: []*tracepb.ResourceSpans{batch("shop", spans[:3]...), batch("cart", spans[3:6]...), batch("pay", spans[6:]...)}}}
}

// line returns line n of a log, of the trace with the given ID.
func line(random *rand.Rand, n int, base time.Time, trace string) query.LogLine {
	level := []string{"INFO", "INFO", "WARNING", "ERROR"}[n%4]
	return query.LogLine{
		Time:     base.Add(time.Duration(n) * time.Microsecond),
		Labels:   map[string]string{"service_name": []string{"shop", "cart", "pay"}[n%3], "level": level},
		Metadata: map[string]string{"trace_id": trace, "span_id": trace[:16]},
		Text:     fmt.Sprintf(`{"level":%q,"message":"order %d handled","user":"u%d"}`, level, random.IntN(1_000_000), random.IntN(100_000)),
	}
}

// BenchmarkWrite writes b.N traces of eight spans and as many lines as spans.
func BenchmarkWrite(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f, err := sqlexport.Create(b.Context(), filepath.Join(b.TempDir(), "lab.db"))
	if err != nil {
		b.Fatal(err)
	}
	for n := range b.N {
		trace := generated(random, n, base)
		spans, err := f.AddTrace(b.Context(), trace)
		if err != nil {
			b.Fatal(err)
		}
		for i := range spans {
			if err := f.AddLine(b.Context(), line(random, n*spans+i, base, trace.ID)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := f.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
}

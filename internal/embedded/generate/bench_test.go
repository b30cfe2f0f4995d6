package generate_test

import (
	"context"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/generate"
)

// BenchmarkCount measures what generated metrics add to the cost of a stored span, in
// exports of 500 spans: rolls of five spans of two services, with as many attributes
// as those of the lab.
func BenchmarkCount(b *testing.B) {
	shape := []span{
		{service: "front", id: 1, name: "POST /roll", kind: server, ms: 600}, {service: "front", id: 2, parent: 1, name: "roll_button_click", ms: 600},
		{service: "front", id: 3, parent: 2, name: "GET", kind: client, ms: 500}, {service: "back", id: 4, parent: 3, name: "GET /roll", kind: server, ms: 400},
		{service: "back", id: 5, parent: 4, name: "roll", ms: 300},
	}
	const traces, exports = 100, 20
	var load [exports][]*tracepb.ResourceSpans
	for n := range load {
		for i, s := range shape {
			s.attributes = map[string]string{}
			for _, k := range []string{"client.address", "http.request.method", "http.response.status_code", "http.route", "network.peer.address", "network.peer.port",
				"network.protocol.version", "server.address", "server.port", "url.path", "url.scheme", "user_agent.original"}[:4+8*(i%2)] {
				s.attributes[k] = "127.0.0.1"
			}
			batch := s.resource()
			spans := &batch.ScopeSpans[0].Spans
			*spans = nil
			for trace := range traces {
				s.trace = uint64(n*traces + trace + 1)
				*spans = append(*spans, s.proto())
			}
			load[n] = append(load[n], batch)
		}
	}
	g := generate.New(generate.Options{QueueSpans: b.N*len(shape)*traces + 1, Now: func() time.Time { return noon }})
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Run(ctx)
	}()
	to := g.Wrap(&sink{})
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		if err := to.AppendSpans(ctx, load[n%exports]); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	<-done
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(shape)*traces), "ns/span")
}

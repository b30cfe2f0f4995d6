package otlpclient

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/otelenv"
	"dicelab/internal/terminal"
)

// Uploader sends spans that were recorded elsewhere, as they are.
type Uploader struct {
	client otlptrace.Client
	to     string
}

// Limits of one request. A receiver of gRPC takes 4 MiB by default.
const (
	uploadSpans = 512
	uploadBytes = 1 << 20
)

// NewUploader returns an uploader. A setting that cannot be used is an error; a
// receiver that does not answer fails the first upload. Close it.
func NewUploader(ctx context.Context) (*Uploader, error) {
	if err := otelenv.Check(); err != nil {
		return nil, err
	}
	u := &Uploader{client: New(), to: URL()}
	if err := u.client.Start(ctx); err != nil {
		return nil, fmt.Errorf("setting up the sending of spans: %w", err)
	}
	return u, nil
}

// To returns the URL that spans are sent to.
func (u *Uploader) To() string { return u.to }

// Close closes the connections.
func (u *Uploader) Close(ctx context.Context) error {
	if err := u.client.Stop(ctx); err != nil {
		return fmt.Errorf("closing the connection to %s: %w", u.to, err)
	}
	return nil
}

// Receipt is the result of an upload.
type Receipt struct {
	Stored   int      // spans that the receiver has acknowledged
	Rejected int      // spans that it has received and refused: OTLP's partial success
	Remarks  []string // its messages about those, or warnings
}

// Upload sends spans in as many requests as they need, in their order; the client
// tries again for a minute while the receiver asks for that. It ends at the first
// request that fails; the receipt then has what was acknowledged before. Rejected
// spans are no error of their own.
func (u *Uploader) Upload(ctx context.Context, spans []*tracepb.ResourceSpans) (Receipt, error) {
	var r Receipt
	for _, batch := range batches(spans) {
		n := 0
		for _, resource := range batch {
			for _, scope := range resource.GetScopeSpans() {
				n += len(scope.GetSpans())
			}
		}
		err := u.client.UploadTraces(ctx, batch)
		if partial, ok := AsPartialSuccess(err); ok {
			rejected := min(partial.Rejected, n)
			r.Rejected += rejected
			n -= rejected
			r.Remarks = append(r.Remarks, terminal.Line(partial.Message))
		} else if err != nil {
			return r, fmt.Errorf("sending spans to %s: %s", u.to, terminal.Line(err.Error())) // it has the receiver's text
		}
		r.Stored += n
	}
	return r, nil
}

// batches divides spans into requests of a size that any receiver takes.
func batches(list []*tracepb.ResourceSpans) [][]*tracepb.ResourceSpans {
	var out [][]*tracepb.ResourceSpans
	var batch []*tracepb.ResourceSpans
	spans, bytes := 0, 0
	for _, resource := range list {
		for _, scope := range resource.GetScopeSpans() {
			var in *tracepb.ScopeSpans
			for _, span := range scope.GetSpans() {
				size := proto.Size(span)
				if spans == uploadSpans || spans > 0 && bytes+size > uploadBytes {
					out = append(out, batch)
					batch, in, spans, bytes = nil, nil, 0, 0
				}
				if in == nil {
					in = &tracepb.ScopeSpans{Scope: scope.GetScope(), SchemaUrl: scope.GetSchemaUrl()}
					batch = append(batch, &tracepb.ResourceSpans{Resource: resource.GetResource(),
						SchemaUrl: resource.GetSchemaUrl(), ScopeSpans: []*tracepb.ScopeSpans{in}})
				}
				in.Spans = append(in.Spans, span)
				spans, bytes = spans+1, bytes+size
			}
		}
	}
	if spans > 0 {
		out = append(out, batch)
	}
	return out
}

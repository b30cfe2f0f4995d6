package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/terminal"
)

// Uploader sends spans that were recorded elsewhere, as they are, to where the
// OTEL_EXPORTER_OTLP_* variables say: endpoint, protocol, headers, certificates,
// compression and timeout are those of the services' own spans.
type Uploader struct {
	client otlptrace.Client
	to     string
}

// Bounds of one request. A receiver of gRPC takes 4 MiB unless told otherwise.
const (
	uploadSpans = 512
	uploadBytes = 1 << 20
)

// NewUploader makes one. A setting that cannot be used is an error; a receiver
// that is not there is found out by the first upload. Close it.
func NewUploader(ctx context.Context) (*Uploader, error) {
	set, err := readEnv()
	if err != nil {
		return nil, err
	}
	u := &Uploader{client: newClient(set), to: destination(set)}
	if err := u.client.Start(ctx); err != nil {
		return nil, fmt.Errorf("setting up the sending of spans: %w", err)
	}
	return u, nil
}

// To is the URL that spans are sent to.
func (u *Uploader) To() string { return u.to }

// Close gives the connections up.
func (u *Uploader) Close(ctx context.Context) error {
	if err := u.client.Stop(ctx); err != nil {
		return fmt.Errorf("closing the connection to %s: %w", u.to, err)
	}
	return nil
}

// Receipt is what became of an upload.
type Receipt struct {
	Stored   int      // spans that the receiver has acknowledged
	Rejected int      // spans that it has taken and refused: OTLP's partial success
	Remarks  []string // what it said, about those or as a warning
}

// Upload sends spans in as many requests as they need, in their order, and tries
// again for a minute while the receiver asks for that. It ends at the first
// request that fails; the receipt then has what was acknowledged before. Rejected
// spans are no error of its own.
func (u *Uploader) Upload(ctx context.Context, spans []*tracepb.ResourceSpans) (Receipt, error) {
	var r Receipt
	for _, batch := range batches(spans) {
		n := countSpans(batch)
		err := u.client.UploadTraces(ctx, batch)
		if _, said, partial := cutPartial(err); partial {
			rejected := lost(err, n)
			r.Stored, r.Rejected, r.Remarks = r.Stored+n-rejected, r.Rejected+rejected, append(r.Remarks, terminal.Line(said))
			continue
		}
		if err != nil {
			return r, fmt.Errorf("sending spans to %s: %w", u.to, receiverWords(err))
		}
		r.Stored += n
	}
	return r, nil
}

// cutPartial finds a partial success in an exporter's error, whose type is
// internal to it; said is the receiver's message with the number of spans.
func cutPartial(err error) (before, said string, ok bool) {
	if err == nil {
		return "", "", false
	}
	return strings.Cut(err.Error(), partialSuccess)
}

// receiverWords makes the error of a receiver readable: over HTTP the exporter
// puts in the body as it came, which in OTLP is an encoded google.rpc.Status.
func receiverWords(err error) error {
	before, body, ok := strings.Cut(err.Error(), "body: ")
	var said status.Status
	if ok && proto.Unmarshal([]byte(strings.TrimSuffix(body, ")")), &said) == nil && said.GetMessage() != "" {
		return errors.New(terminal.Line(strings.TrimRight(before, " (:") + ": " + said.GetMessage()))
	}
	if text := terminal.Line(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}

func countSpans(list []*tracepb.ResourceSpans) int {
	n := 0
	for _, resource := range list {
		for _, scope := range resource.GetScopeSpans() {
			n += len(scope.GetSpans())
		}
	}
	return n
}

// batches cuts spans into requests of a size that any receiver takes.
func batches(list []*tracepb.ResourceSpans) [][]*tracepb.ResourceSpans {
	var out [][]*tracepb.ResourceSpans
	var batch []*tracepb.ResourceSpans
	spans, bytes := 0, 0
	for _, resource := range list {
		var to *tracepb.ResourceSpans
		for _, scope := range resource.GetScopeSpans() {
			var in *tracepb.ScopeSpans
			for _, span := range scope.GetSpans() {
				size := proto.Size(span)
				if spans == uploadSpans || spans > 0 && bytes+size > uploadBytes {
					out = append(out, batch)
					batch, to, in, spans, bytes = nil, nil, nil, 0, 0
				}
				if to == nil {
					to = &tracepb.ResourceSpans{Resource: resource.GetResource(), SchemaUrl: resource.GetSchemaUrl()}
					batch = append(batch, to)
				}
				if in == nil {
					in = &tracepb.ScopeSpans{Scope: scope.GetScope(), SchemaUrl: scope.GetSchemaUrl()}
					to.ScopeSpans = append(to.ScopeSpans, in)
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

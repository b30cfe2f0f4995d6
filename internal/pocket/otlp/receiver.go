package otlp

import (
	"context"
	"errors"
	"fmt"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/pocket/intake"
)

// Appender is what a receiver needs of a store. AppendSpans returns nil when
// the spans are stored for good.
type Appender interface {
	AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error
}

// Options are the bounds of a receiver. The zero value means the defaults.
type Options struct {
	MaxBytes int           // of one export, before and after decompression; default 16 MiB
	Timeout  time.Duration // for the store to take an export; default 5 s
	Receive  time.Duration // for an export to arrive over gRPC; default 15 s, as of the lab's HTTP servers
	// Budget is for what all exports under way take in memory, of which one may
	// take half; default one of its own, of [intake.DefaultBytes].
	Budget *intake.Budget
}

// Receiver takes exports.
type Receiver struct {
	store Appender
	opts  Options
	scale *scale
}

// New makes a receiver that appends to store.
func New(store Appender, opts Options) *Receiver {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 16 << 20
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 5 * time.Second
	}
	if opts.Receive <= 0 {
		opts.Receive = 15 * time.Second
	}
	if opts.Budget == nil {
		opts.Budget = intake.NewBudget(0)
	}
	return &Receiver{store: store, opts: opts, scale: newScale()}
}

// retryAfter is what clients are told to wait when the store cannot take spans.
const retryAfter = time.Second

// admit takes what an export takes in memory once it is decoded.
func (r *Receiver) admit(share *intake.Share, weight int64) error {
	if most := r.opts.Budget.Bytes() / 2; weight > most {
		return &tooHeavyError{weight: weight, most: most}
	}
	return share.Hold(weight)
}

// tooHeavyError is an export that would take too much memory, however often it is
// sent.
type tooHeavyError struct{ weight, most int64 }

func (e *tooHeavyError) Error() string {
	return fmt.Sprintf("decoding the export would take %d bytes of memory, and one may take %d: send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)", e.weight, e.most)
}

// export stores what is valid of the request and answers with what is not. Its
// error means that nothing of the request is known to be stored.
func (r *Receiver) export(ctx context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	rejected, reason := prune(req)
	ctx, cancel := context.WithTimeoutCause(ctx, r.opts.Timeout, errors.New("the store took too long"))
	defer cancel()
	if err := r.store.AppendSpans(ctx, req.GetResourceSpans()); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		return nil, fmt.Errorf("storing spans, send them again later: %w", err)
	}
	resp := &coltracepb.ExportTraceServiceResponse{}
	if rejected > 0 {
		resp.PartialSuccess = &coltracepb.ExportTracePartialSuccess{
			RejectedSpans: int64(rejected),
			ErrorMessage:  fmt.Sprintf("%d spans were rejected, the first because %v", rejected, reason),
		}
	}
	return resp, nil
}

// prune takes out of the request the spans that are not valid, and gives their
// number and the reason for the first.
func prune(req *coltracepb.ExportTraceServiceRequest) (rejected int, reason error) {
	for _, resource := range req.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			valid := scope.Spans[:0]
			for _, span := range scope.Spans {
				err := check(span)
				if err == nil {
					valid = append(valid, span)
					continue
				}
				if reason == nil {
					reason = fmt.Errorf("span %.100q %w", span.GetName(), err)
				}
				rejected++
			}
			clear(scope.Spans[len(valid):])
			scope.Spans = valid
		}
	}
	return rejected, reason
}

// check holds the IDs against OTLP (trace.proto, message Span): 16 and 8 bytes,
// not all zero; a root span has no parent ID, which some SDKs write as zeros.
func check(span *tracepb.Span) error {
	switch {
	case len(span.GetTraceId()) != 16:
		return fmt.Errorf("has a trace ID of %d bytes: it must have 16 (32 hex digits in JSON)", len(span.GetTraceId()))
	case zero(span.GetTraceId()):
		return errors.New("has a trace ID that is all zeros, which means none")
	case len(span.GetSpanId()) != 8:
		return fmt.Errorf("has a span ID of %d bytes: it must have 8 (16 hex digits in JSON)", len(span.GetSpanId()))
	case zero(span.GetSpanId()):
		return errors.New("has a span ID that is all zeros, which means none")
	case len(span.GetParentSpanId()) != 0 && len(span.GetParentSpanId()) != 8:
		return fmt.Errorf("has a parent span ID of %d bytes: it must have 8 (16 hex digits in JSON), or none", len(span.GetParentSpanId()))
	}
	if zero(span.GetParentSpanId()) {
		span.ParentSpanId = nil
	}
	return nil
}

func zero(id []byte) bool {
	for _, b := range id {
		if b != 0 {
			return false
		}
	}
	return true
}

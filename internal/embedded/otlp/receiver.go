package otlp

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/intake"
)

// Appender is the part of a store that a receiver uses. AppendSpans returns nil when
// the spans are durably stored.
type Appender interface {
	AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error
}

// Options are the bounds of a receiver. The zero value means the defaults.
type Options struct {
	MaxBytes int           // of one export, before and after decompression; default 16 MiB
	Timeout  time.Duration // for the store to take an export; default 5 s
	Receive  time.Duration // for an export to arrive over gRPC; default 15 s, as of the lab's HTTP servers
	// Budget bounds the memory of all exports under way; one export may reserve half of
	// it. Default: a budget of its own, of [intake.DefaultBytes].
	Budget *intake.Budget
	// Age and Early bound the times of spans that a search finds by their own time: a
	// span may begin at most Age ago, and at most Early in the future. The response
	// reports spans outside these bounds. 0 means no bound.
	Age, Early time.Duration
	// OwnKey is the value of [contract.HeaderOwnKey] with which the lab's own services
	// send. They may use the part of the budget that is kept for them. If OwnKey is
	// empty, no sender may use that part.
	OwnKey string
}

// Receiver receives exports.
type Receiver struct {
	store Appender
	opts  Options
	scale *scale
}

// New returns a receiver that appends to store.
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

// retryAfter is the time after which clients may send a refused export again.
const retryAfter = time.Second

// reserve returns an empty reservation for a request. The lab's own services identify
// themselves by a key that is made anew for each run and that only they are given: the
// address proves nothing, since all senders use loopback, nor do resource attributes.
func (r *Receiver) reserve(header http.Header) *intake.Reservation {
	key := header.Get(contract.HeaderOwnKey)
	own := r.opts.OwnKey != "" && subtle.ConstantTimeCompare([]byte(key), []byte(r.opts.OwnKey)) == 1
	return r.opts.Budget.Reserve(own)
}

// format is an encoding of exports.
type format struct {
	name   string
	weigh  func(body []byte) int64 // bytes in memory that decoding takes
	decode func(body []byte, export *coltracepb.ExportTraceServiceRequest) error
}

// take decodes an export and stores it. Its error is a *refusal, or means that nothing of
// the export is known to be stored.
func (r *Receiver) take(ctx context.Context, reservation *intake.Reservation, body []byte, f format) (*coltracepb.ExportTraceServiceResponse, error) {
	weight := f.weigh(body)
	if most := r.opts.Budget.MaxRequest(); weight > most {
		return nil, tooLarge(fmt.Errorf("decoding the export would take %d bytes of memory, and one may take %d: send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)", weight, most))
	}
	if err := reservation.Resize(weight); err != nil {
		return nil, err
	}
	var export coltracepb.ExportTraceServiceRequest
	if err := f.decode(body, &export); err != nil {
		return nil, malformed(fmt.Errorf("decoding the export as %s: %w", f.name, err))
	}
	return r.export(ctx, &export, len(body) > MaxSpanBytes)
}

// export stores the valid spans of the request and returns a response with the number of
// the others. Its error means that nothing of the request is known to be stored. For
// large, see prune.
func (r *Receiver) export(ctx context.Context, req *coltracepb.ExportTraceServiceRequest, large bool) (*coltracepb.ExportTraceServiceResponse, error) {
	rejected, reason := prune(req, large)
	misplaced := r.misplaced(req, time.Now())
	ctx, cancel := context.WithTimeoutCause(ctx, r.opts.Timeout, errors.New("the store took too long"))
	defer cancel()
	if err := r.store.AppendSpans(ctx, req.GetResourceSpans()); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		return nil, fmt.Errorf("storing spans, send them again later: %w", err)
	}
	message := misplaced
	if rejected > 0 {
		message = fmt.Sprintf("%d spans were rejected, the first because %v", rejected, reason)
		if misplaced != "" {
			message += "; besides, " + misplaced
		}
	}
	resp := &coltracepb.ExportTraceServiceResponse{}
	if message != "" { // without rejected spans it is a warning (OTLP, partial success)
		resp.PartialSuccess = &coltracepb.ExportTracePartialSuccess{RejectedSpans: int64(rejected), ErrorMessage: message}
	}
	return resp, nil
}

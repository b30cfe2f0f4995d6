package otlp

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/logline"
	"dicelab/internal/embedded/senders"
	"dicelab/internal/embedded/store"
)

// Spans is the part of a store that a receiver uses for traces. AppendSpans returns nil
// when the spans are durably stored.
type Spans interface {
	AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error
}

// Lines is the part of a store that a receiver uses for logs. AppendLines returns nil
// when the lines are durably stored. With a [*streams.RefusedError] those are stored that
// were not refused, with another error none.
type Lines interface {
	AppendLines(ctx context.Context, lines []store.Line) error
}

// Points is the part of a store that a receiver uses for metrics. AppendMetrics returns
// when the points are durably stored, with those that are not stored and must not be sent
// again. Its error means that none is stored. It may change md. A note is a warning for
// the sender; "" if there is none.
type Points interface {
	AppendMetrics(ctx context.Context, md pmetric.Metrics) (rejected []intake.Rejection, note string, err error)
}

// Forwarder sends copies of exports elsewhere. Forward must not block, and must not
// change the body.
type Forwarder interface {
	Forward(path, contentType string, body []byte)
}

// Options are the settings of a receiver. The zero value means the defaults.
type Options struct {
	// Lines and Points take log records and metrics; without one, such exports are
	// refused.
	Lines  Lines
	Points Points
	// Discover sets service_name and detected_level of log lines; see [logline.Discover].
	Discover bool
	// LineLimits bound the times of log records.
	LineLimits logline.Limits
	// Senders lists who sends; nil for no list.
	Senders *senders.Table
	// Forward gets a copy of each export that was stored; nil for none.
	Forward Forwarder

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
	spans   Spans
	opts    Options
	signals []*signal
}

// New returns a receiver that appends spans to store.
func New(store Spans, opts Options) *Receiver {
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
	r := &Receiver{spans: store, opts: opts}
	r.signals = []*signal{r.traces(), r.logs(), r.metrics()}
	return r
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

// export is a request that has arrived.
type export struct {
	body      []byte // decompressed
	json      bool   // or protobuf
	forwarded bool   // by another lab, which has a copy
}

// take decodes an export, stores it and returns the response. Its error is a *refusal, or
// means that nothing of the export is known to be stored.
func (r *Receiver) take(ctx context.Context, s *signal, reservation *intake.Reservation, e export) (response, error) {
	weigh, kind := s.shape.protobuf, typeProtobuf
	if e.json {
		weigh, kind = s.shape.json, typeJSON
	}
	weight, deep := weigh(e.body, s.depth)
	if most := r.opts.Budget.MaxRequest(); weight > most {
		return nil, tooLarge(fmt.Errorf("decoding the export would take %d bytes of memory, and one may take %d: send smaller batches (%s)", weight, most, s.batch))
	}
	if deep {
		return nil, malformed(fmt.Errorf("decoding the export as %s: it has lists or maps nested deeper than %d levels, which is the limit", kind, MaxDepth))
	}
	if err := reservation.Resize(weight); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.opts.Timeout, errors.New("the store took too long"))
	defer cancel()
	o, err := s.store(ctx, e)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		return nil, err
	}
	r.count(s, e, o)
	if r.opts.Forward != nil && !e.forwarded {
		r.opts.Forward.Forward(s.path, kind, e.body)
	}
	return s.respond(int64(intake.Rejected(o.rejected)), o.message(s)), nil
}

// count adds an export to the list of senders. Each service gets its share of the bytes.
func (r *Receiver) count(s *signal, e export, o outcome) {
	total := intake.Rejected(o.rejected)
	for _, p := range o.received {
		total += p.items
	}
	for _, p := range o.received {
		r.opts.Senders.Received(p.service, s.name, p.items, int64(len(e.body))*int64(p.items)/int64(max(total, 1)))
	}
	for _, rejection := range o.rejected {
		r.opts.Senders.Refused(rejection.Service, s.name, rejection.Items, rejection.Reason)
	}
}

// refused adds an export that could not be read or stored to the list of senders.
func (r *Receiver) refused(s *signal, err error) {
	r.opts.Senders.Refused("", s.name, 1, err)
}

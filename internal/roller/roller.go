// Package roller is the dice roller service: an HTTP API that rolls a fair or a
// risky die after a random delay, and the client for it.
//
// The risky die pays one more than the fair one and fails one time in ten, so
// that a lab has something to find: a failed roll is a 500 whose span, log line
// and counter agree.
package roller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/telemetry"
	"dicelab/internal/wait"
	"dicelab/internal/web"
)

// Options configures the service.
type Options struct {
	Telemetry *telemetry.Telemetry
	Dice      *Dice
	Version   string
	Faults    *fault.Set // nil: nothing is broken
	Switches  bool       // POST /faults switches faults while it runs
	Control   string     // the token with which quests hide faults; "" if they cannot
	Hosts     []string   // names besides localhost that it answers to on loopback
}

// ErrRiskyFailed is the cause of a risky die's failure.
var ErrRiskyFailed = errors.New("risky die failed")

// service does the rolling; the routes are in api.go.
type service struct {
	*telemetry.Telemetry
	dice    *Dice
	version string
	faults  *fault.Set
	metrics metrics
}

// rollInput holds the parameter and the headers of a roll.
type rollInput struct{ die, traceparent, baggage string }

// roll takes one roll from request to result. Its error is a *web.Problem.
func (s *service) roll(ctx context.Context, in rollInput) (int, error) {
	die := in.die
	server := trace.SpanFromContext(ctx)
	if in.traceparent != "" {
		server.SetAttributes(attribute.StringSlice(contract.AttrTraceparent, []string{bounded(in.traceparent)}))
	}
	if in.baggage != "" {
		server.SetAttributes(attribute.StringSlice(contract.AttrBaggage, []string{bounded(in.baggage)}))
	}
	if !slices.Contains(contract.Dice(), die) {
		return 0, s.invalid(ctx, die)
	}
	s.Logger.InfoContext(ctx, contract.MsgRollReceived, contract.FieldDieType, die)

	value, err := s.throw(ctx, die)
	if err != nil {
		server.SetAttributes(attribute.String(contract.AttrDieType, die))
		if gone := web.AsProblem(err); gone.Status == contract.StatusClientClosedRequest {
			return 0, err // it is not known how this roll would have ended
		}
		server.SetAttributes(attribute.Bool(contract.AttrDieError, true))
		s.count(ctx, die, contract.ResultError)
		return 0, err
	}
	server.SetAttributes(attribute.String(contract.AttrDieType, die),
		attribute.Bool(contract.AttrDieError, false), attribute.Int(contract.AttrDieResult, value))
	s.count(ctx, die, contract.ResultSuccess)
	s.Observe(ctx, s.metrics.values.WithLabelValues(die), float64(value))
	return value, nil
}

// maxHeader limits what a span keeps of a caller's header, in bytes. Baggage may
// have 8192 (W3C Baggage, section 3.3.2).
const maxHeader = 1 << 10

func bounded(header string) string {
	return strings.ToValidUTF8(header[:min(len(header), maxHeader)], "")
}

// throw makes the roll itself: the delay, the draw, and the span around them.
func (s *service) throw(ctx context.Context, die string) (int, error) {
	start := time.Now()
	ctx, span := s.Tracer.Start(ctx, contract.SpanRoll)
	defer span.End()
	span.SetAttributes(attribute.String(contract.AttrDieType, die))

	faults := s.faults.State()
	drawn := s.dice.draw(die)
	if err := wait.Sleep(ctx, drawn.delay+faults.Slow); err != nil {
		span.SetAttributes(attribute.String(contract.AttrErrorType, contract.ErrorTypeCanceled))
		s.Logger.WarnContext(ctx, contract.MsgRollAbandoned, fields(die, contract.StatusClientClosedRequest, start, err)...)
		return 0, &web.Problem{Status: contract.StatusClientClosedRequest, Detail: "The caller went away before the die had settled.", Cause: err}
	}
	switch {
	case drawn.luck < faults.FailShare(die):
		f := faults.Failure(die, "")
		return 0, s.failed(ctx, span, f.Message, die, start, f.Cause, f.Detail)
	case drawn.fails:
		return 0, s.failed(ctx, span, contract.MsgRiskyFailed, die, start,
			ErrRiskyFailed, "The risky die failed, as it does now and then. Roll again.")
	}
	s.Logger.InfoContext(ctx, contract.MsgRollCompleted,
		append(fields(die, http.StatusOK, start, nil), contract.FieldRollValue, drawn.value)...)
	return drawn.value, nil
}

// failed records a failure in span and log and makes the answer to it.
func (s *service) failed(ctx context.Context, span trace.Span, message, die string, start time.Time, cause error, detail string) error {
	span.RecordError(cause)
	span.SetStatus(codes.Error, cause.Error())
	span.SetAttributes(attribute.String(contract.AttrErrorType, strconv.Itoa(http.StatusInternalServerError)))
	s.Logger.ErrorContext(ctx, message, fields(die, http.StatusInternalServerError, start, cause)...)
	return &web.Problem{Status: http.StatusInternalServerError, Detail: detail, Cause: cause}
}

// maxEcho limits how much of a wrong value is repeated, in bytes.
const maxEcho = 64

func (s *service) invalid(ctx context.Context, die string) error {
	if len(die) > maxEcho {
		die = strings.ToValidUTF8(die[:maxEcho], "") + "…"
	}
	detail := fmt.Sprintf("Query parameter \"die\" is %q; it must be one of %s.", die, strings.Join(contract.Dice(), ", "))
	if die == "" {
		detail = fmt.Sprintf("Query parameter \"die\" is missing; give one of %s, as in /roll?die=%s.", strings.Join(contract.Dice(), ", "), contract.DieFair)
	}
	s.Logger.WarnContext(ctx, contract.MsgInvalidDie, contract.FieldDieType, die,
		contract.FieldStatus, http.StatusUnprocessableEntity, contract.FieldError, detail)
	return &web.Problem{Status: http.StatusUnprocessableEntity, Detail: detail, Parameter: "die", Value: die, Allowed: contract.Dice()}
}

// fields returns the log fields of a roll that has ended.
func fields(die string, status int, start time.Time, err error) []any {
	f := []any{contract.FieldDieType, die, contract.FieldStatus, status, contract.FieldDurationSeconds, time.Since(start).Seconds()}
	if err != nil {
		f = append(f, contract.FieldError, err.Error())
	}
	return f
}

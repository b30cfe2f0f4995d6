package frontend

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
	"dicelab/internal/roller"
	"dicelab/internal/web"
)

// outcome is the result of a roll.
type outcome struct {
	die     string
	value   int          // the roll, where problem is nil
	problem *web.Problem // what went wrong, or nil
	sent    string       // the traceparent that went to the roller, or ""
	span    trace.SpanContext
}

// roll takes one click from form to outcome.
func (s *service) roll(ctx context.Context, die string) outcome {
	out := outcome{die: die, span: trace.SpanContextFromContext(ctx)}
	if !slices.Contains(contract.Dice(), die) {
		out.die, out.problem = "", s.invalid(ctx, die)
		return out
	}
	if !s.Faults.State().CounterStuck {
		s.Telemetry.Count(ctx, s.metrics.clicks.WithLabelValues(die))
	}
	ctx, span := s.Telemetry.Tracer.Start(ctx, contract.SpanButtonClick, trace.WithAttributes(
		attribute.String(contract.AttrDieType, die), attribute.String(contract.AttrBackendURL, s.Roller.URL())))
	defer span.End()
	s.Telemetry.Logger.InfoContext(ctx, contract.MsgButtonClicked, contract.FieldDieType, die)
	if out.problem = s.strike(ctx, span, die); out.problem != nil {
		return out
	}

	result, took, err := s.call(ctx, die)
	out.value, out.sent, out.problem = result.Value, result.Traceparent, problemOf(err)
	if result.Status != 0 {
		span.SetAttributes(attribute.Int(contract.AttrBackendStatusCode, result.Status))
	}
	if out.problem != nil {
		s.failed(ctx, span, out, result, took)
		return out
	}
	span.SetAttributes(attribute.Int(contract.AttrRollValue, out.value))
	s.Telemetry.Logger.InfoContext(ctx, contract.MsgBackendResponse, append(s.fields(out, result, took), contract.FieldRollValue, out.value)...)
	return out
}

// call calls the roller, and again as often as the fault retry has it. It counts each
// call, and returns the last and the time that all of them took.
func (s *service) call(ctx context.Context, die string) (result roller.Result, took time.Duration, err error) {
	began := time.Now()
	faults := s.Faults.State()
	for range 1 + faults.Retry {
		start := time.Now()
		result, err = s.Roller.RollWithin(ctx, die, faults.Timeout)
		s.count(ctx, die, result, err, time.Since(start))
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return result, time.Since(began), err
}

// problemOf maps the error of the roller's client to the front end's own status.
func problemOf(err error) *web.Problem {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, roller.ErrTimeout):
		return &web.Problem{Status: http.StatusGatewayTimeout, Cause: err,
			Detail: "The dice roller did not answer in time. Its trace shows where it stood; roll again, or see whether it is overloaded."}
	case errors.Is(err, roller.ErrUnreachable):
		return &web.Problem{Status: http.StatusServiceUnavailable, Cause: err,
			Detail: "The dice roller could not be reached. See whether it runs, then roll again."}
	case errors.Is(err, roller.ErrCanceled):
		return &web.Problem{Status: contract.StatusClientClosedRequest, Cause: err, Detail: "The browser went away before the die had settled."}
	case errors.Is(err, roller.ErrMalformed):
		return &web.Problem{Status: http.StatusBadGateway, Cause: err,
			Detail: "The dice roller's answer makes no sense. See whether the backend URL really is a dice roller."}
	default:
		return &web.Problem{Status: http.StatusBadGateway, Cause: err, Detail: sentence(err)}
	}
}

// sentence returns an error's text with a capital and a full stop.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// count counts the request to the roller. A request whose caller went away is not counted, because
// its status is unknown.
func (s *service) count(ctx context.Context, die string, result roller.Result, err error, took time.Duration) {
	status := result.Status
	switch {
	case errors.Is(err, roller.ErrCanceled):
		return
	case errors.Is(err, roller.ErrTimeout):
		status = http.StatusGatewayTimeout
	case errors.Is(err, roller.ErrUnreachable):
		status = http.StatusServiceUnavailable
	case status == 0: // an answer that is no HTTP, or breaks off
		status = http.StatusBadGateway
	}
	s.Telemetry.Count(ctx, s.metrics.requests.WithLabelValues(die, strconv.Itoa(status)))
	s.Telemetry.Observe(ctx, s.metrics.duration.WithLabelValues(die), took.Seconds())
}

// failed records in span and log a roll that brought no value.
func (s *service) failed(ctx context.Context, span trace.Span, out outcome, result roller.Result, took time.Duration) {
	cause := out.problem.Cause
	fields := append(s.fields(out, result, took), contract.FieldError, cause.Error())
	span.SetAttributes(attribute.String(contract.AttrErrorType, errorType(result, cause)))
	if errors.Is(cause, roller.ErrCanceled) { // the caller went away: no error, neither in the span nor in the log
		s.Telemetry.Logger.WarnContext(ctx, contract.MsgBackendFailed, fields...)
		return
	}
	span.RecordError(cause)
	span.SetStatus(codes.Error, cause.Error())
	s.Telemetry.Logger.ErrorContext(ctx, contract.MsgBackendFailed, fields...)
}

// errorType returns the roller's status, or why there is none (semantic conventions,
// error.type: a low-cardinality name of the class of error).
func errorType(result roller.Result, cause error) string {
	switch {
	case errors.Is(cause, roller.ErrTimeout):
		return contract.ErrorTypeTimeout
	case errors.Is(cause, roller.ErrUnreachable):
		return contract.ErrorTypeUnreachable
	case errors.Is(cause, roller.ErrCanceled):
		return contract.ErrorTypeCanceled
	case errors.Is(cause, roller.ErrMalformed):
		return contract.ErrorTypeMalformed
	default:
		return strconv.Itoa(result.Status)
	}
}

// fields returns the log fields of an answer, or of the lack of one.
func (s *service) fields(out outcome, result roller.Result, took time.Duration) []any {
	status := http.StatusOK
	if out.problem != nil {
		status = out.problem.Status
	}
	fields := []any{contract.FieldDieType, out.die, contract.FieldStatus, status,
		contract.FieldBackendURL, s.Roller.URL(), contract.FieldDurationSeconds, took.Seconds()}
	if result.Status != 0 {
		fields = append(fields, contract.FieldBackendStatus, result.Status)
	}
	return fields
}

// maxEcho limits how much of a wrong value is repeated.
const maxEcho = 64

func (s *service) invalid(ctx context.Context, die string) *web.Problem {
	if len(die) > maxEcho {
		die = strings.ToValidUTF8(die[:maxEcho], "") + "…"
	}
	detail := fmt.Sprintf("Form field \"die\" is %q; it must be one of %s.", die, strings.Join(contract.Dice(), ", "))
	if die == "" {
		detail = fmt.Sprintf("Form field \"die\" is missing; send one of %s as application/x-www-form-urlencoded.", strings.Join(contract.Dice(), ", "))
	}
	s.Telemetry.Logger.WarnContext(ctx, contract.MsgInvalidDie, contract.FieldDieType, die,
		contract.FieldStatus, http.StatusUnprocessableEntity, contract.FieldError, detail)
	return &web.Problem{Status: http.StatusUnprocessableEntity, Detail: detail, Parameter: "die", Value: die, Allowed: contract.Dice()}
}

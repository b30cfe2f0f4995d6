package traffic

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/roll"
	"dicelab/internal/traceparent"
)

// Roll is one roll in the report.
type Roll struct {
	User    string    `json:"user_id,omitempty"` // "" in a run at a rate
	Number  int       `json:"roll_number"`       // of the user's rolls, or of the run's; from 1
	Die     string    `json:"die_type"`
	Value   int       `json:"roll_value,omitempty"` // 0: it failed
	Outcome string    `json:"outcome"`              // status of the answer, or the error.type where there was none
	Error   string    `json:"error,omitempty"`
	Start   time.Time `json:"start"`
	Latency Seconds   `json:"latency_seconds"`      // until the answer was read
	TraceID string    `json:"trace_id,omitempty"`   // 32 hex digits; "" if there is no trace
	Link    string    `json:"trace_link,omitempty"` // "" where the trace is not recorded
}

// Failed reports whether the roll brought no value.
func (r Roll) Failed() bool { return r.Value == 0 }

// order is a roll that is to be made.
type order struct {
	user   string
	number int
	die    string
	via    http.RoundTripper
}

// pick returns the die that u, a uniformly distributed number, decides on.
func (g *Generator) pick(u uint64) string {
	if g.Die != Mix {
		return g.Die
	}
	return contract.Dice()[u>>63]
}

// dieOf returns the die of the run's nth roll, whichever goroutine makes it.
func (g *Generator) dieOf(n uint64) string { return g.pick(rand.NewPCG(g.Seed, n).Uint64()) }

// roll makes one roll, with its trace. It cannot be stopped, only time out: a
// roll that was begun is finished.
func (g *Generator) roll(o order) (r Roll) {
	g.underWay.Add(1)
	defer g.underWay.Add(-1)
	r = Roll{User: o.user, Number: o.number, Die: o.die, Start: time.Now()}
	ctx, cancel := context.WithTimeout(context.Background(), g.Timeout)
	defer cancel()
	ctx, span := g.tracer.Start(ctx, contract.SpanSimulated, trace.WithAttributes(g.attributes(o)...))
	defer span.End()

	var a roll.Answer
	req, err := g.Target.request(ctx, o.die, g.agent)
	if err == nil {
		a, err = roll.Send(o.via.RoundTrip, req, roll.Causes{Timeout: errTimeout, Unreachable: errUnreachable, Malformed: errMalformed})
	}
	r.Latency = Seconds(time.Since(r.Start))
	r.Value = a.Value
	r.Outcome = outcome(a, err)
	r.TraceID, r.Link = g.traceOf(span.SpanContext(), a)
	if a.Status != 0 {
		span.SetAttributes(attribute.Int(contract.AttrBackendStatusCode, a.Status))
	}
	if err != nil {
		r.Error = err.Error()
		span.SetAttributes(attribute.String(contract.AttrErrorType, r.Outcome))
		span.SetStatus(codes.Error, r.Error)
	} else {
		span.SetAttributes(attribute.Int(contract.AttrRollValue, a.Value))
	}
	if g.LogRolls && o.user != "" { // at a rate there would be too many lines to read
		g.log(ctx, r, a)
	}
	return r
}

func (g *Generator) attributes(o order) []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		attribute.String(contract.AttrSyntheticType, contract.SyntheticTest),
		attribute.String(contract.AttrBackendURL, g.Target.URL()),
		attribute.String(contract.AttrDieType, o.die),
		attribute.Int(contract.AttrRollNumber, o.number),
	}
	if o.user != "" {
		attributes = append(attributes, attribute.String(contract.AttrUserID, o.user))
	}
	return attributes
}

// outcome returns the status of an answer, or why there is none that makes sense.
func outcome(a roll.Answer, err error) string {
	switch {
	case errors.Is(err, errTimeout):
		return contract.ErrorTypeTimeout
	case errors.Is(err, errMalformed):
		return contract.ErrorTypeMalformed
	case a.Status == 0:
		return contract.ErrorTypeUnreachable
	default:
		return strconv.Itoa(a.Status)
	}
}

// traceOf returns the ID of a roll's trace and the link to it. Where no span was made
// here, the target has begun the trace, and says which in traceresponse.
func (g *Generator) traceOf(sc trace.SpanContext, a roll.Answer) (id, link string) {
	sampled := sc.IsSampled()
	if id = sc.TraceID().String(); !sc.IsValid() {
		header, err := traceparent.Parse(a.Header.Get(contract.HeaderTraceresponse)) // traceresponse has its form
		if err != nil {
			return "", ""
		}
		id, sampled = header.TraceID, header.Sampled
	}
	if !sampled || g.TraceURL == "" {
		return id, ""
	}
	return id, strings.ReplaceAll(g.TraceURL, placeholder, url.PathEscape(id))
}

func (g *Generator) log(ctx context.Context, r Roll, a roll.Answer) {
	fields := []any{contract.FieldUserID, r.User, contract.FieldRollNumber, r.Number, contract.FieldDieType, r.Die,
		contract.FieldBackendURL, g.Target.URL(), contract.FieldDurationSeconds, time.Duration(r.Latency).Seconds()}
	if a.Status != 0 {
		fields = append(fields, contract.FieldBackendStatus, a.Status)
	}
	if r.Failed() {
		g.Telemetry.Logger.ErrorContext(ctx, contract.MsgSimulatedFailed, append(fields, contract.FieldError, r.Error)...)
		return
	}
	g.Telemetry.Logger.InfoContext(ctx, contract.MsgSimulatedRoll, append(fields, contract.FieldRollValue, r.Value)...)
}

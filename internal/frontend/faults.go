package frontend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/wait"
	"dicelab/internal/web"
)

// strike applies the faults slow and fail, before the request to the roller. It
// returns nil if the roll goes on.
func (s *service) strike(ctx context.Context, span trace.Span, die string) *web.Problem {
	faults := s.Faults.State()
	if wait.Sleep(ctx, faults.Slow) != nil {
		return nil // the call to the roller, next, reports it
	}
	if rand.Float64() >= faults.FailShare(die) {
		return nil
	}
	f := faults.Failure(die, " in the front end")
	span.RecordError(f.Cause)
	span.SetStatus(codes.Error, f.Cause.Error())
	span.SetAttributes(attribute.String(contract.AttrErrorType, "500"))
	s.Telemetry.Logger.ErrorContext(ctx, f.Message, contract.FieldDieType, die,
		contract.FieldStatus, http.StatusInternalServerError, contract.FieldError, f.Cause.Error())
	return &web.Problem{Status: http.StatusInternalServerError, Cause: f.Cause, Detail: f.Detail}
}

// switchFault applies a switch of the page, and shows the page again.
func (s *service) switchFault(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		web.Fail(w, web.BadForm(err))
		return
	}
	var err error
	switch name := r.PostForm.Get("service"); name {
	case contract.ServiceFrontend:
		err = s.Faults.Apply(r.PostForm)
	case contract.ServiceRoller:
		err = s.Switches.Apply(r.Context(), r.PostForm)
	default:
		err = fmt.Errorf("service %q has no switches: choose %s or %s", name, contract.ServiceFrontend, contract.ServiceRoller)
	}
	if err != nil {
		v := s.view(r, contract.DieFair)
		v.Refused = sentence(err)
		s.render(r.Context(), w, http.StatusUnprocessableEntity, v)
		return
	}
	http.Redirect(w, r, "/#faults", http.StatusSeeOther)
}

// faultsView is the switches of one service on the page.
type faultsView struct {
	Service string
	Faults  []fault.Entry
	Error   string // why they cannot be shown
}

func (s *service) faultsViews(ctx context.Context) []faultsView {
	if s.Switches == nil {
		return nil
	}
	there := faultsView{Service: contract.ServiceRoller}
	var err error
	if there.Faults, err = s.Switches.Entries(ctx); err != nil {
		there.Error = sentence(err)
	}
	return []faultsView{{Service: contract.ServiceFrontend, Faults: s.Faults.Entries()}, there}
}

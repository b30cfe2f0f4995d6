package verify

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/verify/frontpage"
)

// onPage makes a check of the front end's page without a roll, as it comes over the
// wire; other tests look at what a browser makes of it.
func onPage(look func(frontpage.Page) (string, error)) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		a, err := p.get(ctx, p.at(p.Frontend, "/"))
		if err != nil {
			return "", err
		}
		if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
			return "", fmt.Errorf("the answer is %q, not text/html", kind)
		}
		pg, err := frontpage.Parse(a.body)
		if err != nil {
			return "", err
		}
		return look(pg)
	}
}

func uiLoads(pg frontpage.Page) (string, error) {
	switch {
	case !pg.Form:
		return "", fmt.Errorf("the page %q has no form that rolls a die", pg.Title)
	case len(pg.External) > 0:
		return "", fmt.Errorf("the page loads from another host: %s", strings.Join(pg.External, ", "))
	}
	return fmt.Sprintf("the page %q, with nothing from another host", pg.Title), nil
}

func dropdown(pg frontpage.Page) (string, error) {
	if !slices.Equal(pg.Dice, contract.Dice()) {
		return "", fmt.Errorf("the drop-down offers %q, not %q", pg.Dice, contract.Dice())
	}
	return strings.Join(pg.Dice, ", "), nil
}

func sidebar(pg frontpage.Page) (string, error) {
	backend := regexp.MustCompile(`https?://\S+`).FindString(pg.Sidebar)
	tracing := regexp.MustCompile(`Tracing (on|off)`).FindString(pg.Sidebar)
	for _, part := range []struct {
		what string
		ok   bool
	}{
		{"the URL of the dice roller", backend != ""}, {"the path /metrics", strings.Contains(pg.Sidebar, "/metrics")},
		{"whether tracing is on", tracing != ""},
	} {
		if !part.ok {
			return "", fmt.Errorf("the sidebar does not show %s: %.160s", part.what, pg.Sidebar)
		}
	}
	return fmt.Sprintf("%s, /metrics, %s", backend, strings.ToLower(tracing)), nil
}

func rollButton(_ context.Context, p *Probe) (string, error) {
	faces := map[string]string{contract.DieFair: "123456", contract.DieRisky: "234567"}
	counts := map[string]int{}
	for _, one := range p.rolls.all {
		if !one.Rolled() {
			continue
		}
		p.Add(one.Asked...)
		if len(one.Page.Value) != 1 || !strings.Contains(faces[one.Die], one.Page.Value) {
			return "", fmt.Errorf("the page shows %q of the %s die (trace %s)", one.Page.Value, one.Die, one.Trace.TraceID)
		}
		counts[one.Die]++
	}
	for _, die := range contract.Dice() {
		if counts[die] == 0 {
			return "", fmt.Errorf("no roll of the %s die brought a value: %s", die, p.rolls.summary())
		}
	}
	return fmt.Sprintf("%d of the fair die, %d of the risky one", counts[contract.DieFair], counts[contract.DieRisky]), nil
}

func traceIDDisplayed(_ context.Context, p *Probe) (string, error) {
	var evidence []string
	for _, which := range []func(*rolls) (*frontpage.Roll, error){(*rolls).succeeded, (*rolls).failed} {
		one, err := which(p.rolls)
		if err != nil {
			return "", err
		}
		p.Add(one.Asked...)
		switch {
		case one.Page.TraceID == "":
			return "", fmt.Errorf("the page with the outcome %s shows no trace ID in a section that unfolds", one.Outcome())
		case one.Page.TraceID != one.Trace.TraceID:
			return "", fmt.Errorf("the page shows the trace ID %s, but the answer has %q", one.Page.TraceID, one.Trace.TraceID)
		}
		evidence = append(evidence, one.Page.TraceID)
	}
	return strings.Join(evidence, "; after a failed roll "), nil
}

func errorsDisplayed(_ context.Context, p *Probe) (string, error) {
	failure, err := p.rolls.failed()
	if err != nil {
		return "", fmt.Errorf("%w, which it does one time in ten: %s", err, p.rolls.summary())
	}
	p.Add(failure.Asked...)
	if failure.Page.Problem == "" {
		return "", fmt.Errorf("the page of the failed roll does not say what went wrong (trace %s)", failure.Trace.TraceID)
	}
	return failure.Page.Problem, nil
}

package verify

import (
	"context"
	"slices"
	"strings"

	"dicelab/internal/contract"
)

// ui are the rows of Frontend UI. They read the pages as they come over the wire;
// what a browser makes of them is tested elsewhere.
func ui() []check {
	return []check{
		{Row: Row{Name: "dropdown-offers-dice", Box: "Dropdown shows \"fair\" and \"risky\" options",
			Does: "GET / of the front end", Expects: "a drop-down with " + strings.Join(contract.Dice(), " and ")},
			run: dropdown},
		{Row: Row{Name: "roll-button-works", Box: "Roll button works and shows result",
			Does: "POST /roll of the front end, as the button sends it, with either die", Expects: "a page with the value: 1 to 6 of the fair die, 2 to 7 of the risky one"},
			needs: needRolls, run: rollButton},
		{Row: Row{Name: "trace-id-displayed", Box: "Trace ID displayed in expandable section",
			Does: "the page with a roll, and that with a failed roll", Expects: "the trace ID of the header " + contract.HeaderTraceresponse + " in a section that unfolds, on both"},
			needs: aFailure | aSuccess, run: traceIDDisplayed},
		{Row: Row{Name: rowError, Box: "Error handling works: Backend errors displayed in UI",
			Does: "the page with a roll that failed in the dice roller", Expects: "status 502, and what went wrong in words"},
			needs: needRolls, run: errorsDisplayed},
		{Row: Row{Name: "sidebar-shows-backend", Box: "Sidebar shows backend URL and info",
			Does: "GET / of the front end", Expects: "the URL of the dice roller, the path of the metrics, whether tracing is on"},
			run: sidebar},
	}
}

func dropdown(ctx context.Context, p *probe) finding {
	pg, f := p.frontPage(ctx)
	switch {
	case f != nil:
		return *f
	case !slices.Equal(pg.dice, contract.Dice()):
		return fail("the drop-down offers %q, not %q", pg.dice, contract.Dice())
	}
	return pass("%s", strings.Join(pg.dice, ", "))
}

func rollButton(_ context.Context, p *probe) finding {
	faces := map[string]string{contract.DieFair: "123456", contract.DieRisky: "234567"}
	counts := map[string]int{}
	for _, one := range p.rolls.all {
		if !one.rolled() {
			continue
		}
		if len(one.page.value) != 1 || !strings.Contains(faces[one.die], one.page.value) {
			p.keep(one)
			return fail("the page shows %q of the %s die (trace %s)", one.page.value, one.die, one.trace.TraceID)
		}
		counts[one.die]++
	}
	for _, die := range contract.Dice() {
		if counts[die] == 0 && p.rolls.success == nil {
			return p.because(rowRoll, "no roll brought a value", p.rolls.told())
		}
		if counts[die] == 0 {
			return fail("no roll of the %s die brought a value; %s", die, p.rolls.told())
		}
	}
	p.keep(p.rolls.fair)
	return pass("%d values of the fair die, %d of the risky one", counts[contract.DieFair], counts[contract.DieRisky])
}

func traceIDDisplayed(_ context.Context, p *probe) finding {
	for _, one := range []*roll{p.rolls.success, p.rolls.failure} {
		p.keep(one)
		switch {
		case one.page.traceID == "":
			return fail("the page with the outcome %s shows no trace ID in a section that unfolds", one.outcome())
		case one.page.traceID != one.trace.TraceID:
			return fail("the page shows the trace ID %s, the answer names %q", one.page.traceID, one.trace.TraceID)
		}
	}
	return pass("%s, and of a failed roll %s", p.rolls.success.page.traceID, p.rolls.failure.page.traceID)
}

func errorsDisplayed(_ context.Context, p *probe) finding {
	s := &p.rolls
	if s.failure == nil && s.success == nil {
		return p.because(rowRoll, "no roll brought a value", s.told())
	}
	if s.failure == nil {
		return fail("no roll of the risky die failed in the dice roller, which it does one time in ten: %s", s.told())
	}
	p.keep(s.failure)
	if s.failure.page.problem == "" {
		return fail("the page of the failed roll does not say what went wrong (trace %s)", s.failure.trace.TraceID)
	}
	return pass("%s", shorten(s.failure.page.problem))
}

func sidebar(ctx context.Context, p *probe) finding {
	pg, f := p.frontPage(ctx)
	if f != nil {
		return *f
	}
	for _, want := range []string{"http", "/metrics", "Tracing"} {
		if !strings.Contains(pg.sidebar, want) {
			return fail("%q is not in the sidebar: %s", want, shorten(pg.sidebar))
		}
	}
	i := strings.Index(pg.sidebar, "http")
	return pass("%s", shorten(pg.sidebar[i:]))
}

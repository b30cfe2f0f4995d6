package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// logs are the rows of Log Collection.
func logs() []check {
	return []check{
		{Row: Row{Name: "alloy-discovers", Box: "Alloy discovering containers: http://localhost:12345",
			Does: "GET /api/v0/web/components of Alloy", Expects: "its source of lines is healthy and has both services"},
			run: alloyDiscovers},
		{Row: Row{Name: "frontend-logs", Box: "Frontend logs in Loki: `{container_name=\"streamlit-frontend-stage2\"}`",
			Does: containerQuery(contract.ServiceFrontend, contract.MsgButtonClicked), Expects: "a line for each roll"},
			needs: needLoki | aSuccess, run: containerLogs(contract.ServiceFrontend, contract.MsgButtonClicked)},
		{Row: Row{Name: "backend-logs", Box: "Backend logs in Loki: `{container_name=\"dice-roller-stage2\"}`",
			Does: containerQuery(contract.ServiceRoller, contract.MsgRollReceived), Expects: "a line for each roll"},
			needs: needLoki | aSuccess, run: containerLogs(contract.ServiceRoller, contract.MsgRollReceived)},
		{Row: Row{Name: rowContext, Box: "Logs include trace context: Check for `trace_id` and `span_id` fields",
			Does: "the lines of both services during the rolls", Expects: "32 and 16 hex digits in each, under these names"},
			needs: needLoki | aSuccess, run: logsHaveContext},
		{Row: Row{Name: "log-labels", Does: "the labels of these lines",
			Expects: "the four of the contract; IDs are metadata, never labels"},
			needs: needLoki | aSuccess, run: logLabels},
	}
}

func containerQuery(service, message string) string {
	return fmt.Sprintf(`{%s=%q} |= %q`, contract.StreamContainer, contract.ContainerName(service), message)
}

// containerLogs looks for the line that each roll leaves, by the label that the
// checklist names.
func containerLogs(service, message string) func(context.Context, *probe) finding {
	return func(ctx context.Context, p *probe) finding {
		want := len(p.rolls.all)
		lines, err := p.lines(ctx, containerQuery(service, message), atLeast(want))
		switch {
		case err != nil:
			return fail("%v", err)
		case len(lines) == 0:
			return fail("Loki has no line %q with the label %s=%q", message, contract.StreamContainer, contract.ContainerName(service))
		case len(lines) < want:
			return fail("%d lines %q for %d rolls", len(lines), message, want)
		}
		return pass("%d lines %q for %d rolls", len(lines), message, want)
	}
}

func logsHaveContext(ctx context.Context, p *probe) finding {
	lines, err := p.linesOfRolls(ctx)
	if err != nil {
		return fail("%v", err)
	}
	checked := map[string]int{}
	for _, l := range lines {
		if !slices.Contains(messagesOfRolls(), l.Message()) {
			continue
		}
		checked[l.Service()]++
		for _, field := range []struct {
			name, other string
			parse       func(string) (string, error)
		}{{contract.FieldTraceID, "traceID", query.ParseTraceID}, {contract.FieldSpanID, "spanID", query.ParseSpanID}} {
			value := l.Field(field.name)
			if id, err := field.parse(value); err == nil && id == value {
				continue
			}
			switch {
			case l.Field(field.other) != "":
				return fail("a line of %s spells %s %s: %s", l.Service(), field.name, field.other, shorten(l.Text))
			case value == "":
				return fail("a line of %s has no %s: %s", l.Service(), field.name, shorten(l.Text))
			}
			return fail("%s of a line of %s is no ID: %s", field.name, l.Service(), shorten(l.Text))
		}
	}
	for _, service := range contract.Services() {
		if checked[service] == 0 {
			return fail("no line of a roll of %s is found by the label %s", service, contract.StreamService)
		}
	}
	return pass("%d lines of %s, %d of %s, all with both", checked[contract.ServiceFrontend], contract.ServiceFrontend,
		checked[contract.ServiceRoller], contract.ServiceRoller)
}

// messagesOfRolls are those of lines that are written within a roll.
func messagesOfRolls() []string {
	return []string{contract.MsgButtonClicked, contract.MsgBackendResponse, contract.MsgBackendFailed, contract.MsgRollReceived,
		contract.MsgRollCompleted, contract.MsgRiskyFailed, contract.MsgFaultInjected}
}

func logLabels(ctx context.Context, p *probe) finding {
	lines, err := p.linesOfRolls(ctx)
	if err != nil {
		return fail("%v", err)
	}
	seen := map[string]bool{}
	for _, l := range lines {
		service := l.Service()
		want := map[string]string{contract.StreamContainer: contract.ContainerName(service), contract.StreamService: service,
			contract.StreamJob: service, contract.StreamLevel: l.Field(contract.FieldLevel)}
		if !maps.Equal(l.Labels, want) {
			return fail("a line of %s has the labels %s, not %s", service, labelList(l.Labels), labelList(want))
		}
		seen[service] = true
	}
	if len(seen) < len(contract.Services()) {
		return fail("lines of both services are not found by the label %s", contract.StreamService)
	}
	return pass("%s", labelList(lines[len(lines)-1].Labels))
}

func labelList(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, fmt.Sprintf("%s=%q", name, labels[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func alloyDiscovers(ctx context.Context, p *probe) finding {
	switch p.mode {
	case Embedded:
		return notApplicable("the embedded stack reads the services' output itself, without Alloy")
	case Own:
		if _, err := p.alloy(ctx); err != nil {
			return notApplicable("no Alloy answers at %s; how lines are collected is your own affair", p.alloyURL())
		}
		return notApplicable("the Alloy at %s is not one of this lab's", p.alloyURL())
	}
	found, err := until(ctx, p, p.discovered)
	if err != nil {
		return fail("%v", err)
	}
	return pass("%s", found)
}

// discovered tells what Alloy's source of lines has found.
func (p *probe) discovered(ctx context.Context) (string, error) {
	components, err := p.components(ctx)
	if err != nil {
		return "", err
	}
	for _, c := range components {
		if c.Health.State != "healthy" {
			return "", fmt.Errorf("component %s of Alloy is %s: %s", c.LocalID, c.Health.State, c.Health.Message)
		}
	}
	for _, c := range components {
		if c.Name != alloyFiles {
			continue
		}
		a, err := p.get(ctx, p.at(p.alloyURL(), "/api/v0/web/components/"+c.LocalID))
		if err != nil {
			return "", err
		}
		for _, service := range contract.Services() {
			if !strings.Contains(string(a.body), service) {
				return "", fmt.Errorf("component %s of Alloy has not found %s", c.LocalID, service)
			}
		}
		return fmt.Sprintf("%d components, all healthy; %s has found both services", len(components), c.LocalID), nil
	}
	return "", fmt.Errorf("no component of the Alloy at %s is a %s", p.alloyURL(), alloyFiles)
}

// alloyTimeout bounds the look at an Alloy that may not be there.
const alloyTimeout = 2 * time.Second

package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

func containerQuery(service, message string) string {
	return fmt.Sprintf(`{%s=%q} |= %q`, contract.StreamContainer, contract.ContainerName(service), message)
}

// containerLogs looks for the line that each roll leaves, by the label that the
// manual checklist names.
func containerLogs(service, message string) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		rolls := p.rolls.reached(service)
		lines, err := p.logLines(ctx, containerQuery(service, message), atLeast(rolls))
		switch {
		case err != nil:
			return "", err
		case len(lines) == 0:
			return "", fmt.Errorf("Loki has no line %q with the label %s=%q",
				message, contract.StreamContainer, contract.ContainerName(service))
		case len(lines) < rolls:
			return "", fmt.Errorf("Loki has %s %q for %s", plural(len(lines), "line"), message, plural(rolls, "roll"))
		}
		return fmt.Sprintf("a line %q for each of %s", message, plural(rolls, "roll")), nil
	}
}

func logsHaveContext(ctx context.Context, p *Probe) (string, error) {
	var evidence []string
	for _, service := range contract.Services() {
		lines, err := p.linesOfRolls(ctx, service)
		if err != nil {
			return "", err
		}
		if len(lines) == 0 {
			return "", fmt.Errorf("Loki has no line of %s by the label %s", service, contract.StreamService)
		}
		wrong, first := 0, ""
		for _, l := range lines {
			if problem := withoutContext(l); problem != "" {
				if wrong++; first == "" {
					first = problem
				}
			}
		}
		if wrong > 0 {
			p.page = logPage(query.LogFilter{Service: service}.LogQL() + ` | ` + contract.FieldTraceID + `=""`)
			return "", fmt.Errorf("%d of %s of %s %s", wrong, plural(len(lines), "line"), service, first)
		}
		evidence = append(evidence, fmt.Sprintf("%d of %s", len(lines), service))
	}
	return "all lines have both: " + strings.Join(evidence, ", "), nil
}

// withoutContext says in which way a line has no trace context, or "".
func withoutContext(l query.LogLine) string {
	for _, field := range []struct {
		name, other string
		parse       func(string) (string, error)
	}{{contract.FieldTraceID, "traceID", query.ParseTraceID}, {contract.FieldSpanID, "spanID", query.ParseSpanID}} {
		value := l.Field(field.name)
		id, err := field.parse(value)
		switch {
		case err == nil && id == value:
			continue
		case l.Field(field.other) != "":
			return fmt.Sprintf("spell %s %s: %.160s", field.name, field.other, l.Text)
		case value == "":
			return fmt.Sprintf("have no %s: %.160s", field.name, l.Text)
		}
		return fmt.Sprintf("have a %s that is no ID: %.160s", field.name, l.Text)
	}
	return ""
}

func logLabels(ctx context.Context, p *Probe) (evidence string, err error) {
	for _, service := range contract.Services() {
		lines, err := p.linesOfRolls(ctx, service)
		if err != nil {
			return "", err
		}
		if len(lines) == 0 {
			return "", fmt.Errorf("Loki has no line of %s by the label %s", service, contract.StreamService)
		}
		for _, l := range lines {
			want := map[string]string{contract.StreamContainer: contract.ContainerName(service), contract.StreamService: service,
				contract.StreamJob: service, contract.StreamLevel: l.Field(contract.FieldLevel)}
			if !maps.Equal(l.Labels, want) {
				return "", fmt.Errorf("a line of %s has the labels %s, not %s", service, labelList(l.Labels), labelList(want))
			}
			evidence = labelList(want)
		}
	}
	return evidence, nil
}

func labelList(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, fmt.Sprintf("%s=%q", name, labels[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

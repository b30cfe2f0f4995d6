package verify

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dicelab/internal/checklist"
)

// checksFile is the table of checks: every row but its function.
//
//go:embed checks.yaml
var checksFile []byte

// Check is a row of the checklist, and the function that fills it in.
type Check struct {
	checklist.Row
	After []string // names of the checks whose failure explains this one's; they end before it begins
	// Late marks a check of what Prometheus makes of rolls in the course of time. It
	// needs rolls while it looks, and shows later than what a roll leaves at once.
	Late bool
	Run  Func
}

// Func returns the evidence for a check, or an error that says what is wrong: one
// made by skip if the check does not apply.
type Func func(context.Context, *Probe) (evidence string, err error)

// skipped is the error of a check that does not apply.
type skipped struct{ error }

func skip(format string, args ...any) error { return &skipped{fmt.Errorf(format, args...)} }

// Checks returns every check, group by group.
func Checks() []Check { return must(load(checksFile, functions())) }

// load joins the table of checks with their functions.
func load(file []byte, functions map[string]Func) (all []Check, err error) {
	var groups []struct {
		Group  string
		Checks []struct {
			Name, Help, Box, Does, Expects string
			After                          []string
			Late                           bool
		}
	}
	in := yaml.NewDecoder(bytes.NewReader(file))
	in.KnownFields(true)
	if err := in.Decode(&groups); err != nil {
		return nil, fmt.Errorf("reading the table of checks: %w", err)
	}
	for _, g := range groups {
		for _, c := range g.Checks {
			row := checklist.Row{Group: g.Group, Name: c.Name, Box: c.Box, Does: c.Does, Expects: c.Expects, Help: c.Help}
			if functions[c.Name] == nil {
				return nil, fmt.Errorf("the check %s has no function", c.Name)
			}
			all = append(all, Check{Row: row, After: c.After, Late: c.Late, Run: functions[c.Name]})
		}
	}
	return all, nil
}

// Table returns every row, in the order in which results come.
func Table() []checklist.Row { return rows(Checks()) }

func rows(checks []Check) []checklist.Row {
	out := make([]checklist.Row, len(checks))
	for i, c := range checks {
		out[i] = c.Row
	}
	return out
}

// choose returns the checks of the rows and groups that are named; all if none is.
func choose(all []Check, names []string) (chosen []Check, err error) {
	if len(names) == 0 {
		return all, nil
	}
	match := func(c Check, name string) bool {
		return c.Name == name || strings.EqualFold(c.Group, name) || checklist.Slug(c.Group) == name
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(c Check) bool { return match(c, name) }) {
			return nil, unknown(name, all)
		}
	}
	for _, c := range all {
		if slices.ContainsFunc(names, func(name string) bool { return match(c, name) }) {
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

// unknown lists the names that exist, a group a line.
func unknown(name string, all []Check) error {
	var b strings.Builder
	for i, c := range all {
		if i == 0 || all[i-1].Group != c.Group {
			fmt.Fprintf(&b, "\n  %s:", checklist.Slug(c.Group))
		}
		b.WriteString(" " + c.Name)
	}
	return fmt.Errorf("there is no check %q; there are%s", name, &b)
}

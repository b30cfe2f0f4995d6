package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// The groups, in their order; those of checklist.md.
const (
	groupHealth      = "Service Health"
	groupMetrics     = "Metrics Collection"
	groupLogs        = "Log Collection"
	groupTracing     = "Distributed Tracing"
	groupPropagation = "Trace Context Propagation"
	groupCorrelation = "Trace-to-Logs Correlation"
	groupUI          = "Frontend UI"
	groupTraffic     = "Traffic Generation"
	groupDashboard   = "Dashboard"
)

// check is a row and what fills it in.
type check struct {
	Row
	needs need
	run   func(context.Context, *probe) finding
}

// table is every check, group by group.
func table() (all []check) {
	for _, group := range []struct {
		name   string
		checks []check
	}{
		{groupHealth, health()},
		{groupMetrics, metrics()},
		{groupLogs, logs()},
		{groupTracing, tracing()},
		{groupPropagation, propagation()},
		{groupCorrelation, correlation()},
		{groupUI, ui()},
		{groupTraffic, traffic()},
		{groupDashboard, dashboard()},
	} {
		for _, c := range group.checks {
			c.Group = group.name
			all = append(all, c)
		}
	}
	return all
}

// Table lists every row, in the order in which results come.
func Table() []Row { return rows(table()) }

func rows(checks []check) []Row {
	out := make([]Row, len(checks))
	for i, c := range checks {
		out[i] = c.Row
	}
	return out
}

// chosen are the checks of the rows and groups that are named; all where none is.
func chosen(names []string) ([]check, error) {
	all := table()
	if len(names) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		found := false
		for _, c := range all {
			if c.Name == name || strings.EqualFold(c.Group, name) || Slug(c.Group) == name {
				wanted[c.Name], found = true, true
			}
		}
		if !found {
			return nil, unknown(name, all)
		}
	}
	return slices.DeleteFunc(all, func(c check) bool { return !wanted[c.Name] }), nil
}

// Slug is a group's name as one word: "service-health".
func Slug(group string) string { return strings.ReplaceAll(strings.ToLower(group), " ", "-") }

// UnknownError is the error of a name that neither a row nor a group has.
type UnknownError struct {
	Name   string
	Groups []Row // one row for each name there is, in order
}

func unknown(name string, all []check) error { return &UnknownError{Name: name, Groups: rows(all)} }

// Error lists what there is, a group a line.
func (e *UnknownError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "there is no check %q; there are", e.Name)
	group := ""
	for _, r := range e.Groups {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&b, "\n  %s:", Slug(group))
		}
		b.WriteString(" " + r.Name)
	}
	return b.String()
}

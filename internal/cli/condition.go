package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// condition is the condition under which a flag has an effect: "with FLAG",
// "without FLAG", or "with FLAG=VALUE|VALUE". Empty means always.
type condition string

const (
	with    = "with "
	without = "without "
)

// conditionOf returns that of the flag's tag, or of its group.
func conditionOf(f *kong.Flag) condition {
	text := f.Tag.Get("when")
	if text == "" && f.Group != nil {
		text = f.Group.Key
	}
	if !strings.HasPrefix(text, with) && !strings.HasPrefix(text, without) {
		return ""
	}
	return condition(text)
}

// read returns the parts of the condition: whether it is one for "with", the other
// flag, and the values that this may have.
func (c condition) read() (isWith bool, other string, values []string) {
	other, isWith = strings.CutPrefix(string(c), with)
	other = strings.TrimPrefix(other, without)
	other, list, valued := strings.Cut(other, "=")
	if valued {
		values = strings.Split(list, "|")
	}
	return isWith, other, values
}

// refuse returns an error if the condition does not hold. name is the flag that has
// no effect then.
func (c condition) refuse(name string, flags []*kong.Flag, given Given) error {
	isWith, other, values := c.read()
	switch {
	case c == "" || values == nil && isWith == given[other]:
		return nil
	case values == nil && isWith:
		return fmt.Errorf("--%s has no effect without --%s", name, other)
	case values != nil:
		value := find(flags, other).Target.String()
		if slices.Contains(values, value) {
			return nil
		}
		other += "=" + value
	}
	return fmt.Errorf("--%s has no effect with --%s: leave one of them out", name, other)
}

func find(flags []*kong.Flag, name string) *kong.Flag {
	for _, f := range flags {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// checkConditions returns an error if a condition names a flag that the command does
// not have.
func checkConditions(command *kong.Node) error {
	for _, f := range command.Flags {
		if _, other, _ := conditionOf(f).read(); other != "" && find(command.Flags, other) == nil {
			return fmt.Errorf("the condition of --%s: %s has no flag --%s", f.Name, command.Name, other)
		}
	}
	return nil
}

// titleGroups writes the titles of the groups in the help of a command.
func titleGroups(command *kong.Node) {
	for _, f := range command.Flags {
		if f.Group == nil {
			continue
		}
		title := f.Group.Key
		if strings.HasPrefix(title, with) || strings.HasPrefix(title, without) {
			word, rest, _ := strings.Cut(title, " ")
			title = strings.ToUpper(word[:1]) + word[1:] + " --" + strings.ReplaceAll(rest, "|", " or ")
		}
		f.Group.Title = title + ":"
	}
}

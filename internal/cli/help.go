package cli

import (
	"cmp"
	"errors"
	"strings"

	"github.com/alecthomas/kong"
)

// ErrHelp ends a command that was only asked for its help.
var ErrHelp = errors.New("help was asked for")

// Help is the type of the flag --help.
type Help bool

// BeforeReset prints the help of the command, before its other flags are checked.
func (Help) BeforeReset(kctx *kong.Context) error {
	return cmp.Or(kctx.PrintUsage(false), ErrHelp)
}

// helpOf returns the help of a flag, with what its tags say.
func helpOf(v *kong.Value) string {
	text := v.Help
	var notes []string
	if v.IsSlice() && v.Flag != nil {
		notes = append(notes, "repeatable")
	}
	if v.Tag.Has("none") {
		notes = append(notes, "empty for none")
	}
	if name := v.Tag.Get("from"); name != "" {
		notes = append(notes, "$"+name)
	}
	if len(notes) == 0 {
		return text
	}
	return strings.TrimSuffix(text, ".") + " (" + strings.Join(notes, ", ") + ")."
}

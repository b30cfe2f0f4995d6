package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// flags is the flag set of one command: flag.FlagSet with values that are
// checked, and with errors and a help page in this program's voice.
type flags struct {
	*flag.FlagSet
	env     environment
	summary string
	refused error // why a value was refused
}

func newFlags(env environment, name, summary string) *flags {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // its errors are returned, and printed once
	return &flags{FlagSet: fs, env: env, summary: summary}
}

// parse reads the arguments; want names the ones that are not flags. There may
// be more of the last if its name ends in "...".
func (f *flags) parse(want ...string) error {
	return f.parseFor(func() []string { return want })
}

// parseFor is parse where it depends on the flags which arguments are wanted.
func (f *flags) parseFor(wanted func() []string) error {
	err := f.Parse(f.env.args)
	if errors.Is(err, flag.ErrHelp) {
		f.help(wanted())
		return errHelp
	}
	want := wanted()
	switch {
	case err != nil && f.refused != nil:
		err = f.refused
	case err != nil:
		err = inOurWords(err)
	case f.NArg() > len(want) && !(len(want) > 0 && strings.HasSuffix(want[len(want)-1], "...")):
		err = fmt.Errorf("unexpected argument %q", f.Arg(len(want)))
	case f.NArg() < len(want):
		err = fmt.Errorf("%s is missing", strings.TrimSuffix(want[f.NArg()], "..."))
	}
	if err != nil {
		return f.usage(err)
	}
	return nil
}

// given returns the names of the flags that were given.
func (f *flags) given() map[string]bool {
	names := make(map[string]bool)
	f.Visit(func(g *flag.Flag) { names[g.Name] = true })
	return names
}

// usage is the error of a command that was called wrongly.
func (f *flags) usage(err error) error {
	return hint(usagef("%s: %w", f.Name(), err), fmt.Sprintf("dicelab %s -h lists the flags", f.Name()))
}

// inOurWords puts the errors of package flag, which it does not type.
func inOurWords(err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		return fmt.Errorf("there is no flag --%s", name)
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Errorf("--%s needs a value", name)
	}
	return err
}

func (f *flags) help(want []string) {
	out := f.env.stdout
	fmt.Fprintf(out, "dicelab %s: %s\n\nUsage: %s\n", f.Name(), f.summary, strings.Join(append([]string{"dicelab", f.Name(), "[flags]"}, want...), " "))
	f.VisitAll(func(fl *flag.Flag) {
		name, usage := flag.UnquoteUsage(fl)
		fmt.Fprintf(out, "\n  %s\n      %s", strings.TrimSpace("--"+fl.Name+" "+name), strings.ReplaceAll(usage, "\n", "\n      "))
		if fl.DefValue != "" && fl.DefValue != "false" {
			fmt.Fprintf(out, " (default %s)", fl.DefValue)
		}
		fmt.Fprintln(out)
	})
}

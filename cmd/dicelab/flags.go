package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// flags is the flag set of one command: flag.FlagSet with errors and a help page
// in this program's voice.
type flags struct {
	*flag.FlagSet
	env     environment
	summary string
}

func newFlags(env environment, name, summary string) *flags {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // its errors are returned, and printed once
	return &flags{FlagSet: fs, env: env, summary: summary}
}

// parse reads the arguments; want names the ones that are not flags.
func (f *flags) parse(want ...string) error {
	err := f.Parse(f.env.args)
	if errors.Is(err, flag.ErrHelp) {
		f.help(want)
		return errHelp
	}
	if err == nil && f.NArg() != len(want) {
		if f.NArg() > len(want) {
			err = fmt.Errorf("unexpected argument %q", f.Arg(len(want)))
		} else {
			err = fmt.Errorf("%s is missing", want[f.NArg()])
		}
	}
	if err != nil {
		return hint(usagef("%s: %w", f.Name(), err), fmt.Sprintf("dicelab %s -h lists the flags", f.Name()))
	}
	return nil
}

func (f *flags) help(want []string) {
	out := f.env.stdout
	fmt.Fprintf(out, "dicelab %s: %s\n\nUsage: dicelab %s [flags] %s\n", f.Name(), f.summary, f.Name(), strings.Join(want, " "))
	f.VisitAll(func(fl *flag.Flag) {
		name, usage := flag.UnquoteUsage(fl)
		fmt.Fprintf(out, "\n  --%s %s\n      %s", fl.Name, name, strings.ReplaceAll(usage, "\n", "\n      "))
		if fl.DefValue != "" && fl.DefValue != "false" {
			fmt.Fprintf(out, " (default %s)", fl.DefValue)
		}
		fmt.Fprintln(out)
	})
}

// list is a flag that may be given again and again.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// seed is a flag whose absence means chance.
type seed struct {
	value uint64
	given bool
}

func (s *seed) String() string { return "" }

func (s *seed) Set(text string) (err error) {
	if s.value, err = strconv.ParseUint(text, 10, 64); err != nil {
		return errors.New("want a whole number from 0 to 2^64-1")
	}
	s.given = true
	return nil
}

// rate is a flag for a share.
type rate float64

func (r *rate) String() string { return strconv.FormatFloat(float64(*r), 'g', -1, 64) }

func (r *rate) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return errors.New("want a number from 0 to 1")
	}
	*r = rate(v)
	return nil
}

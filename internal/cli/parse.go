// Package cli reads command lines with Kong, as all commands of dicelab do.
//
// A command is a struct with its flags as fields. Beside Kong's own tags, a flag has
// these:
//
//	group    a title, or "with CONDITION" or "without CONDITION": the flag has no
//	         effect otherwise, and is refused
//	when     such a condition, where the group has another title
//	min, max the bounds of a duration or a size
//	none     the value may be empty, for none
//	complete the variable that has values for completion, separated by commas
//	from     the environment variable that sets the flag, unless it is empty
//
// A condition is the name of a flag, or FLAG=VALUE or FLAG=VALUE|VALUE. Errors name
// the command, the flag and the value, and what it may be.
package cli

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"dicelab/internal/lab"
)

// Checker is a command whose flags and arguments depend on each other in ways that
// the conditions of groups cannot express.
type Checker interface {
	// Check completes the flags. given has the names of those on the command line.
	Check(given Given) error
}

// Given has the names of the flags that stand on the command line.
type Given map[string]bool

// New returns a parser of args, a command line that the struct grammar describes. It
// knows only the command that args name, if that exists and its tag is not cmd:"all":
// all commands take 4 MB, which a service would keep. getenv returns the values of
// environment variables.
func New(grammar any, args []string, getenv func(string) string, options ...kong.Option) (*kong.Kong, error) {
	k, err := kong.New(grammar, slices.Concat(mappers(), options, []kong.Option{
		kong.IgnoreFields(others(reflect.TypeOf(grammar).Elem(), args)...),
		kong.NoDefaultHelp(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.ValueFormatter(helpOf),
		kong.WithHyphenPrefixedParameters(true), kong.Resolvers(fromEnvironment(getenv)),
	})...)
	if err != nil {
		return nil, fmt.Errorf("building the command line: %w", err)
	}
	for _, command := range k.Model.Leaves(false) {
		titleGroups(command)
		if err := checkConditions(command); err != nil {
			return nil, fmt.Errorf("building the command line: %w", err)
		}
	}
	return k, nil
}

// others returns patterns of the commands that args do not need.
func others(grammar reflect.Type, args []string) (patterns []string) {
	found := false
	for f := range grammar.Fields() {
		scope, isCommand := f.Tag.Lookup("cmd")
		switch {
		case !isCommand:
		case len(args) > 0 && strings.ToLower(f.Name) == args[0] && scope != "all":
			found = true
		default:
			patterns = append(patterns, "^"+grammar.Name()+`\.`+f.Name+"$")
		}
	}
	if !found {
		return nil
	}
	return patterns
}

// Parse reads a command line. The given flags are bound, as Given, for the command's
// method Run.
func Parse(k *kong.Kong, args []string) (*kong.Context, error) {
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help":
		args = append(slices.Clone(args[1:]), "--help")
	}
	kctx, err := k.Parse(longFlags(k.Model.Node, args))
	if err == nil {
		if err = refuse(kctx); err == nil {
			return kctx, nil
		}
		return nil, usage(kctx.Selected(), err)
	}
	failed, ok := errors.AsType[*kong.ParseError](err)
	if !ok || errors.Is(err, ErrHelp) {
		return nil, err
	}
	command := failed.Context.Selected()
	if command == nil && !strings.HasPrefix(args[0], "-") {
		err = fmt.Errorf("there is no command %q", args[0])
	}
	if name := missing(failed.Context); name != "" {
		err = errors.New(name + " is missing")
	}
	if bad, ok := errors.AsType[*valueError](err); ok {
		err = bad
		// The command line itself was right if it could be read.
		if name := bad.value.Tag.Get("from"); name != "" && failed.Context.Error == nil {
			err = fmt.Errorf("environment variable %s is %q: %w", name, bad.text, bad.err)
		}
	}
	return nil, usage(command, err)
}

// missing returns the name of the argument that a command line lacks, if that is its
// only fault so far.
func missing(kctx *kong.Context) string {
	command := kctx.Selected()
	if kctx.Error != nil || command == nil {
		return ""
	}
	for _, arg := range command.Positional {
		if arg.Required && !slices.ContainsFunc(kctx.Path, func(p *kong.Path) bool { return p.Positional == arg }) {
			return arg.Name
		}
	}
	return ""
}

// usage returns the errors of a command that was called wrongly.
func usage(command *kong.Node, err error) error {
	if command == nil {
		return lab.Refuse(err, "dicelab help lists the commands")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = command.Name + ": " + line
	}
	hint := lab.HintOf(err)
	if hint == "" {
		hint = fmt.Sprintf("dicelab %s -h lists the flags", command.Name)
	}
	return lab.Refuse(errors.New(strings.Join(lines, "\n")), hint)
}

// refuse returns the errors of flags that do not go together.
func refuse(kctx *kong.Context) error {
	given := givenFlags(kctx)
	command := kctx.Selected()
	var errs []error
	for _, f := range command.Flags {
		if given[f.Name] {
			errs = append(errs, conditionOf(f).refuse(f.Name, command.Flags, given))
		}
	}
	if c, ok := command.Target.Addr().Interface().(Checker); ok {
		errs = append(errs, c.Check(given))
	}
	kctx.Bind(given)
	return errors.Join(errs...)
}

// Active lists the flags of the command that have an effect with the values of the
// others.
func Active(kctx *kong.Context) []*kong.Flag {
	flags, given := kctx.Selected().Flags, givenFlags(kctx)
	return slices.DeleteFunc(slices.Clone(flags), func(f *kong.Flag) bool {
		return conditionOf(f).refuse(f.Name, flags, given) != nil
	})
}

func givenFlags(kctx *kong.Context) Given {
	names := Given{}
	for _, p := range kctx.Path {
		if p.Flag != nil && !p.Resolved {
			names[p.Flag.Name] = true
		}
	}
	return names
}

// fromEnvironment sets the flags that have a tag "from".
func fromEnvironment(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
		if name := f.Tag.Get("from"); name != "" && getenv(name) != "" {
			return getenv(name), nil
		}
		return nil, nil
	})
}

// longFlags writes flags of several letters with two hyphens, where the command line
// has one, as in -stack=none.
func longFlags(app *kong.Node, args []string) []string {
	at := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return n.Name == args[0] })
	if at < 0 || app.Children[at].Passthrough {
		return args
	}
	flags := app.Children[at].Flags
	args = slices.Clone(args)
	for i := 1; i < len(args) && args[i] != "--"; i++ {
		name, _, inside := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") || len(name) < 2 {
			continue
		}
		args[i] = "--" + strings.TrimLeft(args[i], "-")
		if f := find(flags, name); f != nil && !inside && !f.IsBool() {
			i++ // its value
		}
	}
	return args
}

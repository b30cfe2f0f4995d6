// Package pattern compiles and matches the regular expressions of queries, within
// bounds. Package regexp takes time linear in the length of the text, but also
// linear in the size of the expression, and an expression of a hundred bytes can
// have a million instructions.
//
// Rules:
//
//   - The size of an expression is computed from its syntax tree before it is
//     compiled, since compiling takes the memory. Classes, which are slow to parse,
//     are counted before that.
//   - The expressions of one query share a bound: they are compiled by one [Set].
//   - A match that may take long checks its context meanwhile, and stops when that
//     ends.
package pattern

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of the regular expressions of a query. An expression of MaxSize
// instructions takes about 4 ms and 5 MB to compile.
const (
	// MaxText is the length of one, in bytes.
	MaxText = 16 << 10
	// MaxSize is the size of one, in instructions of package regexp/syntax. One
	// character, or one class of characters, is about one instruction.
	MaxSize = 10_000
	// MaxTotal is the size of all expressions of one query together.
	MaxTotal = 20_000
	// MaxWithGroups is the size of one times one more than the number of its
	// groups: a match may have as many threads as there are instructions, and each
	// holds 16 bytes for each group.
	MaxWithGroups = 200_000
	// MaxClasses is the number of Unicode classes, such as \pL, in one, and of all
	// classes where letters match in both cases. Parsing one of these takes up to 13
	// kB or a millisecond.
	MaxClasses = 100
)

const (
	// directSteps is the largest product of text and expression, in bytes and
	// instructions, that is matched in one go: at most 0.2 s.
	directSteps = 1 << 23
	// checkSteps is the same product between two checks of the context.
	checkSteps = directSteps / 16
)

// Mode is the part of a text that an expression must match.
type Mode int

// The modes.
const (
	// Part matches anywhere in the text. A dot does not match a line feed.
	Part Mode = iota
	// Whole matches the whole text. A dot matches a line feed.
	Whole
)

// Set compiles the regular expressions of one query. The zero value is an empty
// set. It must not be used from several goroutines at once.
type Set struct {
	size int
}

// Pattern is a compiled regular expression. It may be used from several
// goroutines.
type Pattern struct {
	re   *regexp.Regexp
	size int
}

// Compile compiles an expression in RE2's syntax. It fails if the expression is invalid or
// exceeds a bound of this package, which the error names.
func (s *Set) Compile(expr string, mode Mode) (*Pattern, error) {
	tree, err := parse(expr)
	if err != nil {
		return nil, err
	}
	size, err := s.add(expr, tree, MaxWithGroups)
	if err != nil {
		return nil, err
	}
	text := expr
	if mode == Whole {
		text = "^(?s:" + expr + ")$"
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &Pattern{re: re, size: size}, nil
}

// cheap is the largest size of a pattern that matches a mebibyte in a few milliseconds.
const cheap = 100

// Cheap reports whether a match takes so little time that it need not be stopped.
func (p *Pattern) Cheap() bool { return p.size <= cheap }

// Check adds an expression to the set without compiling it, for a library that
// compiles it later and whose matches cannot be stopped. It has the limits of Compile. For
// an expression with a repetition, a match may take its size times the length of the text,
// so maxRepeating takes the place of MaxWithGroups.
func (s *Set) Check(expr string, maxRepeating int) error {
	tree, err := parse(expr)
	if err != nil {
		return err
	}
	most := MaxWithGroups
	if repeats(tree) {
		most = maxRepeating
	}
	_, err = s.add(expr, tree, most)
	return err
}

// repeats reports whether an expression has a repetition or an optional part.
func repeats(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return true
	}
	return slices.ContainsFunc(re.Sub, repeats)
}

// parse parses an expression, unless it is too long.
func parse(expr string) (*syntax.Regexp, error) {
	if len(expr) > MaxText {
		return nil, fmt.Errorf("a regular expression has %d bytes: at most %d are allowed", len(expr), MaxText)
	}
	if n := slowClasses(expr); n > MaxClasses {
		return nil, fmt.Errorf(`the regular expression %.100q has %d classes, such as \pL or, with (?i), [a-z]: at most %d are allowed`, expr, n, MaxClasses)
	}
	return syntax.Parse(expr, syntax.Perl)
}

// add adds an expression to the set and returns its size.
func (s *Set) add(expr string, tree *syntax.Regexp, maxWithGroups int) (size int, err error) {
	size = sizeOf(tree) + 4 // the anchors, the end, and a jump
	switch groups := tree.MaxCap(); {
	case size > MaxSize:
		return 0, fmt.Errorf("the regular expression %.100q has more than %d instructions: use smaller repetitions", expr, MaxSize)
	case size*(1+groups) > maxWithGroups:
		return 0, fmt.Errorf("the regular expression %.100q has %d instructions and %d groups: instructions times (1 + groups) may be at most %d; use smaller repetitions, and groups that do not capture, (?:...)",
			expr, size, groups, maxWithGroups)
	case s.size+size > MaxTotal:
		return 0, fmt.Errorf("the regular expressions of the query have more than %d instructions together: use fewer or smaller ones", MaxTotal)
	}
	s.size += size
	return size, nil
}

// slowClasses returns how many classes of characters an expression may have that
// are slow to parse.
func slowClasses(expr string) int {
	n := strings.Count(expr, `\p`) + strings.Count(expr, `\P`)
	for rest := expr; ; {
		_, after, found := strings.Cut(rest, "(?")
		if !found {
			return n
		}
		if flags := strings.TrimLeft(after, "msU-"); strings.HasPrefix(flags, "i") {
			return n + strings.Count(expr, "[")
		}
		rest = after
	}
}

// sizeOf returns the number of instructions that an expression compiles to, or a
// number above MaxSize if there are more. The tree is not deep: the parser
// refuses more than 1,000 levels.
func sizeOf(re *syntax.Regexp) int {
	size := 0
	for _, sub := range re.Sub {
		if size += sizeOf(sub); size > MaxSize {
			return size
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		return max(len(re.Rune), 1)
	case syntax.OpCapture:
		return size + 2
	case syntax.OpRepeat: // at most 1,000 times, also when nested
		n := max(re.Min, re.Max, 1)
		return n*size + max(n-re.Min, 1)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		return size + 1
	case syntax.OpAlternate:
		return size + len(re.Sub) - 1
	case syntax.OpConcat:
		return size
	default:
		return 1
	}
}

// Match reports whether the pattern matches text. If ctx ends first, it returns
// the error of ctx, within some ten milliseconds.
func (p *Pattern) Match(ctx context.Context, text string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if len(text) <= directSteps/p.size {
		return p.re.MatchString(text), nil
	}
	return p.matchInPieces(ctx, text)
}

// Submatch returns the places of the first match in text and of its groups, as
// [regexp.Regexp.FindStringSubmatchIndex] does; nil means that there is none. If ctx ends
// first, it returns the error of ctx.
func (p *Pattern) Submatch(ctx context.Context, text string) ([]int, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(text) <= directSteps/p.size {
		return p.re.FindStringSubmatchIndex(text), nil
	}
	r := &reader{ctx: ctx, rest: text, every: max(checkSteps/p.size, 1)}
	places := p.re.FindReaderSubmatchIndex(r)
	if r.err != nil {
		return nil, r.err
	}
	return places, nil
}

// Groups returns the names of the pattern's groups, with "" for the whole and for groups
// without a name.
func (p *Pattern) Groups() []string { return p.re.SubexpNames() }

// Regexp returns the compiled expression, for a pattern that is [Pattern.Cheap].
func (p *Pattern) Regexp() *regexp.Regexp { return p.re }

func (p *Pattern) matchInPieces(ctx context.Context, text string) (bool, error) {
	r := &reader{ctx: ctx, rest: text, every: max(checkSteps/p.size, 1)}
	matched := p.re.MatchReader(r)
	if r.err != nil {
		return false, r.err
	}
	return matched, nil
}

// reader reads a text until its context ends.
type reader struct {
	ctx   context.Context
	rest  string
	every int // runes between two checks of the context
	left  int // runes until the next one
	err   error
}

// ReadRune implements io.RuneReader.
func (r *reader) ReadRune() (rune, int, error) {
	if r.left == 0 {
		if r.err = r.ctx.Err(); r.err != nil {
			return 0, 0, r.err
		}
		r.left = r.every
	}
	r.left--
	if r.rest == "" {
		return 0, 0, io.EOF
	}
	c, n := utf8.DecodeRuneInString(r.rest)
	r.rest = r.rest[n:]
	return c, n, nil
}

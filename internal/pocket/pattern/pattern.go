// Package pattern compiles and matches the regular expressions of queries, within
// bounds. Package regexp takes time linear in the length of the text, but also
// linear in the size of the expression, and an expression of a hundred bytes can
// have a million instructions.
//
// Rules:
//
//   - The size of an expression is computed from its syntax tree before it is
//     compiled, since compiling is what takes the memory.
//   - The expressions of one query share a bound: they are compiled by one [Set].
//   - A match that may take long looks at its context as it goes on, and stops
//     when that ends.
//   - Groups do not capture: each thread of a match would hold every group.
package pattern

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Bounds of the regular expressions of a query. An expression of MaxSize
// instructions takes about 3 ms and 5 MB to compile.
const (
	// MaxText is the length of one, in bytes.
	MaxText = 16 << 10
	// MaxSize is the size of one, in instructions of package regexp/syntax. One
	// character, or one class of characters, is about one instruction.
	MaxSize = 10_000
	// MaxTotal is the size of all expressions of one query together.
	MaxTotal = 20_000
	// MaxClasses is the number of Unicode classes, such as \pL, in one. The parser
	// makes a table of up to 13 kB of each.
	MaxClasses = 100
)

const (
	// directSteps is the largest product of text and expression, in bytes and
	// instructions, that is matched in one go: at most 0.2 s.
	directSteps = 1 << 23
	// checkSteps is the same product between two looks at the context.
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

// Compile compiles an expression in RE2's syntax. It fails if the expression is
// wrong, or exceeds one of the bounds of this package; the error states the bound.
func (s *Set) Compile(expr string, mode Mode) (*Pattern, error) {
	flags := syntax.Perl
	if mode == Whole {
		flags |= syntax.DotNL
	}
	tree, err := parse(expr, flags)
	if err != nil {
		return nil, err
	}
	tree = withoutGroups(tree)
	size, err := s.add(expr, tree)
	if err != nil {
		return nil, err
	}
	text := tree.String()
	if mode == Whole {
		text = `\A(?:` + text + `)\z`
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("compiling the regular expression %.100q: %w", expr, err)
	}
	return &Pattern{re: re, size: size}, nil
}

// Check adds an expression to the set without compiling it, for a library that
// compiles it later, with its groups. It fails as Compile does; in place of the
// size it bounds the size times one more than the number of groups by
// maxWithGroups, above 0.
func (s *Set) Check(expr string, maxWithGroups int) error {
	tree, err := parse(expr, syntax.Perl|syntax.DotNL)
	if err != nil {
		return err
	}
	size, err := s.add(expr, tree)
	if err != nil {
		return err
	}
	if size*(1+tree.MaxCap()) > maxWithGroups {
		return fmt.Errorf("the regular expression %.100q has %d instructions and %d groups: their product may be at most %d here; use non-capturing groups (?:...) and smaller repetitions",
			expr, size, tree.MaxCap(), maxWithGroups)
	}
	return nil
}

// parse parses an expression that is short enough for that.
func parse(expr string, flags syntax.Flags) (*syntax.Regexp, error) {
	if len(expr) > MaxText {
		return nil, fmt.Errorf("a regular expression has %d bytes: at most %d are allowed", len(expr), MaxText)
	}
	if n := strings.Count(expr, `\p`) + strings.Count(expr, `\P`); n > MaxClasses {
		return nil, fmt.Errorf(`the regular expression %.100q has %d classes such as \pL: at most %d are allowed`, expr, n, MaxClasses)
	}
	return syntax.Parse(expr, flags)
}

// add adds the size of an expression to the set, and returns it.
func (s *Set) add(expr string, tree *syntax.Regexp) (int, error) {
	size := sizeOf(tree) + 4 // the anchors, the end, and a jump
	if size > MaxSize {
		return 0, fmt.Errorf("the regular expression %.100q has more than %d instructions: use smaller repetitions", expr, MaxSize)
	}
	if s.size+size > MaxTotal {
		return 0, fmt.Errorf("the regular expressions of the query have more than %d instructions together: use fewer or smaller ones", MaxTotal)
	}
	s.size += size
	return size, nil
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

// withoutGroups returns the expression without its groups, in place.
func withoutGroups(re *syntax.Regexp) *syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	for i, sub := range re.Sub {
		re.Sub[i] = withoutGroups(sub)
	}
	return re
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
	every int // runes between two looks at the context
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

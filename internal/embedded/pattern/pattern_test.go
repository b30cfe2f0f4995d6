package pattern_test

import (
	"context"
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"dicelab/internal/embedded/pattern"
)

func TestBounds(t *testing.T) {
	tests := []struct {
		name  string
		exprs []string
		want  string // in the error of the last one; "" if there is none
	}{
		{name: "usual", exprs: []string{`GET /roll(\?.*)?`, `(?i)error|fail(ed|ure)`, ``, `.+`}},
		{name: "many values", exprs: []string{strings.Repeat(`10\.0\.0\.1:9100|`, 500)}},
		{name: "largest", exprs: []string{strings.Repeat("a", 9_990)}},
		{name: "repeated", exprs: []string{strings.Repeat("(?:x?){1000}", 6)}, want: "has more than 10000 instructions"},
		{name: "groups", exprs: []string{strings.Repeat("(x?)", 300)}, want: "has 1204 instructions and 300 groups: instructions times (1 + groups) may be at most 200000"},
		{name: "many small groups", exprs: []string{strings.Repeat("(a)|", 150)}},
		{name: "repeated, nested", exprs: []string{`((x?y?z?){100}){10}`}},
		{name: "repeated, nested, too large", exprs: []string{`((ab?c?d?e?f?g?){100}){10}`}, want: "has more than 10000 instructions"},
		{name: "repeated, without an end", exprs: []string{strings.Repeat("(?:abc){1000,}", 4)}, want: "has more than 10000 instructions"},
		{name: "long", exprs: []string{strings.Repeat("a", 9_997)}, want: "has more than 10000 instructions"},
		{name: "longer", exprs: []string{strings.Repeat("[ab]", 5_000)}, want: "has 20000 bytes: at most 16384"},
		{name: "several", exprs: []string{"(x?){1000}{3}", strings.Repeat("b", 9_000), strings.Repeat("b", 9_000), strings.Repeat("b", 9_000)}, want: "more than 20000 instructions together"},
		{name: "classes", exprs: []string{strings.Repeat(`\pL`, 101)}, want: "has 101 classes"},
		{name: "classes in both cases", exprs: []string{`(?s-U:x)(?sUi)` + strings.Repeat(`[b-z]`, 101)}, want: "has 101 classes"},
		{name: "classes in one case", exprs: []string{`(?s-U:x)(?-i)` + strings.Repeat(`[b-z]`, 100)}},
		{name: "wrong", exprs: []string{`a(`}, want: "missing closing )"},
		{name: "closes what it did not open", exprs: []string{`a)|(b`}, want: "unexpected )"},
		{name: "deep", exprs: []string{strings.Repeat("(", 1_500) + strings.Repeat(")", 1_500)}, want: "expression nests too deeply"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range []pattern.Mode{pattern.Part, pattern.Whole} {
				var set pattern.Set
				var err error
				for _, expr := range tt.exprs {
					_, err = set.Compile(expr, mode)
				}
				if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("mode %d: error %v, want %q", mode, err, tt.want)
				}
			}
		})
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		expr string
		want string
	}{
		{expr: `([a-z]+)-([a-z]+)-([a-z]+)`},
		{expr: strings.Repeat(`a?`, 480)},
		{expr: strings.Repeat(`(a?)`, 20), want: "has 84 instructions and 20 groups: instructions times (1 + groups) may be at most 1000"},
		{expr: strings.Repeat(`10\.0\.0\.[1-9]:9100|`, 400)},
		{expr: `(x?){400}`, want: "1 groups"},
		{expr: `(x?){1000}`, want: "times (1 + groups) may be at most 1000"},
		{expr: `(?:(?:x?){1000}){10}`, want: "invalid repeat count"},
		{expr: `(`, want: "missing closing )"},
	}
	for _, tt := range tests {
		var set pattern.Set
		err := set.Check(tt.expr, 1_000)
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40s: error %v, want %q", tt.expr, err, tt.want)
		}
	}
}

// ending is a context that ends when it has been checked n times.
type ending struct {
	context.Context
	n int
}

func (c *ending) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

// A match that takes long ends when its context does. This one would take minutes, and its
// context ends when it is checked for the third time.
func TestMatchEndsWithItsContext(t *testing.T) {
	var set pattern.Set
	p, err := set.Compile("(?:"+strings.Repeat("(?:x?){1000}", 4)+")*y", pattern.Whole)
	if err != nil {
		t.Fatal(err)
	}
	ctx := &ending{Context: t.Context(), n: 2}
	if _, err := p.Match(ctx, strings.Repeat("x", 16<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if ctx.n != -1 {
		t.Errorf("the context was looked at %d more times", -1-ctx.n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Match(ended, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

// Every compiled expression matches as in package regexp, both in one go and in pieces.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{`a.c`, "a\nc"}, {`^$`, ""}, {`(?i)GET|(post)`, "Post x"}, {`\bx\b`, "a x b"}, {`(?m)^b$`, "a\nb"}, {`x{2,3}?`, "xxx"}, {`(a|b)*c`, "ababc"},
		{`[^\x00-\x7f]`, "\xff"}, {`\pL+`, "ä"}, {`(?s).`, "\n"}, {`(?U)a+`, "aa"}, {`a|b|`, ""}, {`(?:a(b)?){3}`, "abaab"}, {`\z|\A`, "x"}, {`(?P<n>a)`, "a"}, {"(?i)\u017f", "s"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		part, partErr := regexp.Compile(expr)
		for mode, re := range map[pattern.Mode]*regexp.Regexp{pattern.Part: part, pattern.Whole: nil} {
			var set pattern.Set
			p, err := set.Compile(expr, mode)
			if partErr != nil && err == nil {
				t.Fatalf("%q is compiled, and wrong: %v", expr, partErr)
			}
			if err != nil {
				continue
			}
			if mode == pattern.Whole {
				if re, err = regexp.Compile(`\A(?s:` + expr + `)\z`); err != nil {
					continue // \Q quotes what closes the group
				}
			}
			want := re.MatchString(text)
			if got, err := p.Match(t.Context(), text); got != want || err != nil {
				t.Errorf("%q matches %q in mode %d: %v, %v, want %v", expr, text, mode, got, err, want)
			}
			if got, err := pattern.MatchInPieces(p, t.Context(), text); got != want || err != nil {
				t.Errorf("%q matches %q in mode %d, in pieces: %v, %v, want %v", expr, text, mode, got, err, want)
			}
			tree, err := syntax.Parse(re.String(), syntax.Perl)
			if err != nil {
				t.Fatal(err)
			}
			if prog, err := syntax.Compile(tree.Simplify()); err != nil || len(prog.Inst) > pattern.SizeOf(p) {
				t.Errorf("%q has %d instructions in mode %d, computed as %d, %v", expr, len(prog.Inst), mode, pattern.SizeOf(p), err)
			}
		}
	})
}

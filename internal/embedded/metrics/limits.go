package metrics

import (
	"errors"
	"fmt"
	"net/url"
	"regexp/syntax"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/strutil"

	"dicelab/internal/embedded/pattern"
)

// Bounds of the queries of one request. The library has none: it compiles regular
// expressions while it parses, parses and evaluates by calling itself for each
// operator and parenthesis, and reads the series of each selector into memory.
const (
	maxNesting   = 100 // parentheses, braces and brackets within each other
	maxOperators = 200 // operators, ranges, and queries or selectors, together
	// The size of a regular expression with a repetition, times its groups. The library
	// checks its context after 128 values of a label, of at most 2 KiB each, and for
	// label_replace after all series.
	maxMatcher = 1_000
	maxReplace = 500
)

// checkForm checks the queries and selectors of a request before they are parsed.
// Its error is for the client.
func checkForm(form url.Values) error {
	var c checker
	for _, name := range []string{"query", "match[]"} {
		for _, text := range form[name] {
			if err := c.check(text); err != nil {
				return fmt.Errorf("invalid parameter %q: %w", name, err)
			}
		}
	}
	return nil
}

// checker checks the queries of one request, by their tokens.
type checker struct {
	operators int
	patterns  pattern.Set
}

// check checks a query. If it cannot be split into tokens, check returns nil, since the
// parser has the error for it.
func (c *checker) check(query string) error {
	if err := c.count(); err != nil { // the query itself
		return err
	}
	var before parser.Item
	depth, replaces := 0, false
	for lexer := parser.Lex(query); ; {
		var item parser.Item
		lexer.NextItem(&item)
		switch typ := item.Typ; {
		case typ == parser.EOF, typ == parser.ERROR:
			return nil
		case typ == parser.COMMENT:
			continue
		case typ == parser.STRING:
			if err := c.checkString(item.Val, before.Typ, replaces); err != nil {
				return err
			}
		case typ == parser.LEFT_PAREN, typ == parser.LEFT_BRACE, typ == parser.LEFT_BRACKET:
			if depth++; depth > maxNesting {
				return fmt.Errorf("it has more than %d parentheses within each other", maxNesting)
			}
		case typ == parser.RIGHT_PAREN, typ == parser.RIGHT_BRACE, typ == parser.RIGHT_BRACKET:
			depth--
		}
		if item.Typ.IsOperator() || item.Typ == parser.LEFT_BRACKET {
			if err := c.count(); err != nil {
				return err
			}
		}
		replaces = replaces || item.Val == "label_replace"
		before = item
	}
}

// count counts an operator.
func (c *checker) count() error {
	if c.operators++; c.operators > maxOperators {
		return fmt.Errorf("it has more than %d operators, ranges and selectors together: use fewer, or regular expressions", maxOperators)
	}
	return nil
}

// checkString checks a string that is a regular expression, or may be one: any
// string in a query with label_replace.
func (c *checker) checkString(quoted string, before parser.ItemType, replaces bool) error {
	matches := before == parser.EQL_REGEX || before == parser.NEQ_REGEX
	if !matches && !replaces {
		return nil
	}
	text, err := strutil.Unquote(quoted)
	if err != nil {
		return nil // the parser reports the error
	}
	most := maxMatcher
	if !matches {
		most = maxReplace
	}
	err = c.patterns.Check(text, most)
	var wrong *syntax.Error
	if errors.As(err, &wrong) {
		return nil // the parser or the function reports the error, if it is one
	}
	return err
}

package logql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// parseExpr parses text into a syntax tree. Its error is an *Error.
func parseExpr(text string) (*expr, error) {
	g := grammar()
	tokens, err := g.Lex("", strings.NewReader(text))
	if err != nil {
		return nil, lexicalError(text, err)
	}
	tokens = significant(tokens)
	if err := checkNesting(tokens); err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, &Error{1, 1, `the query is empty; the shortest is a stream selector, such as {service_name="dice-roller"}`}
	}
	for i, t := range tokens[1:] {
		if tokens[i].Value == "[" && t.Type != g.Lexer().Symbols()[tokenDuration] {
			return nil, failAt(t.Pos, "syntax error: unexpected %q, expected a duration, such as 5m", t.Value)
		}
	}
	e, err := g.ParseString("", text)
	if err != nil {
		return nil, syntaxError(err)
	}
	return e, nil
}

// checkNesting rejects a query that nests too deeply for the parser, which calls itself
// for each level.
func checkNesting(tokens []lexer.Token) error {
	depth := 0
	for _, t := range tokens {
		switch t.Value {
		case "(":
			depth++
		case ")":
			depth--
		}
		if depth > MaxDepth {
			return failAt(t.Pos, "the query has more than %d parentheses within each other", MaxDepth)
		}
	}
	return nil
}

// significant returns tokens without white space, comments and the end mark.
func significant(tokens []lexer.Token) []lexer.Token {
	kinds := grammar().Lexer().Symbols()
	kept := make([]lexer.Token, 0, len(tokens))
	for _, t := range tokens {
		if t.Type != kinds[tokenSpace] && t.Type != kinds[tokenRemark] && !t.EOF() {
			kept = append(kept, t)
		}
	}
	return kept
}

// lexicalError returns the error of text that cannot be split into tokens.
func lexicalError(text string, err error) error {
	var at participle.Error
	if !errors.As(err, &at) {
		return &Error{1, 1, err.Error()}
	}
	rest := text[min(at.Position().Offset, len(text)):]
	switch {
	case strings.HasPrefix(rest, `"`), strings.HasPrefix(rest, "`"):
		return failAt(at.Position(), "the string is not closed")
	case strings.HasPrefix(rest, "'"):
		return failAt(at.Position(), "strings stand in double quotes or backticks, not in single quotes")
	case strings.HasPrefix(rest, "$"):
		return failAt(at.Position(), "variables such as $__interval are Grafana's; write a value in their place")
	}
	return failAt(at.Position(), "unexpected character %q", firstRune(rest))
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

// syntaxError returns an error of the grammar in the package's own form.
func syntaxError(err error) error {
	var unexpected *participle.UnexpectedTokenError
	if errors.As(err, &unexpected) {
		found := strconv.Quote(unexpected.Unexpected.Value)
		if unexpected.Unexpected.EOF() {
			found = "the end of the query"
		}
		if unexpected.Unexpected.Value == "variants" {
			return failAt(unexpected.Position(), "the embedded stack does not serve %q; the real Loki does if that is enabled: dicelab up --stack=native", "variants")
		}
		if want := expected(unexpected); want != "" {
			return failAt(unexpected.Position(), "syntax error: unexpected %s, expected %s", found, want)
		}
		return failAt(unexpected.Position(), "syntax error: unexpected %s", found)
	}
	var at participle.Error
	if errors.As(err, &at) {
		return failAt(at.Position(), "syntax error: %s", at.Message())
	}
	return &Error{1, 1, "syntax error: " + err.Error()}
}

// expected returns the name of the token that the grammar expected, or "". It reads
// participle's message, which ends in "(expected X)".
func expected(err *participle.UnexpectedTokenError) string {
	_, want, _ := strings.Cut(err.Message(), "(expected ")
	want = strings.TrimSuffix(want, ")")
	switch {
	case strings.HasPrefix(want, "Quoted"):
		return "a string in quotes"
	case strings.HasPrefix(want, "<ident>"):
		return "a name"
	case strings.Count(want, `"`) == 2 && strings.HasPrefix(want, `"`) && strings.HasSuffix(want, `"`):
		return want
	}
	return ""
}

// failAt returns an Error at a place in the query.
func failAt(at lexer.Position, format string, args ...any) error {
	return &Error{max(at.Line, 1), max(at.Column, 1), fmt.Sprintf(format, args...)}
}

// text returns the string without its quotes.
func (q *quoted) text() (string, error) {
	if strings.HasPrefix(q.Raw, "`") {
		return q.Raw[1 : len(q.Raw)-1], nil
	}
	s, err := strconv.Unquote(q.Raw)
	if err != nil {
		return "", failAt(q.Pos, "the string %s has an escape sequence that does not exist; a string in backticks has no escapes", q.Raw)
	}
	return s, nil
}

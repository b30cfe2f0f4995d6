package logql

import (
	"fmt"
	"slices"

	"github.com/alecthomas/participle/v2/lexer"
)

// Constructs of LogQL that the embedded stack does not serve are found among the tokens,
// before the grammar parses them, so that the error can name them. A construct that is
// added to the grammar must be removed here.

// unserved returns the error for a construct that Loki would accept.
func unserved(at lexer.Position, format string, args ...any) error {
	return failAt(at, "the embedded stack does not serve %s; the real Loki does: dicelab up --stack=native", fmt.Sprintf(format, args...))
}

// unservedStage reports whether a word after a pipe opens a stage that is not served.
func unservedStage(word string) bool {
	switch word {
	case "logfmt", "regexp", "pattern", "unpack", "line_format", "label_format", "unwrap",
		"decolorize", "drop", "keep", "distinct":
		return true
	}
	return false
}

// unservedFunction reports whether a word before a parenthesis, by or without is a
// function that is not served.
func unservedFunction(word string) bool {
	switch word {
	case "avg", "min", "max", "count", "stddev", "stdvar", "topk", "bottomk", "approx_topk", "sort", "sort_desc",
		"label_replace", "vector", "ip", "duration", "duration_seconds", "bytes",
		"rate_counter", "absent_over_time", "sum_over_time", "avg_over_time",
		"min_over_time", "max_over_time", "first_over_time", "last_over_time", "stdvar_over_time",
		"stddev_over_time", "quantile_over_time", "variants":
		return true
	}
	return false
}

// findUnserved returns the error for the first construct that is not served, or nil.
func findUnserved(tokens []lexer.Token) error {
	if len(tokens) == 0 {
		return &Error{1, 1, `the query is empty; the shortest is a stream selector, such as {service_name="dice-roller"}`}
	}
	places := outside(tokens)
	for i, t := range tokens {
		at := func(n int) string {
			if i+n < 0 || i+n >= len(tokens) {
				return ""
			}
			return tokens[i+n].Value
		}
		switch {
		case at(0) == "|" && unservedStage(at(1)) && !isComparison(at(2)):
			return unserved(tokens[i+1].Pos, "the stage %q", "| "+at(1))
		case at(0) == "|" && at(1) == "json" && isIdent(tokens, i+2):
			return unserved(tokens[i+2].Pos, "%q with parameters", "| json")
		case at(0) == "|>" || at(0) == "!>":
			return unserved(t.Pos, "the pattern filter %q", at(0))
		case unservedFunction(at(0)) && slices.Contains([]string{"(", "by", "without"}, at(1)):
			return unserved(t.Pos, "the function %q", at(0))
		case at(0) == "sum" && at(1) == "(" && (at(2) == "sum" || at(2) == "("):
			return unserved(tokens[i+2].Pos, "anything but a function of a range directly inside sum")
		case at(0) == "without" && at(1) == "(":
			return unserved(t.Pos, "the grouping %q", "without")
		case at(-1) == "]" && (at(0) == "offset" || at(0) == "@"):
			return unserved(t.Pos, "the modifier %q", at(0))
		case at(-1) == "[" && t.Type != grammar().Lexer().Symbols()[tokenDuration]:
			return failAt(t.Pos, "syntax error: unexpected %q, expected a duration, such as 5m", at(0))
		case places[i] && isBinary(t):
			return unserved(t.Pos, "arithmetic and comparisons of metrics (%q)", at(0))
		}
	}
	return nil
}

// outside reports for each token whether it stands outside the parentheses of the
// functions of ranges, in a query that has one: there an operator would combine
// metrics, inside it belongs to a filter.
func outside(tokens []lexer.Token) []bool {
	var opened []bool // for each open parenthesis: whether it, or one around it, is of a range function
	places := make([]bool, len(tokens))
	metric := slices.ContainsFunc(tokens, func(t lexer.Token) bool { return t.Value == "[" })
	for i, t := range tokens {
		inRange := len(opened) > 0 && opened[len(opened)-1]
		switch t.Value {
		case "(":
			opened = append(opened, inRange || i > 0 && slices.Contains(rangeFunctions(), tokens[i-1].Value))
		case ")":
			opened = opened[:max(len(opened)-1, 0)]
		}
		places[i] = metric && !inRange
	}
	return places
}

// rangeFunctions are the functions of a range that are served.
func rangeFunctions() []string {
	return []string{"rate", "count_over_time", "bytes_rate", "bytes_over_time"}
}

func isIdent(tokens []lexer.Token, i int) bool {
	return i < len(tokens) && tokens[i].Type == grammar().Lexer().Symbols()[tokenIdent]
}

func isComparison(text string) bool {
	return slices.Contains([]string{"=", "==", "!=", "=~", "!~", ">", ">=", "<", "<="}, text)
}

// isBinary reports whether a token can only be there to combine metrics.
func isBinary(t lexer.Token) bool {
	return slices.Contains([]string{"+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<=", "and", "or", "unless"}, t.Value) ||
		t.Type == grammar().Lexer().Symbols()[tokenNumber]
}

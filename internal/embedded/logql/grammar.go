package logql

import (
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// The grammar needs one token of lookahead everywhere, so that an error is
// reported where it is and no input makes the parser backtrack.
type (
	expr struct {
		Paren  *expr       `parser:"  '(' @@ ')'"`
		Metric *metricExpr `parser:"| @@"`
		Log    *logExpr    `parser:"| @@"`
	}

	metricExpr struct {
		Sum   *sumExpr   `parser:"  @@"`
		Range *rangeExpr `parser:"| @@"`
	}

	sumExpr struct {
		Before *grouping  `parser:"'sum' @@?"`
		Inner  *rangeExpr `parser:"'(' @@ ')'"`
		After  *grouping  `parser:"@@?"`
		Pos    lexer.Position
	}

	grouping struct {
		Pos   lexer.Position
		Names []string `parser:"'by' '(' ( @Ident ( ',' @Ident )* )? ')'"`
	}

	// rangeExpr accepts the range after the selector or after the pipeline, as Loki
	// does.
	rangeExpr struct {
		Pos      lexer.Position
		Func     string    `parser:"@( 'rate' | 'count_over_time' | 'bytes_rate' | 'bytes_over_time' ) '('"`
		Selector *selector `parser:"@@"`
		Early    *duration `parser:"@@?"`
		Stages   []*stage  `parser:"@@*"`
		Late     *duration `parser:"@@? ')'"`
	}

	duration struct {
		Pos  lexer.Position
		Text string `parser:"'[' @Duration ']'"`
	}

	logExpr struct {
		Selector *selector `parser:"@@"`
		Stages   []*stage  `parser:"@@*"`
	}

	selector struct {
		Pos      lexer.Position
		Matchers []*matcher `parser:"'{' ( @@ ( ',' @@ )* ','? )? '}'"`
	}

	matcher struct {
		Pos   lexer.Position
		Name  string  `parser:"@Ident"`
		Op    string  `parser:"@( '=' | '!=' | '=~' | '!~' )"`
		Value *quoted `parser:"@@"`
	}

	// quoted keeps its quotes until it is compiled: participle compares literals
	// of the grammar with the text of tokens of any kind, and the string "or"
	// must not be taken for the word.
	quoted struct {
		Pos lexer.Position
		Raw string `parser:"@String"`
	}

	stage struct {
		Pos    lexer.Position
		Line   *lineFilter `parser:"  @@"`
		JSON   bool        `parser:"| '|' ( @'json'"`
		Filter *orFilter   `parser:"      | @@ )"`
	}

	lineFilter struct {
		Pos    lexer.Position
		Op     string    `parser:"@( '|=' | '!=' | '|~' | '!~' )"`
		Values []*quoted `parser:"@@ ( 'or' @@ )*"`
	}

	orFilter struct {
		Terms []*andFilter `parser:"@@ ( 'or' @@ )*"`
	}

	andFilter struct {
		Terms []*termFilter `parser:"@@ ( 'and' @@ )*"`
	}

	// termFilter is one condition. What follows a comma, or stands beside it
	// without one, extends as far as it can: "a, b or c" is "a and (b or c)",
	// as in Loki, where the comma has no precedence of its own.
	termFilter struct {
		Paren *orFilter  `parser:"( '(' @@ ')'"`
		Cond  *condition `parser:"| @@ )"`
		Rest  *orFilter  `parser:"( ','? @@ )?"`
	}

	condition struct {
		Pos   lexer.Position
		Name  string `parser:"@Ident"`
		Op    string `parser:"@( '=' | '!=' | '=~' | '!~' | '==' | '>=' | '<=' | '>' | '<' )"`
		Value *value `parser:"@@"`
	}

	value struct {
		Text     *quoted `parser:"  @@"`
		Sign     string  `parser:"| @( '+' | '-' )?"`
		Duration *string `parser:"  ( @Duration"`
		Bytes    *string `parser:"  | @Bytes"`
		Number   *string `parser:"  | @Number )"`
	}
)

// Kinds of tokens that the grammar and the search for unserved constructs name.
const (
	tokenIdent    = "Ident"
	tokenString   = "String"
	tokenNumber   = "Number"
	tokenDuration = "Duration"
	tokenSpace    = "Space"
	tokenRemark   = "Remark"
)

// grammar returns the parser. It is built once, for the first query: most processes of
// this program never parse one. It never changes.
var grammar = sync.OnceValue(func() *participle.Parser[expr] {
	tokens := lexer.MustSimple([]lexer.SimpleRule{
		{Name: tokenSpace, Pattern: `\s+`},
		{Name: tokenRemark, Pattern: `#[^\n]*`},
		{Name: tokenString, Pattern: `"(\\.|[^"\\\n])*"|` + "`[^`]*`"},
		{Name: tokenDuration, Pattern: `(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h|d|w|y))+\b`},
		{Name: "Bytes", Pattern: `\d+(\.\d+)?(?i:[kmgtpe]?i?b)\b`},
		{Name: tokenNumber, Pattern: `(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?`},
		{Name: "Keyword", Pattern: `(or|and|unless|by|without)\b`},
		{Name: tokenIdent, Pattern: `[a-zA-Z_][a-zA-Z0-9_]*`},
		{Name: "Operator", Pattern: `\|=|\|~|\|>|!=|!~|!>|=~|==|>=|<=|[-+*/%^@:|{}()\[\],=<>]`},
	})
	return participle.MustBuild[expr](
		participle.Lexer(tokens),
		participle.Elide(tokenSpace, tokenRemark),
		participle.UseLookahead(1),
	)
})

package logql

import (
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// The grammar needs one token of lookahead, except where a group (?= ...) looks further,
// so that an error is reported where it is and no input makes the parser backtrack.
type (
	// expr keeps its operators as a list: the compiler applies their precedence.
	expr struct {
		Left *operand     `parser:"@@"`
		Rest []*operation `parser:"@@*"`
	}

	operand struct {
		Pos     lexer.Position
		Paren   *expr         `parser:"  '(' @@ ')'"`
		Vector  *number       `parser:"| 'vector' '(' @@ ')'"`
		Replace *labelReplace `parser:"| 'label_replace' '(' @@ ')'"`
		Sum     *aggregation  `parser:"| @@"`
		Range   *rangeExpr    `parser:"| @@"`
		Number  *number       `parser:"| @@"`
		Log     *logExpr      `parser:"| @@"`
	}

	number struct {
		Pos  lexer.Position
		Sign string `parser:"@( '+' | '-' )?"`
		Text string `parser:"@Number"`
	}

	operation struct {
		Pos      lexer.Position
		Op       string    `parser:"@( 'or' | 'and' | 'unless' | '==' | '!=' | '>=' | '<=' | '>' | '<' | '+' | '-' | '*' | '/' | '%' | '^' )"`
		Bool     bool      `parser:"@'bool'?"`
		Matching *matching `parser:"@@?"`
		Right    *operand  `parser:"@@"`
	}

	matching struct {
		How    string    `parser:"@( 'on' | 'ignoring' )"`
		Names  []string  `parser:"'(' ( @Ident ( ',' @Ident )* )? ')'"`
		Side   string    `parser:"( @( 'group_left' | 'group_right' )"`
		Shared *nameList `parser:"  ( (?= '(' ( ')' | Ident ( ',' | ')' ) ) ) @@ )? )?"`
	}

	nameList struct {
		Names []string `parser:"'(' ( @Ident ( ',' @Ident )* )? ')'"`
	}

	aggregation struct {
		Pos    lexer.Position
		Func   string    `parser:"@( 'sum' | 'avg' | 'min' | 'max' | 'count' | 'stddev' | 'stdvar' | 'topk' | 'bottomk' | 'approx_topk' | 'sort' | 'sort_desc' )"`
		Before *grouping `parser:"@@?"`
		Param  *string   `parser:"'(' ( (?= Number ',') @Number ',' )?"`
		Inner  *expr     `parser:"@@ ')'"`
		After  *grouping `parser:"@@?"`
	}

	grouping struct {
		Pos   lexer.Position
		How   string   `parser:"@( 'by' | 'without' )"`
		Names []string `parser:"'(' ( @Ident ( ',' @Ident )* )? ')'"`
	}

	labelReplace struct {
		Inner *expr     `parser:"@@"`
		Args  []*quoted `parser:"( ',' @@ )*"`
	}

	rangeExpr struct {
		Pos   lexer.Position
		Func  string    `parser:"@( 'rate' | 'rate_counter' | 'count_over_time' | 'bytes_rate' | 'bytes_over_time' | 'sum_over_time' | 'avg_over_time' | 'min_over_time' | 'max_over_time' | 'stddev_over_time' | 'stdvar_over_time' | 'quantile_over_time' | 'first_over_time' | 'last_over_time' | 'absent_over_time' )"`
		Param *string   `parser:"'(' ( (?= Number ',') @Number ',' )?"`
		Of    *logRange `parser:"@@ ')'"`
		After *grouping `parser:"@@?"`
	}

	// logRange accepts the range after the selector or after the pipeline, as Loki does.
	logRange struct {
		Pos      lexer.Position
		Inner    *logRange    `parser:"( '(' @@ ')'"`
		Selector *selector    `parser:"| @@ )"`
		Parts    []*rangePart `parser:"@@*"`
	}

	rangePart struct {
		Pos    lexer.Position
		Range  *string `parser:"  '[' @Duration ']'"`
		Offset *offset `parser:"| 'offset' @@"`
		Stage  *stage  `parser:"| @@"`
	}

	offset struct {
		Sign string `parser:"@'-'?"`
		Text string `parser:"@Duration"`
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
		Pos     lexer.Position
		Line    *lineFilter `parser:"  @@"`
		JSON    *parserCall `parser:"| '|' ( 'json' @@"`
		Logfmt  *parserCall `parser:"  | 'logfmt' @@"`
		Regexp  *quoted     `parser:"  | 'regexp' @@"`
		Pattern *quoted     `parser:"  | 'pattern' @@"`
		Unpack  bool        `parser:"  | @'unpack'"`
		Color   bool        `parser:"  | @'decolorize'"`
		Format  *quoted     `parser:"  | 'line_format' @@"`
		Labels  []*format   `parser:"  | 'label_format' @@ ( ',' @@ )*"`
		Drop    []*named    `parser:"  | 'drop' @@ ( ',' @@ )*"`
		Keep    []*named    `parser:"  | 'keep' @@ ( ',' @@ )*"`
		Unwrap  *unwrap     `parser:"  | 'unwrap' @@"`
		Filter  *orFilter   `parser:"  | @@ )"`
	}

	// parserCall is what follows the name of a parser: its flags, and the labels that it
	// extracts if these are not all.
	parserCall struct {
		Flags []string      `parser:"@Flag*"`
		Only  []*extraction `parser:"( @@ ( ',' @@ )* )?"`
	}

	extraction struct {
		Pos  lexer.Position
		Name string  `parser:"@Ident"`
		Path *quoted `parser:"( '=' @@ )?"`
	}

	format struct {
		Pos      lexer.Position
		Name     string  `parser:"@Ident '='"`
		From     string  `parser:"( @Ident"`
		Template *quoted `parser:"| @@ )"`
	}

	named struct {
		Pos   lexer.Position
		Name  string  `parser:"@Ident"`
		Op    string  `parser:"( @( '=' | '!=' | '=~' | '!~' )"`
		Value *quoted `parser:"  @@ )?"`
	}

	unwrap struct {
		Pos  lexer.Position
		Name string `parser:"@Ident"`
		Of   string `parser:"( '(' @Ident ')' )?"`
	}

	lineFilter struct {
		Pos    lexer.Position
		Op     string      `parser:"@( '|=' | '!=' | '|~' | '!~' | '|>' | '!>' )"`
		Values []*lineText `parser:"@@ ( 'or' @@ )*"`
	}

	lineText struct {
		IP   *quoted `parser:"  'ip' '(' @@ ')'"`
		Text *quoted `parser:"| @@"`
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
		Name  string   `parser:"@Ident"`
		Op    string   `parser:"@( '=' | '!=' | '=~' | '!~' | '==' | '>=' | '<=' | '>' | '<' )"`
		Value *literal `parser:"@@"`
	}

	literal struct {
		Text     *quoted `parser:"  @@"`
		IP       *quoted `parser:"| 'ip' '(' @@ ')'"`
		Sign     string  `parser:"| @( '+' | '-' )?"`
		Duration *string `parser:"  ( @Duration"`
		Bytes    *string `parser:"  | @Bytes"`
		Number   *string `parser:"  | @Number )"`
	}
)

// Kinds of tokens that the parser names.
const (
	tokenSpace    = "Space"
	tokenRemark   = "Remark"
	tokenDuration = "Duration"
)

// grammar returns the parser. It is built once, for the first query: most processes of
// this program never parse one. It never changes.
var grammar = sync.OnceValue(func() *participle.Parser[expr] {
	tokens := lexer.MustSimple([]lexer.SimpleRule{
		{Name: tokenSpace, Pattern: `\s+`},
		{Name: tokenRemark, Pattern: `#[^\n]*|//[^\n]*|/\*(?s:.*?)\*/`},
		{Name: "String", Pattern: `"(\\.|[^"\\\n])*"|` + "`[^`]*`"},
		{Name: tokenDuration, Pattern: `(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h|d|w|y))+\b`},
		{Name: "Bytes", Pattern: `\d+(\.\d+)?(?i:[kmgtpe]?i?b)\b`},
		{Name: "Number", Pattern: `(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?`},
		{Name: "Flag", Pattern: `--(strict|keep-empty)\b`},
		{Name: "Keyword", Pattern: `(?i:or|and|unless|by|without|bool|on|ignoring|group_left|group_right|offset)\b`},
		{Name: "Ident", Pattern: `[a-zA-Z_][a-zA-Z0-9_]*`},
		{Name: "Operator", Pattern: `\|=|\|~|\|>|!=|!~|!>|=~|==|>=|<=|[-+*/%^@:|{}()\[\],=<>]`},
	})
	return participle.MustBuild[expr](
		participle.Lexer(tokens),
		participle.Elide(tokenSpace, tokenRemark),
		participle.CaseInsensitive("Keyword", "Ident"),
		participle.UseLookahead(1),
	)
})

package traceql

import (
	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// The grammar. It also accepts text that follows a valid query, or cannot be part of one,
// so that the error can name it.
type (
	queryNode struct {
		Spanset *spansetNode `parser:"@@"`
		Metric  *metricNode  `parser:"@@?"`
		Tail    *tailNode    `parser:"@@?"`
	}
	metricNode struct {
		Pos  lexer.Position
		Func string      `parser:"(?= '|' ('rate'|'count_over_time') '(' ')') '|' @Word '(' ')'"`
		By   []fieldNode `parser:"( 'by' '(' @@ ( ',' @@ )* ')' )?"`
	}
	// Spansets below this one, and counts, come after its closing brace: only the last
	// spanset can be open.
	spansetNode struct {
		Where  *whereNode   `parser:"'{' @@?"`
		Close  string       `parser:"( @'}'"`
		Below  *belowNode   `parser:"@@?"`
		Counts []*countNode `parser:"@@* )?"`
	}
	belowNode struct {
		Pos     lexer.Position
		Op      string       `parser:"(?= ('>'|'>>') '{') @('>'|'>>')"`
		Spanset *spansetNode `parser:"@@"`
	}
	countNode struct {
		Pos    lexer.Position
		Op     string `parser:"(?= '|' 'count' '(' ')') '|' 'count' '(' ')' ( @('='|'!='|'<'|'<='|'>'|'>=')"`
		Number string `parser:"@Number )?"`
	}
	tailNode struct {
		Pos   lexer.Position
		First string   `parser:"@(Operator|Punct|Word|Field|Number|Duration|String|Raw|Open)"`
		Rest  []string `parser:"@(Operator|Punct|Word|Field|Number|Duration|String|Raw|Open)*"`
	}
	// && and || have one precedence, from left to right: a || b && c is (a || b) && c.
	whereNode struct {
		First *termNode   `parser:"@@"`
		Rest  []*joinNode `parser:"@@*"`
	}
	joinNode struct {
		Op   string    `parser:"@('&&'|'||')"`
		Term *termNode `parser:"@@"`
	}
	termNode struct {
		Group     *whereNode     `parser:"( '(' @@ ')'"`
		Condition *conditionNode `parser:"| @@ )"`
	}
	conditionNode struct {
		Pos   lexer.Position
		Field fieldNode  `parser:"@@"`
		Op    string     `parser:"( @('='|'!='|'=~'|'!~'|'<'|'<='|'>'|'>=')"`
		Value *valueNode `parser:"@@ )?"`
	}
	fieldNode struct {
		Pos  lexer.Position
		Text string `parser:"@(Field|Word)"`
	}
	valueNode struct {
		Pos      lexer.Position
		String   *string `parser:"( @String"`
		Raw      *string `parser:"| @Raw"`
		Duration *string `parser:"| @Duration"`
		Number   *string `parser:"| @Number"`
		Word     *string `parser:"| @(Word|Field)"`
		Open     *string `parser:"| @Open )"`
	}
)

// newParser returns a parser, which may be used many times and from many goroutines. It
// fails only if the grammar above is wrong.
func newParser() (*participle.Parser[queryNode], error) {
	tokens, err := lexer.NewSimple([]lexer.SimpleRule{
		{Name: "Space", Pattern: `\s+`},
		{Name: "String", Pattern: `"(\\.|[^"\\])*"`},
		{Name: "Raw", Pattern: "`[^`]*`"},
		{Name: "Duration", Pattern: `-?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+`},
		{Name: "Number", Pattern: `-?\d+(\.\d+)?([eE][-+]?\d+)?`},
		// A name goes on until something that cannot be part of it (TraceQL's
		// "attribute" token); a part with such characters is quoted.
		{Name: "Field", Pattern: `[a-zA-Z]*\.("(\\.|[^"\\])*"|[^\s{}()=~!<>&|^,"` + "`" + `])+`},
		{Name: "Word", Pattern: `[a-zA-Z_]+(:[a-zA-Z]+)?`},
		{Name: "Operator", Pattern: `&&|\|\||=~|!~|!=|<=|>=|!>>|!<<|&>>|&<<|>>|<<|=|<|>|!|~|\|`},
		{Name: "Open", Pattern: "[\"`][\\s\\S]*"}, // text that does not end
		{Name: "Punct", Pattern: `.`},
	})
	if err != nil {
		return nil, err
	}
	return participle.Build[queryNode](participle.Lexer(tokens), participle.Elide("Space"))
}

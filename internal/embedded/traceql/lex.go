package traceql

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
)

// Error describes an error in a query and its place, in Tempo's form.
type Error struct {
	Line, Column int // from 1; the column counts characters
	Message      string
}

// Error returns the message and its place.
func (e *Error) Error() string {
	return fmt.Sprintf("invalid TraceQL query: parse error at line %d, col %d: %s", e.Line, e.Column, e.Message)
}

// kind is the kind of a token.
type kind int

const (
	end        kind = iota // of the query
	operator               // or a brace, a parenthesis, a comma
	identifier             // also with a colon, such as trace:id
	attribute              // token.field
	literal                // token.value: a number, a duration or a text
)

// token is a part of a query.
type token struct {
	kind  kind
	text  string // as it was written
	at    int    // its place in the query, in bytes
	field Field  // of an attribute
	value Value  // of a literal
}

// operators are those of the language, the longest first.
func operators() []string {
	return []string{
		"&>>", "&<<", "!>>", "!<<", "&&", "||", "=~", "!~", "!=", "<=", ">=", "!>", "!<", "&>", "&<", "&~", ">>", "<<",
		"{", "}", "(", ")", ",", "|", "=", "<", ">", "!", "~", "+", "-", "*", "/", "%", "^",
	}
}

// inName reports whether an unquoted name of an attribute can have the character.
func inName(r rune) bool {
	return !unicode.IsSpace(r) && !strings.ContainsRune("{}()=~!<>&|^,\"`", r)
}

// lexer splits a query into tokens.
type lexer struct {
	text string
	at   int
	ops  []string
}

// lex returns the tokens of a query. The last one is its end.
func lex(text string) ([]token, error) {
	if len(text) > MaxLength {
		return nil, &Error{1, 1, fmt.Sprintf("the query has %d bytes: at most %d are allowed", len(text), MaxLength)}
	}
	if !utf8.ValidString(text) {
		return nil, &Error{1, 1, "the query is not UTF-8"}
	}
	l := &lexer{text: text, ops: operators()}
	var tokens []token
	for {
		t, message := l.next()
		if message != "" {
			return nil, errorAt(text, t.at, "%s", message)
		}
		if tokens = append(tokens, t); t.kind == end {
			return tokens, nil
		}
	}
}

// errorAt returns an error at a place in a query.
func errorAt(text string, at int, format string, args ...any) *Error {
	before := text[:min(at, len(text))]
	line := strings.LastIndexByte(before, '\n') + 1
	return &Error{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[line:]) + 1, fmt.Sprintf(format, args...)}
}

// next returns the next token, or what is wrong with it.
func (l *lexer) next() (t token, message string) {
	l.at += len(l.text[l.at:]) - len(strings.TrimLeftFunc(l.text[l.at:], unicode.IsSpace))
	t.at = l.at
	rest := l.text[l.at:]
	defer func() { t.text = l.text[t.at:l.at] }()
	switch {
	case rest == "":
		return t, ""
	case rest[0] == '"' || rest[0] == '`':
		return l.quoted(t, rest)
	case digit(rest[0]) || rest[0] == '.' && len(rest) > 1 && digit(rest[1]):
		return l.number(t, rest)
	case rest[0] == '.':
		return l.attribute(t, "", 1)
	}
	if n := wordLength(rest); n > 0 {
		name := rest[:n]
		if _, ok := scopeNames()[name]; ok && strings.HasPrefix(rest[n:], ".") {
			return l.attribute(t, name, n+1)
		}
		if name == "parent" && strings.HasPrefix(rest[n:], ".") {
			return t, "parent. is not supported, neither here nor by Tempo: use { … } > { … } for conditions on a parent"
		}
		if more := strings.TrimPrefix(rest[n:], ":"); len(more) < len(rest[n:]) {
			n += 1 + wordLength(more)
		}
		t.kind = identifier
		l.at += n
		return t, ""
	}
	for _, op := range l.ops {
		if strings.HasPrefix(rest, op) {
			t.kind = operator
			l.at += len(op)
			return t, ""
		}
	}
	_, size := utf8.DecodeRuneInString(rest)
	l.at += size
	return t, fmt.Sprintf("syntax error: %q is not part of the language", rest[:size])
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// wordLength returns the length of the word with which a text begins.
func wordLength(text string) int {
	for i, r := range text {
		if !(r == '_' || unicode.IsLetter(r) || i > 0 && unicode.IsDigit(r)) {
			return i
		}
	}
	return len(text)
}

func (l *lexer) quoted(t token, rest string) (token, string) {
	prefix, err := strconv.QuotedPrefix(rest)
	if err != nil && rest[0] == '"' { // QuotedPrefix allows no line feeds
		end := 1
		for ; end < len(rest) && rest[end] != '"'; end++ {
			if rest[end] == '\\' {
				end++
			}
		}
		if end < len(rest) {
			l.at += end + 1
			return t, "syntax error: text " + rest[:end+1] + " has an unknown escape or a line feed: write it in backquotes"
		}
	}
	if err != nil {
		l.at = len(l.text)
		return t, "syntax error: a text has no closing " + rest[:1]
	}
	text, err := strconv.Unquote(prefix)
	l.at += len(prefix)
	if err != nil {
		return t, "syntax error: text " + prefix + " cannot be read: write it in backquotes"
	}
	t.kind, t.value = literal, textValue(text)
	return t, ""
}

// number reads a number or a duration, such as 100, 1.5, 1e3, 1.5h or 1h30m.
func (l *lexer) number(t token, rest string) (token, string) {
	n, last := len(rest), ' '
	for i, r := range rest {
		exponent := (r == '+' || r == '-') && (last == 'e' || last == 'E')
		if last = r; r != '.' && !unicode.IsDigit(r) && !unicode.IsLetter(r) && !exponent {
			n = i
			break
		}
	}
	t.kind = literal
	text := rest[:n]
	l.at += n
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		t.value = intValue(i)
	} else if f, err := strconv.ParseFloat(text, 64); err == nil {
		t.value = floatValue(f)
	} else if d, err := time.ParseDuration(text); err == nil {
		t.value = Value{Type: TypeDuration, Int: int64(d)}
	} else if d, err := model.ParseDuration(text); err == nil {
		t.value = Value{Type: TypeDuration, Int: int64(d)}
	} else {
		return t, "syntax error: " + text + " is neither a number nor a duration such as 100ms, 1.5s or 1h"
	}
	return t, ""
}

// attribute reads the name of an attribute, which begins skip bytes further on.
func (l *lexer) attribute(t token, scope string, skip int) (token, string) {
	l.at += skip
	start := l.at
	for l.at < len(l.text) {
		r, size := utf8.DecodeRuneInString(l.text[l.at:])
		if r == '"' {
			prefix, err := strconv.QuotedPrefix(l.text[l.at:])
			if err != nil {
				return t, "syntax error: the name of an attribute has a quote that is not closed, or an unknown escape"
			}
			size = len(prefix)
		} else if !inName(r) {
			break
		}
		l.at += size
	}
	name, err := unquoteParts(l.text[start:l.at])
	if err != nil {
		return t, "syntax error: " + err.Error()
	}
	if name == "" {
		return t, "syntax error: the name of an attribute is missing after " + scope + "."
	}
	t.kind, t.field = attribute, Field{scopeNames()[scope], name}
	return t, ""
}

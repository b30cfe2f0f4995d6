package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dustin/go-humanize"
	"golang.org/x/net/http/httpguts"

	"dicelab/internal/web"
)

// The types of flags and arguments whose text is more than a word.
type (
	Address string  // host:port to listen on
	URL     string  // an absolute URL of http or https
	Host    string  // a name that a server answers to
	Origin  string  // an origin of the web, or * for all
	Path    string  // the path below which pages are served
	Header  string  // NAME=VALUE of HTTP
	Share   float64 // from 0 to 1
	Count   int     // of things, above 0; 0 if not given
	Size    int64   // of bytes
)

// Texts returns the texts of values.
func Texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// Seed is a number from which chance starts.
type Seed struct {
	N     uint64
	Given bool
}

// Or returns the seed, or n if none was given.
func (s Seed) Or(n uint64) uint64 {
	if s.Given {
		return s.N
	}
	return n
}

// mappers returns the parsers of the types of this package and of plain values.
func mappers() []kong.Option {
	return []kong.Option{
		kong.KindMapper(reflect.Bool, switchMapper{}), kong.KindMapper(reflect.String, mapper[string](parseWord)),
		typeMapper(parseDuration), typeMapper(parseSize), typeMapper(parseShare), typeMapper(parseCount),
		typeMapper(parseSeed),
		typeMapper(checked[Address](checkAddress)), typeMapper(checked[URL](checkURL)),
		Text[Host](web.CheckHost), Text[Origin](web.CheckOrigin), Text[Path](web.CheckBasePath), Text[Header](checkHeader),
	}
}

// Text returns the option that makes T a type of flags, whose text check accepts.
func Text[T ~string](check func(text string) error) kong.Option {
	return typeMapper(checked[T](func(_ *kong.Value, text string) error { return check(text) }))
}

// Value returns the option that makes T a type of flags, which parse reads.
func Value[T any](parse func(text string) (T, error)) kong.Option {
	return typeMapper(func(_ *kong.Value, text string) (T, error) { return parse(text) })
}

// mapper parses the text of a flag or an argument.
type mapper[T any] func(v *kong.Value, text string) (T, error)

func typeMapper[T any](m mapper[T]) kong.Option { return kong.TypeMapper(reflect.TypeFor[T](), m) }

// Decode implements kong.Mapper. Its errors are of type *valueError.
func (m mapper[T]) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Pop()
	if token.IsEOL() {
		return &valueError{ctx.Value, "", errNoValue}
	}
	text := token.String()
	if text == "" && ctx.Value.Tag.Has("none") {
		target.SetZero()
		return nil
	}
	parsed, err := m(ctx.Value, text)
	if err != nil {
		return &valueError{ctx.Value, text, err}
	}
	target.Set(reflect.ValueOf(parsed).Convert(target.Type()))
	return nil
}

// PlaceHolder implements kong.PlaceHolderProvider.
func (m mapper[T]) PlaceHolder(f *kong.Flag) string {
	return cmp.Or(f.PlaceHolder, f.Default, strings.ToUpper(f.Name))
}

// switchMapper parses flags that may stand without a value.
type switchMapper struct{}

// IsBool implements kong.BoolMapper.
func (switchMapper) IsBool() bool { return true }

// Decode implements kong.Mapper.
func (switchMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	on := true
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		text := ctx.Scan.Pop().String()
		var err error
		if on, err = strconv.ParseBool(text); err != nil {
			return &valueError{ctx.Value, text, errors.New("want true or false")}
		}
	}
	target.SetBool(on)
	return nil
}

// errNoValue is the cause of a valueError for an empty text.
var errNoValue = errors.New("needs a value")

// valueError reports the text of a flag or an argument that is refused.
type valueError struct {
	value *kong.Value
	text  string
	err   error
}

func (e *valueError) Error() string {
	name := "--" + e.value.Name
	if e.value.Flag == nil {
		name = e.value.Name
	}
	if errors.Is(e.err, errNoValue) {
		return name + " " + e.err.Error()
	}
	return fmt.Sprintf("%s %s: %v", name, cmp.Or(e.text, `""`), e.err)
}

// checked returns the mapper of a text that check accepts.
func checked[T ~string](check func(v *kong.Value, text string) error) mapper[T] {
	return func(v *kong.Value, text string) (T, error) { return T(text), check(v, text) }
}

func parseWord(v *kong.Value, text string) (string, error) {
	if v.Enum != "" && !slices.Contains(v.EnumSlice(), text) {
		return "", errors.New("choose " + strings.Join(v.EnumSlice(), " or "))
	}
	return text, nil
}

func parseDuration(v *kong.Value, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	least, err1 := time.ParseDuration(v.Tag.Get("min"))
	most, err2 := time.ParseDuration(v.Tag.Get("max"))
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("the tags of the flag: %w", errors.Join(err1, err2))
	}
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("want a duration from %s to %s, such as %s", v.Tag.Get("min"), v.Tag.Get("max"), v.Default)
	}
	return d, nil
}

func parseSize(v *kong.Value, text string) (Size, error) {
	n, err := humanize.ParseBytes(text)
	least, err1 := humanize.ParseBytes(v.Tag.Get("min"))
	most, err2 := humanize.ParseBytes(v.Tag.Get("max"))
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("the tags of the flag: %w", errors.Join(err1, err2))
	}
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("want a size from %s to %s, such as %s", v.Tag.Get("min"), v.Tag.Get("max"), v.Default)
	}
	return Size(n), nil
}

// String writes a size in the largest unit that it is a multiple of.
func (n Size) String() string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return fmt.Sprint(int64(n), units[i])
}

func checkAddress(v *kong.Value, text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("want host:port, such as %s", cmp.Or(v.Default, "127.0.0.1:0"))
	}
	return nil
}

func checkURL(v *kong.Value, text string) error {
	if web.CheckURL(text) != nil {
		return fmt.Errorf("want an address such as %s", cmp.Or(v.Default, "http://localhost:8102"))
	}
	return nil
}

func checkHeader(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("write it as NAME=VALUE, such as X-Scope-OrgID=team")
	}
	return nil
}

func parseShare(_ *kong.Value, text string) (Share, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, errors.New("want a number from 0 to 1")
	}
	return Share(v), nil
}

func parseCount(_ *kong.Value, text string) (Count, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errors.New("want a whole number above 0")
	}
	return Count(n), nil
}

func parseSeed(_ *kong.Value, text string) (Seed, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return Seed{}, errors.New("want a whole number from 0 to 2^64-1")
	}
	return Seed{n, true}, nil
}

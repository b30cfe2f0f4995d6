package logql

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/dustin/go-humanize"

	"dicelab/internal/embedded/pattern"
)

// functions returns the functions of templates that Loki documents ("Template functions"):
// those of Sprig that it names, and its own.
func (f *formatter) functions() template.FuncMap {
	out := template.FuncMap{
		"__line__":      func() string { return f.entry.Text },
		"__timestamp__": func() time.Time { return time.Unix(0, f.entry.input.Time) },

		"ToLower": strings.ToLower, "ToUpper": strings.ToUpper, "Replace": strings.Replace, "Trim": strings.Trim,
		"TrimLeft": strings.TrimLeft, "TrimRight": strings.TrimRight, "TrimPrefix": strings.TrimPrefix,
		"TrimSuffix": strings.TrimSuffix, "TrimSpace": strings.TrimSpace,

		"regexReplaceAll": func(expr, text, with string) (string, error) {
			re, err := expression(expr)
			if err != nil {
				return "", err
			}
			return re.ReplaceAllString(text, with), nil
		},
		"regexReplaceAllLiteral": func(expr, text, with string) (string, error) {
			re, err := expression(expr)
			if err != nil {
				return "", err
			}
			return re.ReplaceAllLiteralString(text, with), nil
		},
		"count": func(expr, text string) (int, error) {
			re, err := expression(expr)
			if err != nil {
				return 0, err
			}
			return len(re.FindAllStringIndex(text, -1)), nil
		},
		"urldecode": url.QueryUnescape, "urlencode": url.QueryEscape,
		"bytes": parseBytes, "duration": parseSeconds, "duration_seconds": parseSeconds,
		"unixEpochMillis": func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) },
		"unixEpochNanos":  func(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) },
		"toDateInZone":    toDateInZone,
		"unixToTime":      unixToTime,
		"alignLeft":       func(n int, text string) (string, error) { return align(n, text, false) },
		"alignRight":      func(n int, text string) (string, error) { return align(n, text, true) },
	}
	all := sprig.GenericFuncMap()
	for name := range strings.FieldsSeq(`b64enc b64dec lower upper title trunc substr contains hasPrefix hasSuffix replace trim trimAll
		trimSuffix trimPrefix int float64 add sub mul div mod addf subf mulf divf max min maxf minf ceil floor round fromJson date toDate
		now unixEpoch default`) {
		out[name] = all[name]
	}
	// Functions whose result may be long although their arguments are short.
	out["repeat"] = func(n int, text string) (string, error) {
		if n > 0 && n*len(text) > MaxFormatted {
			return "", errFormatted
		}
		return strings.Repeat(text, n), nil
	}
	for _, name := range []string{"indent", "nindent"} {
		indent := all[name].(func(int, string) string)
		out[name] = func(n int, text string) (string, error) {
			if n*(strings.Count(text, "\n")+1) > MaxFormatted {
				return "", errFormatted
			}
			return indent(n, text), nil
		}
	}
	out["printf"] = printf
	for name, function := range out {
		out[name] = f.charged(function)
	}
	return out
}

// charged returns a function whose texts, those that it reads and those that it makes,
// are counted as work.
func (f *formatter) charged(function any) any {
	called := reflect.ValueOf(function)
	kind := called.Type()
	in := make([]reflect.Type, kind.NumIn())
	for i := range in {
		in[i] = kind.In(i)
	}
	failed := reflect.TypeFor[error]()
	charge := func(values []reflect.Value) error {
		for _, v := range values {
			if v.Kind() == reflect.Interface {
				v = v.Elem()
			}
			if v.Kind() == reflect.String {
				f.work += v.Len()
			}
			if f.work++; f.work > MaxFormatWork {
				return errFormatWork
			}
		}
		return nil
	}
	return reflect.MakeFunc(reflect.FuncOf(in, []reflect.Type{kind.Out(0), failed}, kind.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		if err := charge(args); err != nil {
			return []reflect.Value{reflect.Zero(kind.Out(0)), reflect.ValueOf(&err).Elem()}
		}
		var out []reflect.Value
		if kind.IsVariadic() {
			out = called.CallSlice(args)
		} else {
			out = called.Call(args)
		}
		if len(out) == 1 {
			out = append(out, reflect.Zero(failed))
		}
		if err := charge(out[:1]); err != nil {
			out[1] = reflect.ValueOf(&err).Elem()
		}
		return out
	}).Interface()
}

// expression compiles a regular expression that is quick for any line.
func expression(text string) (*regexp.Regexp, error) {
	p, err := new(pattern.Set).Compile(text, pattern.Part)
	if err != nil {
		return nil, err
	}
	if !p.Cheap() {
		return nil, fmt.Errorf("the regular expression %.100q is too large for a template", text)
	}
	return p.Regexp(), nil
}

// printf is fmt.Sprintf without wide fields.
func printf(format string, args ...any) (string, error) {
	digits := 0
	for _, c := range format {
		if digits++; c < '0' || c > '9' {
			digits = 0
		}
		if digits > 3 || c == '*' {
			return "", errWidth
		}
	}
	return fmt.Sprintf(format, args...), nil
}

// parseBytes reads a size such as 5KB, in bytes.
func parseBytes(text string) (float64, error) {
	n, err := humanize.ParseBytes(text)
	return float64(n), err
}

// parseSeconds reads a duration such as 1m30s, in seconds.
func parseSeconds(text string) (float64, error) {
	d, err := time.ParseDuration(text)
	return d.Seconds(), err
}

// toDateInZone reads a time of a zone, UTC if there is no such zone.
func toDateInZone(layout, zone, text string) time.Time {
	in, err := time.LoadLocation(zone)
	if err != nil {
		in = time.UTC
	}
	t, _ := time.ParseInLocation(layout, text, in) // as in Loki, what is no time is the zero time
	return t
}

// unixToTime reads days, seconds, milliseconds, microseconds or nanoseconds since 1970, by
// the number of digits.
func unixToTime(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	units := map[int]time.Duration{5: 24 * time.Hour, 10: time.Second, 13: time.Millisecond, 16: time.Microsecond, 19: time.Nanosecond}
	unit, ok := units[len(text)]
	if err != nil {
		return time.Time{}, fmt.Errorf("unable to parse time '%v': %w", text, err)
	}
	if !ok {
		return time.Time{}, fmt.Errorf("unable to parse time '%v': it has 5, 10, 13, 16 or 19 digits", text)
	}
	return time.Unix(0, n*int64(unit)), nil
}

// align cuts a text to n characters, or fills it up with spaces.
func align(n int, text string, right bool) (string, error) {
	runes := []rune(text)
	switch fill := n - len(runes); {
	case n < 0 || fill == 0:
		return text, nil
	case fill > MaxFormatted:
		return "", errFormatted
	case fill > 0 && right:
		return strings.Repeat(" ", fill) + text, nil
	case fill > 0:
		return text + strings.Repeat(" ", fill), nil
	case right:
		return string(runes[-fill:]), nil
	default:
		return string(runes[:n]), nil
	}
}

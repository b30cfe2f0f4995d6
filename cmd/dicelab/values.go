package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// value is a flag whose text is checked when it is read.
type value[T any] struct {
	at    *T
	text  func(T) string
	parse func(string) (T, error)
	plain bool                         // it may stand alone, for "true"
	fail  func(text string, err error) // takes why a text was refused
}

// String is the default of the flag, for its help.
func (v *value[T]) String() string {
	if v.at == nil { // package flag asks a zero value too
		return ""
	}
	return v.text(*v.at)
}

// Set takes what was typed.
func (v *value[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err != nil {
		v.fail(text, err)
		return err
	}
	*v.at = parsed
	return nil
}

// IsBoolFlag is asked by package flag.
func (v *value[T]) IsBoolFlag() bool { return v.plain }

func define[T any](f *flags, name, usage string, v *value[T]) *T {
	v.fail = func(text string, err error) {
		if text == "" {
			text = `""`
		}
		f.refused = fmt.Errorf("--%s %s: %w", name, text, err)
	}
	f.Var(v, name, usage)
	return v.at
}

// orNone in the usage of a flag for an address says that it may be empty.
const orNone = "empty for none"

func same(s string) string { return s }

// duration defines a flag for a duration from least to most.
func (f *flags) duration(name string, preset, least, most time.Duration, usage string) *time.Duration {
	return define(f, name, usage, &value[time.Duration]{at: &preset, text: time.Duration.String, parse: func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < least || d > most {
			return 0, fmt.Errorf("want a duration from %v to %v, such as %v", least, most, preset)
		}
		return d, nil
	}})
}

// address defines a flag for a place to listen on.
func (f *flags) address(name, preset, usage string) *string {
	return define(f, name, usage, &value[string]{at: &preset, text: same, parse: func(s string) (string, error) {
		_, port, err := net.SplitHostPort(s)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return "", fmt.Errorf("want host:port, such as %s", preset)
		}
		return s, nil
	}})
}

// url defines a flag for an address over HTTP.
func (f *flags) url(name, preset, usage string) *string {
	return define(f, name, usage, &value[string]{at: &preset, text: same, parse: func(s string) (string, error) {
		if s == "" && strings.Contains(usage, orNone) {
			return "", nil
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return "", fmt.Errorf("want an address such as %s", cmp.Or(preset, "http://localhost:8102"))
		}
		return s, nil
	}})
}

// share defines a flag for a number from 0 to 1.
func (f *flags) share(name string, preset float64, usage string) *float64 {
	return define(f, name, usage, &value[float64]{at: &preset, text: shareText, parse: func(s string) (float64, error) {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v >= 0 && v <= 1) {
			return 0, errors.New("want a number from 0 to 1")
		}
		return v, nil
	}})
}

func shareText(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// flip defines a flag that is off until it is given.
func (f *flags) flip(name, usage string) *bool {
	return define(f, name, usage, &value[bool]{at: new(bool), text: strconv.FormatBool, plain: true, parse: func(s string) (bool, error) {
		v, err := strconv.ParseBool(s)
		if err != nil {
			return false, errors.New("want true or false")
		}
		return v, nil
	}})
}

// oneOf defines a flag for one of some words, of which the first is the preset.
func (f *flags) oneOf(name, usage string, words ...string) *string {
	preset := words[0]
	return define(f, name, usage, &value[string]{at: &preset, text: same, parse: func(s string) (string, error) {
		for _, w := range words {
			if s == w {
				return s, nil
			}
		}
		return "", errors.New("choose " + strings.Join(words, " or "))
	}})
}

// number defines a flag for a whole number; nil means that it was not given.
func (f *flags) number(name, usage string) **uint64 {
	text := func(n *uint64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatUint(*n, 10)
	}
	return define(f, name, usage, &value[*uint64]{at: new(*uint64), text: text, parse: func(s string) (*uint64, error) {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return nil, errors.New("want a whole number from 0 to 2^64-1")
		}
		return &n, nil
	}})
}

// list defines a flag that may be given again and again.
func (f *flags) list(name, usage string, check func(string) error) *[]string {
	at := new([]string)
	return define(f, name, usage, &value[[]string]{at: at, text: func(l []string) string { return strings.Join(l, ",") },
		parse: func(s string) ([]string, error) { return append(*at, s), check(s) }})
}

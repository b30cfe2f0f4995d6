package doctest

import (
	"fmt"
	"regexp"
	"strings"
)

// ids are the IDs that were printed, by the shown ones.
type ids map[string]string

var (
	// id is a trace or span ID.
	id = regexp.MustCompile(`\b(?:[0-9a-f]{32}|[0-9a-f]{16})\b`)
	// varies matches the shown text that may differ in the output: "…", IDs, a time of RFC 3339, a
	// number since 1970, a duration.
	varies = regexp.MustCompile(`…|` + id.String() +
		`|\b\d{4}-\d\d-\d\dT[\d:.]+Z|\b1\d{9}(?:\d{9}|\.\d+)?\b|\b\d+(?:\.\d+)? ?(?:µs|ms|s)\b`)
)

// fill puts printed IDs in the place of shown ones.
func (known ids) fill(command string) string {
	return id.ReplaceAllStringFunc(command, func(shown string) string {
		if printed, ok := known[shown]; ok {
			return printed
		}
		return shown
	})
}

// match compares what was printed with what is shown, and learns IDs from it.
func (known ids) match(shown []string, printed string) error {
	pattern, names, err := compile(shown)
	if err != nil {
		return err
	}
	if printed != "" && !strings.HasSuffix(printed, "\n") {
		printed += "\n"
	}
	m := pattern.FindStringSubmatch(printed)
	if m == nil {
		return fmt.Errorf("printed:\n%s\nshown:\n%s", printed, strings.Join(shown, "\n"))
	}
	found, meaning := ids{}, map[string]string{}
	for s, p := range known {
		found[s], meaning[p] = p, s
	}
	for i, name := range names {
		got := m[i+1]
		if was, ok := found[name]; ok && was != got {
			return fmt.Errorf("printed %s, where %s is shown, which was %s before:\n%s", got, name, was, printed)
		}
		if was, ok := meaning[got]; ok && was != name {
			return fmt.Errorf("printed %s, where %s and %s are shown:\n%s", got, was, name, printed)
		}
		found[name], meaning[got] = got, name
	}
	for s, p := range found {
		known[s] = p
	}
	return nil
}

// compile makes a pattern of what is shown, and names its groups, which are IDs.
func compile(shown []string) (pattern *regexp.Regexp, names []string, err error) {
	var b strings.Builder
	b.WriteString(`\A`)
	for _, line := range shown {
		if line == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		rest := line
		for {
			at := varies.FindStringIndex(rest)
			if at == nil {
				break
			}
			b.WriteString(regexp.QuoteMeta(rest[:at[0]]))
			token := rest[at[0]:at[1]]
			switch {
			case token == "…":
				b.WriteString(`.*?`)
			case id.MatchString(token):
				names = append(names, token)
				fmt.Fprintf(&b, `\b([0-9a-f]{%d})\b`, len(token))
			case strings.ContainsAny(token, "TZ"):
				b.WriteString(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
			case strings.HasSuffix(token, "s"):
				b.WriteString(`(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)? ?(?:µs|ms|s)`)
			default:
				b.WriteString(`[\d.]+`)
			}
			rest = rest[at[1]:]
		}
		b.WriteString(regexp.QuoteMeta(rest) + `\n`)
	}
	b.WriteString(`\z`)
	pattern, err = regexp.Compile(b.String())
	return pattern, names, err
}

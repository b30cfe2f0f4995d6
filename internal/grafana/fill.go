package grafana

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scrapeInterval equals timeInterval of the data source Prometheus; a test compares them.
const scrapeInterval = 2 * time.Second

// values returns the variables of the dashboard and of Grafana, by name.
func (d Dashboard) values(s Settings) (map[string]string, error) {
	out := map[string]string{
		"__range":    duration(s.Range),
		"__range_s":  strconv.Itoa(int(s.Range.Seconds())),
		"__range_ms": strconv.Itoa(int(s.Range.Milliseconds())),
	}
	for _, v := range d.Templating.List {
		choice, ok := s.Values[v.Name]
		if !ok {
			choice = v.Current.Value
		}
		if !v.has(choice) {
			return nil, fmt.Errorf("variable %s cannot be %.40q: choose one of %s", v.Name, choice, v.list())
		}
		out[v.Name] = v.value(choice)
	}
	for name := range s.Values {
		if _, ok := d.Variable(name); !ok {
			return nil, fmt.Errorf("there is no variable %.40q", name)
		}
	}
	return out, nil
}

func (v Variable) list() string {
	var out []string
	for _, o := range v.Options {
		out = append(out, o.Value)
	}
	return strings.Join(out, ", ")
}

// intervals sets the variables that depend on a query's step. Grafana's
// documentation, "Prometheus template variables": $__rate_interval is the greater
// of $__interval + scrape interval and 4 scrape intervals, where a query's own
// least step counts as scrape interval.
func intervals(values map[string]string, step, least time.Duration) {
	scrape := scrapeInterval
	if least > 0 {
		scrape = least
	}
	values["__interval"] = duration(step)
	values["__rate_interval"] = duration(max(step+scrape, 4*scrape))
}

// duration writes whole seconds, or milliseconds where it must.
func duration(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
	return strconv.Itoa(int(d.Milliseconds())) + "ms"
}

// fill puts values in place of variables: $name, ${name} or ${name:format}.
func fill(text string, values map[string]string) (string, error) {
	var unknown []string
	out := os.Expand(text, func(ref string) string {
		name, _, _ := strings.Cut(ref, ":")
		value, ok := values[name]
		if !ok {
			unknown = append(unknown, "$"+name)
		}
		return value
	})
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return "", fmt.Errorf("undefined variable %s in %s", strings.Join(slices.Compact(unknown), ", "), text)
	}
	return out, nil
}

package loki_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"dicelab/internal/embedded/store"
)

// readings are lines of two services, one every ten seconds of the minute before now, with
// a value v that rises by 1: 1 to 6 of a, and 10 to 60 of b.
func readings() (lines []store.Line) {
	for i := range 6 {
		at := now().Add(-time.Duration(50-10*i) * time.Second)
		for service, times := range map[string]int{"a": 1, "b": 10} {
			v := times * (i + 1)
			lines = append(lines, store.Line{
				Time: at, Stream: map[string]string{"service_name": service, "zone": "z" + service},
				Text: fmt.Sprintf("v=%d took=%dms size=%dKB half=h%d", v, v, v, i%2),
			})
		}
	}
	return lines
}

func TestMetricQueries(t *testing.T) {
	base, _ := serve(t, readings()...)
	const all = `{service_name=~".+"}`
	const a, b = `{service_name="a"}`, `{service_name="b"}`
	for query, want := range map[string]string{
		// Functions of ranges.
		`sum_over_time(` + a + ` | logfmt | unwrap v [1m])`:                                               `{half="h0", service_name="a", size="1KB", took="1ms", zone="za"} 1, …`,
		`sum_over_time(` + a + ` | logfmt | keep v | unwrap v [1m])`:                                      `{} 21`,
		`rate(` + a + ` | logfmt | keep v | unwrap v [1m])`:                                               `{} 0.35`,
		`avg_over_time(` + all + ` | logfmt | unwrap v [1m]) by (service_name)`:                           `{service_name="a"} 3.5, {service_name="b"} 35`,
		`min_over_time(` + all + ` | logfmt | unwrap v [25s]) by (service_name)`:                          `{service_name="a"} 4, {service_name="b"} 40`,
		`max_over_time(` + all + ` | logfmt | unwrap v [1m] offset 15s) without (zone, half, took, size)`: `{service_name="a"} 4, {service_name="b"} 40`,
		`first_over_time(` + a + ` | logfmt | unwrap v [1m]) by (zone)`:                                   `{zone="za"} 1`,
		`last_over_time(` + a + ` | logfmt | unwrap v [1m]) by (zone)`:                                    `{zone="za"} 6`,
		`quantile_over_time(0.5, ` + b + ` | logfmt | unwrap v [1m]) by (zone)`:                           `{zone="zb"} 35`,
		`stdvar_over_time(` + a + ` | logfmt | unwrap v [25s]) by (zone)`:                                 `{zone="za"} 0.6666666666666666`,
		`stddev_over_time(` + a + ` | logfmt | unwrap v [11s]) by (zone)`:                                 `{zone="za"} 0.5`,
		`max_over_time(` + b + ` | logfmt | unwrap duration(took) [1m]) by (zone)`:                        `{zone="zb"} 0.06`,
		`max_over_time(` + b + ` | logfmt | unwrap bytes(size) [1m]) by (zone)`:                           `{zone="zb"} 60000`,
		`sum(sum_over_time(` + all + ` | logfmt | unwrap v [1m]))`:                                        `{} 231`,
		`sum by (half) (sum_over_time(` + a + ` | logfmt | unwrap v | v > 2 [1m]))`:                       `{half="h0"} 8, {half="h1"} 10`,
		`sum by (service_name) (rate_counter(` + a + ` | logfmt | keep v, service_name | unwrap v [1m]))`: `{service_name="a"} 0.0833334333…`,
		`absent_over_time({service_name="c", zone=~"z.*"}[1m])`:                                           `{service_name="c"} 1`,
		`absent_over_time(` + a + `[1m])`:                                                                 ``,
		`bytes_over_time(` + a + `[5s])`:                                                                  `{service_name="a", zone="za"} 29`,
		`bytes_over_time(` + a + ` | line_format "x" [5s])`:                                               `{service_name="a", zone="za"} 1`,
		// What is around them.
		`avg(count_over_time(` + all + `[1m]))`:                                             `{} 6`,
		`count(rate(` + all + `[1m]))`:                                                      `{} 2`,
		`max without (zone) (count_over_time(` + all + `[1m]))`:                             `{service_name="a"} 6, {service_name="b"} 6`,
		`sum without (zone) (count_over_time(` + all + `[1m]))`:                             `{service_name="a"} 6, {service_name="b"} 6`,
		`topk(1, max_over_time(` + all + ` | logfmt | unwrap v [1m]) by (zone))`:            `{zone="zb"} 60`,
		`bottomk(1, max_over_time(` + all + ` | logfmt | unwrap v [1m]) by (zone))`:         `{zone="za"} 6`,
		`sort_desc(max_over_time(` + all + ` | logfmt | unwrap v [1m]) by (zone))`:          `{zone="zb"} 60, {zone="za"} 6`,
		`sum(count_over_time(` + a + `[1m])) / sum(count_over_time(` + all + `[1m])) * 100`: `{} 50`,
		`sum(count_over_time(` + a + `[1m])) - sum(count_over_time(` + a + `[1m]))`:         `{} 0`,
		`1 / (sum(count_over_time(` + a + `[1m])) - 6)`:                                     `{} NaN`,
		`sum(count_over_time(` + a + `[1m])) / 0`:                                           `{} NaN`,
		`sum(count_over_time(` + a + `[1m])) > 5`:                                           `{} 6`,
		`sum(count_over_time(` + a + `[1m])) > bool 6`:                                      `{} 0`,
		`sum(count_over_time({service_name="c"}[1m])) or vector(0)`:                         `{} 0`,
		`vector(1)+vector(1)`:  `{} 2`,
		`2 ^ 3 ^ 2 * 2 + 1`:    `scalar 1025`,
		`(1 > 2) + 10 / 4 % 2`: `scalar 0.5`,
		`10 / 0`:               `scalar NaN`,
		`count_over_time(` + all + `[1m]) and on (zone) count_over_time(` + a + `[1m])`:                                                                                                          `{service_name="a", zone="za"} 6`,
		`count_over_time(` + all + `[1m]) unless count_over_time(` + a + `[1m])`:                                                                                                                 `{service_name="b", zone="zb"} 6`,
		`count_over_time(` + all + `[1m]) * on (service_name) group_left (half) max_over_time(` + all + ` | logfmt | v >= 6 | half = "h1" | took = 6ms | unwrap v [1m]) by (service_name, half)`: `{half="h1", service_name="a", zone="za"} 36`,
		`count_over_time(` + a + `[1m]) + ignoring (zone, service_name) sum(count_over_time(` + b + `[1m]))`:                                                                                     `{} 12`,
		`label_replace(sum by (zone) (count_over_time(` + a + `[1m])), "to", "<$1>", "zone", "z(.)")`:                                                                                            `{to="<a>", zone="za"} 6`,
	} {
		t.Run(query, func(t *testing.T) {
			status, _, body := get(t, base, "/loki/api/v1/query", url.Values{"query": {query}})
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			got := vector(t, body)
			if before, _, cut := strings.Cut(want, "…"); cut {
				got, want = got[:min(len(before), len(got))], before
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// vector writes the result of an instant query.
func vector(t *testing.T, body string) string {
	t.Helper()
	var answer struct {
		Data struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Data.ResultType == "scalar" {
		var value [2]any
		if err := json.Unmarshal(answer.Data.Result, &value); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("scalar %v", value[1])
	}
	var result []struct {
		Metric map[string]string
		Value  [2]any
	}
	if err := json.Unmarshal(answer.Data.Result, &result); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range result {
		var labels []string
		for name, value := range r.Metric {
			labels = append(labels, fmt.Sprintf("%s=%q", name, value))
		}
		slices.Sort(labels)
		out = append(out, fmt.Sprintf("{%s} %v", strings.Join(labels, ", "), r.Value[1]))
	}
	return strings.Join(out, ", ")
}

// A range query of an operation has a point where both sides have one.
func TestMetricQueryOverTime(t *testing.T) {
	base, _ := serve(t, readings()...)
	query := `sum(count_over_time({service_name="a"}[10s])) + sum(count_over_time({service_name="b"} |= "v=60" or "v=40" [10s]))`
	_, _, body := get(t, base, "/loki/api/v1/query_range", url.Values{"query": {query}, "start": {"1772366340"}, "end": {"1772366400"}, "step": {"10"}})
	want := `[{"metric":{},"values":[[1772366380,"2"],[1772366400,"2"]]}]`
	if !strings.Contains(body, want) {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

func TestVolumes(t *testing.T) {
	base, _ := serve(t, readings()...)
	for _, test := range []struct {
		path   string
		params url.Values
		want   string
	}{
		{"/loki/api/v1/index/stats", url.Values{"query": {`{service_name="a"}`}}, `{"streams":1,"chunks":1,"bytes":174,"entries":6}`},
		{"/loki/api/v1/index/volume", url.Values{"query": {`{service_name=~".+"}`}},
			`{"resultType":"vector","result":[{"metric":{"service_name":"b"},"value":[1772366400,"192"]},{"metric":{"service_name":"a"},"value":[1772366400,"174"]}]`},
		{"/loki/api/v1/index/volume", url.Values{"query": {`{}`}, "limit": {"1"}}, `"result":[{"metric":{"service_name":"b","zone":"zb"},"value":[1772366400,"192"]}]`},
		{"/loki/api/v1/index/volume", url.Values{"query": {`{service_name="a"}`}, "targetLabels": {"zone"}}, `"result":[{"metric":{"zone":"za"},"value":[1772366400,"174"]}]`},
		{"/loki/api/v1/index/volume", url.Values{"query": {`{service_name="a"}`}, "aggregateBy": {"labels"}},
			`"result":[{"metric":{"service_name":""},"value":[1772366400,"174"]},{"metric":{"zone":""},"value":[1772366400,"174"]}]`},
		{"/loki/api/v1/index/volume_range", url.Values{"query": {`{service_name="a"}`}, "start": {"1772366340"}, "end": {"1772366400"}, "step": {"30"}},
			`{"resultType":"matrix","result":[{"metric":{"service_name":"a"},"values":[[1772366369.999,"58"],[1772366400,"116"]]}]`},
		{"/loki/api/v1/detected_labels", nil, `{"detectedLabels":[{"label":"service_name","cardinality":2},{"label":"zone","cardinality":2}]}`},
		{"/loki/api/v1/detected_fields", url.Values{"query": {`{service_name="a"}`}},
			`{"fields":[{"label":"half","type":"string","cardinality":2,"parsers":["logfmt"]},{"label":"size","type":"bytes","cardinality":5,"parsers":["logfmt"]},` +
				`{"label":"took","type":"duration","cardinality":5,"parsers":["logfmt"]},{"label":"v","type":"int","cardinality":5,"parsers":["logfmt"]}],"limit":1000}`},
		{"/loki/api/v1/detected_field/size/values", url.Values{"query": {`{service_name="a"} |= "v=3"`}}, `{"values":["3.0kB"],"limit":1000}`},
		{"/loki/api/v1/drilldown-limits", nil, `"pattern_ingester_enabled":false,"version":"1.2.3"}`},
	} {
		t.Run(test.path+" "+test.params.Encode(), func(t *testing.T) {
			status, _, body := get(t, base, test.path, test.params)
			if status != http.StatusOK || !strings.Contains(body, test.want) {
				t.Errorf("got  %d %s\nwant %s", status, body, test.want)
			}
		})
	}
}

// Fields of JSON have their paths.
func TestDetectedJSON(t *testing.T) {
	base, _ := serve(t, rolls()...)
	_, _, body := get(t, base, "/loki/api/v1/detected_fields", url.Values{"query": {`{service_name="dice-roller"} |= "Risky"`}, "limit": {"3"}})
	want := `"type":"string","cardinality":1,"parsers":["json"],"jsonPath":["die_type"]}`
	if strings.Count(body, `"label"`) != 3 || !strings.Contains(body+want, want) {
		t.Errorf("got %s", body)
	}
}

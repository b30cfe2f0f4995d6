package explorer_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"dicelab/internal/contract"
)

// hostile are numbers of telemetry, which may have any value.
type hostile struct {
	start, end uint64 // of spans, lines and events, nanoseconds
	v, w       float64
	n          int64 // of counts
}

// backend answers as Prometheus, Loki and Tempo do, with these numbers.
func (h hostile) backend(t *testing.T) string {
	t.Helper()
	good := uint64(now().UnixNano())
	span := func(id int, parent string, start, end uint64) string {
		return fmt.Sprintf(`{"traceId":%q,"spanId":%q,"parentSpanId":%q,"name":"s","startTimeUnixNano":"%d","endTimeUnixNano":"%d","events":[{"timeUnixNano":"%d","name":"e"}],
			"attributes":[{"key":"i","value":{"intValue":"%d"}},{"key":"d","value":{"doubleValue":%s}}]}`,
			traceFair, hex16(id), parent, start, end, h.end, h.n, quotedFloat(h.v))
	}
	trace := `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"x"}}]},"scopeSpans":[{"spans":[` +
		strings.Join([]string{span(1, "", good, good+1e6), span(2, hex16(1), h.start, h.end), span(3, hex16(2), h.end, h.start), span(4, hex16(9), h.start, math.MaxUint64)}, ",") + `]}]}]}`
	found := fmt.Sprintf(`{"traceID":%q,"rootServiceName":"x","rootTraceName":"s","startTimeUnixNano":"%d","durationMs":%d,"serviceStats":{"x":{"spanCount":%d,"errorCount":%d}}}`,
		traceFair, h.start, h.end, int32(h.n), int32(h.n))
	labels := fmt.Sprintf(`{"job":%q,"client":"user","server":%q,"le":%q}`, contract.ServiceFrontend, contract.ServiceRoller, float(h.w))
	points := func(at float64) string {
		return fmt.Sprintf(`[%s,%q]`, strconv.FormatFloat(at, 'f', 3, 64), float(h.v))
	}
	unix := float64(now().Unix())
	series := fmt.Sprintf(`{"metric":%s,"value":%s,"values":[%s,%s,[%s,%q]]}`, labels, points(unix), points(unix-60), points(unix), jsonFloat(h.w), float(h.w))
	answers := map[string]string{
		"/api/v2/traces/" + traceFair:            `{"trace":` + trace + `}`,
		"/api/v2/traces/" + traceFailed:          `{"trace":` + strings.ReplaceAll(trace, traceFair, traceFailed) + `}`,
		"/api/search":                            `{"traces":[` + found + `]}`,
		"/api/v2/search/tag/":                    `{"tagValues":[{"type":"string","value":"x"}]}`,
		"/api/v1/query":                          `{"status":"success","data":{"resultType":"vector","result":[` + series + `]}}`,
		"/api/v1/query_range":                    `{"status":"success","data":{"resultType":"matrix","result":[` + series + `]}}`,
		"/api/v1/query_exemplars":                fmt.Sprintf(`{"status":"success","data":[{"seriesLabels":%s,"exemplars":[%s]}]}`, labels, exemplars(h, unix)),
		"/api/v1/targets":                        fmt.Sprintf(`{"status":"success","data":{"activeTargets":[{"labels":%s,"health":"up","lastScrape":"0001-01-01T00:00:00Z","lastScrapeDuration":%s}]}}`, labels, jsonFloat(h.v)),
		"/api/v1/rules":                          `{"status":"success","data":{"groups":[{"rules":[{"name":"r","state":"firing","alerts":[{"state":"firing","activeAt":"0001-01-01T00:00:00Z"}]}]}]}}`,
		"/loki/api/v1/query_range":               fmt.Sprintf(`{"status":"success","data":{"resultType":"streams","result":[{"stream":{"service_name":"x"},"values":[["%d","{\"duration_seconds\":%s}"],["%d","y"]]}]}}`, h.start, jsonFloat(h.v), h.end),
		"/loki/api/v1/query":                     `{"status":"success","data":{"resultType":"vector","result":[` + series + `]}}`,
		"/loki/api/v1/label/service_name/values": `{"status":"success","data":["x"]}`,
		"/api/v2/search/tags":                    `{"scopes":[{"name":"span","tags":["x"]}]}`,
		"/api/v1/metadata":                       `{"status":"success","data":{"x":[{"type":"gauge","help":"h"}]}}`,
		"/api/v1/label/__name__/values":          `{"status":"success","data":["x","y_bucket"]}`,
		"/api/v1/series":                         `{"status":"success","data":[` + labels + `]}`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for path, body := range answers {
			if r.URL.Path == path || strings.HasSuffix(path, "/tag/") && strings.HasPrefix(r.URL.Path, path) {
				if start := r.URL.Query().Get("start"); strings.HasPrefix(start, "-") {
					http.Error(w, "invalid start: "+start, http.StatusBadRequest)
					return
				}
				if !json.Valid([]byte(body)) {
					t.Errorf("the backend's answer to %s is not JSON: %s", path, body)
				}
				_, _ = w.Write([]byte(body)) // the page is gone
				return
			}
		}
		t.Errorf("asked for %s", r.URL)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// exemplars returns more than a chart shows.
func exemplars(h hostile, unix float64) string {
	var out []string
	for i := range 201 {
		out = append(out, fmt.Sprintf(`{"labels":{"trace_id":%q},"value":%q,"timestamp":%f}`, traceFair, float(h.w), unix-float64(i)))
	}
	return strings.Join(out, ",")
}

// float writes a number as Prometheus does.
func float(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// jsonFloat writes a number as JSON can.
func jsonFloat(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	return float(v)
}

// quotedFloat writes a number as protobuf's JSON does.
func quotedFloat(v float64) string {
	switch {
	case math.IsNaN(v):
		return `"NaN"`
	case math.IsInf(v, 1):
		return `"Infinity"`
	case math.IsInf(v, -1):
		return `"-Infinity"`
	}
	return float(v)
}

// No page fails because of what is stored, and neither does a page that it links to.
func FuzzPages(f *testing.F) {
	times := []uint64{0, 1, 1e9, 1 << 62, math.MaxInt64, math.MaxUint64, uint64(now().UnixNano())}
	values := []float64{0, -1, 9223372036.854775807, 1e12, -1e12, math.MaxFloat64, -math.MaxFloat64, 1e-320, math.Inf(1), math.Inf(-1), math.NaN()}
	for i := range max(len(times), len(values)) {
		f.Add(times[i%len(times)], times[(i+3)%len(times)], values[i%len(values)], values[(i+4)%len(values)], int64(math.MinInt64)+int64(i))
	}
	f.Fuzz(func(t *testing.T, start, end uint64, v, w float64, n int64) {
		backend := hostile{start, end, v, w, n}.backend(t)
		h := handler(t, backend, backend, backend)
		trace := "/traces/" + traceFair
		links := map[string]bool{}
		for _, target := range []string{"/", "/traces", trace, trace + "?focus=" + hex16(2), trace + "/trace.json", trace + "/trace.html",
			trace + "?view=flame", trace + "?find=s&only=matches&from=1ms&to=5ms", trace + "?only=path&clocks=aligned", trace + "/compare?with=" + traceFailed, "/logs", "/metrics?q=up", "/metrics?start=2026-03-04T11:59:59.99999995Z&end=2026-03-04T12:00:00Z", "/targets"} {
			if strings.HasSuffix(target, ".json") || strings.HasSuffix(target, ".html") {
				if got := get(t, h, target).StatusCode; got != http.StatusOK {
					t.Errorf("%s answers %d", target, got)
				}
				continue
			}
			p := page(t, h, target, http.StatusOK)
			for _, a := range p.all("a") {
				if href := a.attr("href"); strings.HasPrefix(href, "/logs?") || strings.HasPrefix(href, "/metrics?") && !strings.Contains(href, "&q=") {
					links[href] = true
				}
			}
		}
		for link := range links {
			page(t, h, link, http.StatusOK)
		}
		if len(links) == 0 {
			t.Error("no page has a link to log lines or metrics")
		}
	})
}

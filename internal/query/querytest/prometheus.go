package querytest

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
)

func (s *Stack) prometheus() http.Handler {
	mux := http.NewServeMux()
	bad := func(w http.ResponseWriter, q string) bool {
		if !strings.HasSuffix(strings.TrimSpace(q), "(") {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		reply(w, map[string]any{"status": "error", "errorType": "bad_data",
			"error": fmt.Sprintf("invalid parameter \"query\": 1:%d: parse error: unclosed left parenthesis", len(q))})
		return true
	}
	data := func(kind string, result any) map[string]any {
		return map[string]any{"status": "success", "data": map[string]any{"resultType": kind, "result": result}}
	}
	mux.HandleFunc("GET /api/v1/query", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query().Get("query")
		if bad(w, q) {
			return
		}
		rows := []any{}
		for _, m := range s.metrics(q) {
			v := value(q, m, s.now)
			if le := m["le"]; le != "" {
				v = rollsUpTo(le, die(q))
			}
			rows = append(rows, map[string]any{"metric": m, "value": []any{float64(s.now.UnixMilli()) / 1000, number(v)}})
		}
		reply(w, data("vector", rows))
	})
	mux.HandleFunc("GET /api/v1/query_range", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query().Get("query")
		if !bad(w, q) {
			reply(w, data("matrix", s.series(s.metrics(q), r.URL.Query())))
		}
	})
	mux.HandleFunc("GET /api/v1/query_exemplars", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query().Get("query")
		var rows []any
		for _, c := range s.rolls {
			labels := map[string]string{"__name__": contract.MetricHTTPDuration + "_bucket", "job": contract.ServiceFrontend}
			if strings.Contains(q, strconv.Quote(contract.ServiceRoller)) {
				labels["job"] = contract.ServiceRoller
			}
			rows = append(rows, map[string]any{"seriesLabels": labels, "exemplars": []any{map[string]any{
				"labels": map[string]string{contract.FieldTraceID: c.id}, "value": number(c.total().Seconds()),
				"timestamp": float64(c.at.UnixMilli()) / 1000}}})
		}
		reply(w, map[string]any{"status": "success", "data": rows})
	})
	mux.HandleFunc("GET /api/v1/targets", func(w http.ResponseWriter, _ *http.Request) {
		target := func(job, addr, health, failure string) map[string]any {
			return map[string]any{"discoveredLabels": map[string]string{}, "labels": map[string]string{"job": job, "instance": addr},
				"scrapePool": job, "scrapeUrl": "http://" + addr + "/metrics", "globalUrl": "http://" + addr + "/metrics",
				"lastError": failure, "lastScrape": s.now.Add(-1200 * time.Millisecond).Format(time.RFC3339Nano),
				"lastScrapeDuration": 0.0042, "health": health, "scrapeInterval": "2s", "scrapeTimeout": "2s"}
		}
		targets := []any{}
		if !s.empty {
			targets = append(targets, target(contract.ServiceFrontend, "localhost:8102", "up", ""),
				target(contract.ServiceRoller, "localhost:8101", "down", `Get "http://localhost:8101/metrics": dial tcp 127.0.0.1:8101: connect: connection refused`))
		}
		reply(w, map[string]any{"status": "success", "data": map[string]any{"activeTargets": targets, "droppedTargets": []any{}}})
	})
	mux.HandleFunc("GET /api/v1/rules", func(w http.ResponseWriter, r *http.Request) {
		groups := []any{}
		if !s.empty {
			since := s.now.Add(-90 * time.Second).Format(time.RFC3339Nano)
			groups = append(groups, map[string]any{"name": "dicelab", "rules": []any{
				map[string]any{"type": "alerting", "name": "RollErrorRatioHigh", "state": "inactive", "alerts": []any{}},
				map[string]any{"type": "alerting", "name": "TargetDown", "state": "firing", "alerts": []any{map[string]any{
					"labels": map[string]string{"alertname": "TargetDown", "job": contract.ServiceRoller}, "state": "firing", "activeAt": since, "value": "0e+00",
					"annotations": map[string]string{"summary": "dice-roller at localhost:8101 does not answer"}}}}}})
		}
		reply(w, map[string]any{"status": "success", "data": map[string]any{"groups": groups}})
	})
	mux.HandleFunc("GET /api/v1/label/{name}/values", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"status": "success", "data": []string{contract.ServiceRoller, contract.ServiceFrontend}})
	})
	mux.HandleFunc("GET /api/v1/status/buildinfo", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"status": "success", "data": map[string]string{"version": "3.16.0", "revision": "abc", "goVersion": "go1.26"}})
	})
	return mux
}

// metrics returns the label sets that a query's "by" gives.
func (s *Stack) metrics(q string) []map[string]string {
	if s.empty {
		return nil
	}
	var out []map[string]string
	switch {
	case strings.Contains(q, contract.MetricDiceRollValue):
		for le := range 7 {
			out = append(out, map[string]string{"le": number(float64(le + 1))})
		}
	case strings.Contains(q, "by (client"):
		for _, pair := range [][2]string{{contract.ClientUser, contract.ServiceFrontend}, {contract.ServiceTraffic, contract.ServiceFrontend},
			{contract.ServiceFrontend, contract.ServiceRoller}} {
			if !strings.Contains(q, contract.LabelClient+"!="+strconv.Quote(pair[0])) {
				out = append(out, map[string]string{contract.LabelClient: pair[0], contract.LabelServer: pair[1]})
			}
		}
	case strings.Contains(q, "by (die_type, result"):
		for _, die := range contract.Dice() {
			out = append(out, map[string]string{contract.LabelDieType: die, contract.LabelResult: contract.ResultSuccess})
		}
	case strings.Contains(q, "by ("+contract.LabelStatus+")"):
		for _, class := range []string{"2xx", "5xx"} {
			out = append(out, map[string]string{contract.LabelStatus: class})
		}
	case strings.Contains(q, "by (job"):
		for _, job := range contract.Services() {
			out = append(out, map[string]string{"job": job})
		}
	case strings.Contains(q, "by ("+contract.LabelStatusCode):
		for _, code := range []string{"200", "500"} {
			out = append(out, map[string]string{contract.LabelStatusCode: code})
		}
	case strings.Contains(q, "by ("+contract.LabelDieType):
		for _, die := range contract.Dice() {
			out = append(out, map[string]string{contract.LabelDieType: die})
		}
	default:
		out = append(out, map[string]string{})
	}
	return out
}

// die returns the one that a query names.
func die(q string) string {
	if strings.Contains(q, strconv.Quote(contract.DieRisky)) {
		return contract.DieRisky
	}
	return contract.DieFair
}

func rollsUpTo(le, die string) float64 {
	per := map[string][]float64{contract.DieFair: {5, 7, 4, 6, 5, 6, 0, 0}, contract.DieRisky: {0, 4, 3, 5, 2, 4, 3, 0}}[die]
	sum := 0.0
	for i, v := range per {
		if bound, err := strconv.ParseFloat(le, 64); err == nil && float64(i+1) > bound {
			break
		}
		sum += v
	}
	return sum
}

// value makes up a plausible number that moves with time.
func value(q string, m map[string]string, at time.Time) float64 {
	seed := 0.0
	for _, v := range m {
		for _, c := range v {
			seed += float64(c)
		}
	}
	wave := 1 + .3*math.Sin(float64(at.Unix())/97+seed) + .15*math.Sin(float64(at.Unix())/23)
	switch {
	case strings.Contains(q, contract.MetricSpansDropped), strings.Contains(q, "ALERTS"):
		return 0
	case strings.HasPrefix(q, "1 - "):
		return .931
	case strings.Contains(q, contract.MetricGraphFailed):
		return .014
	case strings.Contains(q, contract.MetricGraphClientSeconds): // less the server's
		return .004 * wave
	case strings.Contains(q, "increase("):
		return 19.7
	case strings.Contains(q, "quantile(0.99"):
		return .8 * wave
	case strings.Contains(q, "quantile(0.95"):
		return .68 * wave
	case strings.Contains(q, "quantile(0.5"):
		return .42 * wave
	case strings.Contains(q, `"5xx"`):
		return math.Max(0, .06*(wave-.9))
	case strings.Contains(q, "60 *"):
		return math.Round(9 * wave)
	}
	return .35 * wave
}

// series evaluates at every step that a range query asks for.
func (s *Stack) series(metrics []map[string]string, v url.Values) []any {
	start, end := when(v.Get("start")), when(v.Get("end"))
	step, err := strconv.ParseFloat(v.Get("step"), 64)
	if err != nil || step <= 0 {
		step = 15
	}
	rows := []any{}
	for _, m := range metrics {
		values := []any{}
		for t := start; !t.After(end); t = t.Add(time.Duration(step * float64(time.Second))) {
			if s.now.Sub(t) > 55*time.Minute { // the lab was started then
				continue
			}
			values = append(values, []any{float64(t.UnixMilli()) / 1000, number(value(v.Get("query"), m, t))})
		}
		if len(values) > 0 {
			rows = append(rows, map[string]any{"metric": m, "values": values})
		}
	}
	return rows
}

// when reads Prometheus' seconds or Loki's nanoseconds.
func when(s string) time.Time {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.Time{}
	}
	if f > 1e15 {
		return time.Unix(0, int64(f))
	}
	return time.UnixMilli(int64(f * 1000))
}

func number(f float64) string {
	if math.IsInf(f, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

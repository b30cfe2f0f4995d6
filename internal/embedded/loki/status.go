package loki

import (
	"fmt"
	"net/http"
	"runtime"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/logql"
)

// ready answers like Loki's /ready.
func (h *handler) ready(w http.ResponseWriter, r *http.Request) {
	if h.opts.Ready != nil {
		if err := h.opts.Ready(r.Context()); err != nil {
			fail(w, answer.Errorf(http.StatusServiceUnavailable, "not ready: %w", err))
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ready")
}

// patterns answers /loki/api/v1/patterns as a Loki does whose pattern ingester is off, which
// is its default.
func (h *handler) patterns(http.ResponseWriter, *http.Request) error {
	return answer.Errorf(http.StatusNotFound, "the embedded stack finds no patterns in log lines, as a Loki whose pattern ingester is off")
}

// drilldownLimits answers /loki/api/v1/drilldown-limits, from which Grafana's Logs Drilldown
// finds out what it may ask for.
func (h *handler) drilldownLimits(w http.ResponseWriter, _ *http.Request) error {
	return answer.JSON(w, "application/json", map[string]any{
		"limits": map[string]any{
			"discover_log_levels": false, "discover_service_name": []string{}, "max_entries_limit_per_query": maxLimit,
			"max_query_series": logql.MaxSeries, "query_timeout": h.opts.Timeout.String(), "volume_enabled": true,
		},
		"pattern_ingester_enabled": false,
		"version":                  h.opts.Version,
	})
}

// buildinfo answers with the fields of Prometheus' version information, as Loki
// does. The branch shows that this is not Loki.
func (h *handler) buildinfo(w http.ResponseWriter, _ *http.Request) error {
	return answer.JSON(w, "application/json", struct { // only here Loki leaves out the charset
		Version   string `json:"version"`
		Revision  string `json:"revision"`
		Branch    string `json:"branch"`
		BuildUser string `json:"buildUser"`
		BuildDate string `json:"buildDate"`
		GoVersion string `json:"goVersion"`
	}{Version: h.opts.Version, Branch: contract.Namespace, GoVersion: runtime.Version()})
}

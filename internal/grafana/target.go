package grafana

// Types of data sources, and their uids, which the data source files fix.
const (
	TypePrometheus = "prometheus"
	TypeLoki       = "loki"
	TypeTempo      = "tempo"

	UIDPrometheus = "prometheus"
	UIDLoki       = "loki"
	UIDTempo      = "tempo"
)

// Target is a query of a panel. Which fields may be set depends on the type of its
// data source; Validate checks that.
type Target struct {
	RefID      string        `json:"refId"`
	Datasource DataSourceRef `json:"datasource"`

	// Of Prometheus and Loki.
	Expr         string `json:"expr,omitempty"`
	LegendFormat string `json:"legendFormat,omitempty"`
	EditorMode   string `json:"editorMode,omitempty"` // "code"

	// Of Prometheus.
	Instant  bool   `json:"instant,omitempty"`
	Range    bool   `json:"range,omitempty"`
	Exemplar bool   `json:"exemplar,omitempty"`
	Format   string `json:"format,omitempty"`   // "" for time series, or "heatmap"
	Interval string `json:"interval,omitempty"` // the least step, "15s"

	// Of Loki and Tempo: how the query is meant.
	QueryType string `json:"queryType,omitempty"`
	// Of Loki.
	MaxLines int `json:"maxLines,omitempty"`

	// Of Tempo.
	Query           string `json:"query,omitempty"` // TraceQL
	Limit           int    `json:"limit,omitempty"`
	TableType       string `json:"tableType,omitempty"` // "traces" or "spans"
	ServiceMapQuery string `json:"serviceMapQuery,omitempty"`
}

// Query types of Loki and Tempo that the dashboard uses.
const (
	lokiRange       = "range"
	tempoTraceQL    = "traceql"
	tempoServiceMap = "serviceMap"
)

// FormatHeatmap makes Grafana turn the cumulative buckets of a histogram into one
// value each.
const FormatHeatmap = "heatmap"

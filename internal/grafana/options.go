package grafana

// Types of panels that the dashboard uses.
const (
	PanelRow        = "row"
	PanelTimeSeries = "timeseries"
	PanelStat       = "stat"
	PanelGauge      = "gauge"
	PanelBarGauge   = "bargauge"
	PanelLogs       = "logs"
	PanelTable      = "table"
	PanelNodeGraph  = "nodeGraph"
	PanelAlerts     = "alertlist"
)

// newOptions returns an empty struct for the options of a panel type; nil for a
// row, and for a type that is not known.
func newOptions(panelType string) any {
	switch panelType {
	case PanelTimeSeries:
		return &TimeSeriesOptions{}
	case PanelStat:
		return &StatOptions{}
	case PanelGauge:
		return &GaugeOptions{}
	case PanelBarGauge:
		return &BarGaugeOptions{}
	case PanelLogs:
		return &LogsOptions{}
	case PanelTable:
		return &TableOptions{}
	case PanelNodeGraph:
		return &NodeGraphOptions{}
	case PanelAlerts:
		return &AlertsOptions{}
	}
	return nil
}

// Legend names the series below or beside a chart.
type Legend struct {
	ShowLegend  bool     `json:"showLegend"`
	DisplayMode string   `json:"displayMode"` // "list" or "table"
	Placement   string   `json:"placement"`   // "bottom" or "right"
	Calcs       []string `json:"calcs"`
}

// Tooltip selects the series shown under the pointer.
type Tooltip struct {
	Mode string `json:"mode"` // "single", "multi" or "none"
	Sort string `json:"sort"` // "none", "asc" or "desc"
}

// Reduce makes one value of a series.
type Reduce struct {
	Values bool     `json:"values"`
	Calcs  []string `json:"calcs"`
	Fields string   `json:"fields"`
}

// TimeSeriesOptions are the options of PanelTimeSeries.
type TimeSeriesOptions struct {
	Legend  Legend  `json:"legend"`
	Tooltip Tooltip `json:"tooltip"`
}

// StatOptions are the options of PanelStat.
type StatOptions struct {
	ReduceOptions Reduce `json:"reduceOptions"`
	Orientation   string `json:"orientation"` // "auto", "horizontal" or "vertical"
	TextMode      string `json:"textMode"`    // "auto", "value", "value_and_name"
	ColorMode     string `json:"colorMode"`   // "value", "background" or "none"
	GraphMode     string `json:"graphMode"`   // "none" or "area"
	JustifyMode   string `json:"justifyMode"` // "auto" or "center"
}

// GaugeOptions are the options of PanelGauge.
type GaugeOptions struct {
	ReduceOptions        Reduce `json:"reduceOptions"`
	Orientation          string `json:"orientation"`
	ShowThresholdLabels  bool   `json:"showThresholdLabels"`
	ShowThresholdMarkers bool   `json:"showThresholdMarkers"`
}

// BarGaugeOptions are the options of PanelBarGauge.
type BarGaugeOptions struct {
	ReduceOptions Reduce `json:"reduceOptions"`
	Orientation   string `json:"orientation"`
	DisplayMode   string `json:"displayMode"` // "basic", "gradient" or "lcd"
	ValueMode     string `json:"valueMode"`   // "color", "text" or "hidden"
	ShowUnfilled  bool   `json:"showUnfilled"`
}

// LogsOptions are the options of PanelLogs.
type LogsOptions struct {
	ShowTime           bool   `json:"showTime"`
	ShowLabels         bool   `json:"showLabels"`
	ShowCommonLabels   bool   `json:"showCommonLabels"`
	WrapLogMessage     bool   `json:"wrapLogMessage"`
	PrettifyLogMessage bool   `json:"prettifyLogMessage"`
	EnableLogDetails   bool   `json:"enableLogDetails"`
	DedupStrategy      string `json:"dedupStrategy"` // "none", "exact", "numbers" or "signature"
	SortOrder          string `json:"sortOrder"`     // "Descending" or "Ascending"
}

// TableOptions are the options of PanelTable.
type TableOptions struct {
	ShowHeader bool   `json:"showHeader"`
	CellHeight string `json:"cellHeight"` // "sm", "md" or "lg"
}

// NodeGraphOptions are the options of PanelNodeGraph.
type NodeGraphOptions struct {
	ZoomMode string `json:"zoomMode"` // "cooperative" or "greedy"
}

// AlertsOptions are the options of PanelAlerts.
type AlertsOptions struct {
	ViewMode                 string      `json:"viewMode"`  // "list" or "stat"
	GroupMode                string      `json:"groupMode"` // "default" or "custom"
	GroupBy                  []string    `json:"groupBy"`
	MaxItems                 int         `json:"maxItems"`
	SortOrder                int         `json:"sortOrder"` // 1: by name, 3: by importance
	DashboardAlerts          bool        `json:"dashboardAlerts"`
	AlertName                string      `json:"alertName"`
	AlertInstanceLabelFilter string      `json:"alertInstanceLabelFilter"`
	Datasource               string      `json:"datasource"` // its name, not its uid
	ShowInstances            bool        `json:"showInstances"`
	ShowInactiveAlerts       bool        `json:"showInactiveAlerts"`
	StateFilter              StateFilter `json:"stateFilter"`
}

// StateFilter selects the alert states that are listed.
type StateFilter struct {
	Firing     bool `json:"firing"`
	Pending    bool `json:"pending"`
	Recovering bool `json:"recovering"`
	NoData     bool `json:"noData"`
	Normal     bool `json:"normal"`
	Error      bool `json:"error"`
}

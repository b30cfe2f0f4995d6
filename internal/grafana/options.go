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

// Options are the settings that only panels of one type have, by Grafana's names
// (public/app/plugins/panel/*/panelcfg.cue). Grafana alone reads them.
type Options map[string]any

package grafana

// Dashboard is a dashboard in Grafana's JSON model.
type Dashboard struct {
	UID           string      `json:"uid"`
	Title         string      `json:"title"`
	Description   string      `json:"description"`
	Tags          []string    `json:"tags"`
	Timezone      string      `json:"timezone"`
	Editable      bool        `json:"editable"`
	GraphTooltip  int         `json:"graphTooltip"` // 0: none shared, 1: crosshair, 2: crosshair and tooltip
	Time          TimeRange   `json:"time"`
	Refresh       string      `json:"refresh"`
	SchemaVersion int         `json:"schemaVersion"`
	Annotations   Annotations `json:"annotations"`
	Templating    Templating  `json:"templating"`
	Links         []Link      `json:"links"`
	Panels        []Panel     `json:"panels"`
}

// TimeRange is the time range of the dashboard at first: "now-15m" to "now".
type TimeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Annotations are marks across all panels. The lab has none.
type Annotations struct {
	List []struct{} `json:"list"`
}

// Templating has the variables.
type Templating struct {
	List []Variable `json:"list"`
}

// Link leads out of the dashboard.
type Link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"` // "link"
	Icon        string   `json:"icon"`
	Tooltip     string   `json:"tooltip"`
	URL         string   `json:"url"`
	Tags        []string `json:"tags"`
	AsDropdown  bool     `json:"asDropdown"`
	TargetBlank bool     `json:"targetBlank"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
}

// Panel is a visualization, or a row, which is the heading of those below it.
type Panel struct {
	ID          int            `json:"id"`
	Type        string         `json:"type"`
	Title       string         `json:"title"`
	Description string         `json:"description,omitempty"` // a row has none
	GridPos     GridPos        `json:"gridPos"`
	Datasource  *DataSourceRef `json:"datasource,omitempty"`
	// MaxDataPoints bounds the points of a query, by its step; 0: the panel's
	// width in pixels.
	MaxDataPoints int      `json:"maxDataPoints,omitempty"`
	Targets       []Target `json:"targets,omitempty"`
	// Service is the service that the panel is about; of a panel about several, the one
	// that is called last. Grafana does not know it: the checklist does.
	Service     string       `json:"service,omitempty"`
	FieldConfig *FieldConfig `json:"fieldConfig,omitempty"`
	Options     Options      `json:"options,omitempty"`

	Collapsed *bool   `json:"collapsed,omitempty"` // rows only
	Panels    []Panel `json:"panels,omitempty"`    // those of a collapsed row
}

// GridPos is the place of a panel in a grid of 24 columns.
type GridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

// gridColumns is the width of Grafana's grid.
const gridColumns = 24

// DataSourceRef names a data source: by its uid, or by a variable.
type DataSourceRef struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// FieldConfig sets how values are shown.
type FieldConfig struct {
	Defaults  FieldDefaults `json:"defaults"`
	Overrides []Override    `json:"overrides"`
}

// FieldDefaults apply to every field that no override names.
type FieldDefaults struct {
	Unit       string      `json:"unit,omitempty"`
	Decimals   *int        `json:"decimals,omitempty"`
	Min        *float64    `json:"min,omitempty"`
	Max        *float64    `json:"max,omitempty"`
	NoValue    string      `json:"noValue,omitempty"` // shown if there are no values
	Color      *Color      `json:"color,omitempty"`
	Thresholds *Thresholds `json:"thresholds,omitempty"`
	Custom     *Custom     `json:"custom,omitempty"`
}

// Color selects the colour of a field.
type Color struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor,omitempty"` // of mode "fixed"
}

// Thresholds map values to colours.
type Thresholds struct {
	Mode  string      `json:"mode"` // "absolute" or "percentage"
	Steps []Threshold `json:"steps"`
}

// Threshold is a colour from a value on. The first step has no value: it holds
// from minus infinity, for which JSON has no number.
type Threshold struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

// Custom holds the settings that only time series have.
type Custom struct {
	DrawStyle   string `json:"drawStyle,omitempty"` // "line", "bars" or "points"
	LineWidth   int    `json:"lineWidth,omitempty"`
	FillOpacity int    `json:"fillOpacity,omitempty"` // percent
	ShowPoints  string `json:"showPoints,omitempty"`  // "auto", "never" or "always"
	SpanNulls   bool   `json:"spanNulls,omitempty"`
}

// Override is another way of showing the fields that it matches.
type Override struct {
	Matcher    Matcher    `json:"matcher"`
	Properties []Property `json:"properties"`
}

// Matcher picks fields: "byName" takes the one whose name is in Options.
type Matcher struct {
	ID      string `json:"id"`
	Options string `json:"options"`
}

// Property is a setting of an override. The lab's dashboard overrides colours only.
type Property struct {
	ID    string `json:"id"` // "color"
	Value Color  `json:"value"`
}

// ColorOf returns the fixed colour that the panel gives to the series of that
// name, or "".
func (p Panel) ColorOf(series string) string {
	if p.FieldConfig == nil {
		return ""
	}
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID == matchByName && o.Matcher.Options == series {
			for _, prop := range o.Properties {
				if prop.ID == propertyColor {
					return prop.Value.FixedColor
				}
			}
		}
	}
	if c := p.FieldConfig.Defaults.Color; c != nil && c.Mode == colorFixed {
		return c.FixedColor
	}
	return ""
}

// Names of Grafana's that more than one file needs.
const (
	matchByName     = "byName"
	propertyColor   = "color"
	colorFixed      = "fixed"
	colorPalette    = "palette-classic"
	colorThresholds = "thresholds"
)

// Series colours that the dashboard uses, by Grafana's names.
const (
	Blue   = "blue"
	Green  = "green"
	Orange = "orange"
	Purple = "purple"
	Red    = "red"
	Yellow = "yellow"
)

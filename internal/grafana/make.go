package grafana

import "dicelab/internal/contract"

// Constructors of panels. The first lines of each call describe the panel: title,
// unit, what to look for, and how wide and high it is.

// noRolls is the empty state of most panels, with what to do.
const noRolls = "No rolls in this time: roll a die at http://localhost:" + contract.PortFrontend

// size of a panel in the grid.
type size struct{ w, h int }

// paint is a colour of the series of that name.
type paint struct{ series, color string }

func dicePaint() []paint { return []paint{{contract.DieFair, Blue}, {contract.DieRisky, Orange}} }

func servicePaint() []paint {
	return []paint{{contract.ServiceFrontend, Purple}, {contract.ServiceRoller, Green}, {contract.ServiceTraffic, Orange}, {contract.ClientUser, Blue}}
}

func quantilePaint() []paint { return []paint{{"p50", Blue}, {"p95", Yellow}, {"p99", Red}} }

func fieldConfig(unit string, d FieldDefaults, paints []paint) *FieldConfig {
	d.Unit = unit
	if d.NoValue == "" {
		d.NoValue = noRolls
	}
	overrides := []Override{}
	for _, p := range paints {
		overrides = append(overrides, Override{
			Matcher:    Matcher{ID: matchByName, Options: p.series},
			Properties: []Property{{ID: propertyColor, Value: Color{Mode: colorFixed, FixedColor: p.color}}},
		})
	}
	return &FieldConfig{Defaults: d, Overrides: overrides}
}

// timeSeries draws lines over time.
func timeSeries(title, unit string, s size, lookFor string, paints []paint, targets ...Target) Panel {
	return Panel{
		Type: PanelTimeSeries, Title: title, Description: lookFor, GridPos: GridPos{W: s.w, H: s.h}, Datasource: ref(prometheus()), Targets: lettered(targets),
		FieldConfig: fieldConfig(unit, FieldDefaults{
			Min: number(0), Color: &Color{Mode: colorPalette},
			Custom: &Custom{DrawStyle: "line", LineWidth: 2, FillOpacity: 8, ShowPoints: "auto"},
		}, paints),
		Options: Options{
			"legend":  Options{"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []string{lastNotNull}},
			"tooltip": Options{"mode": "multi", "sort": "desc"},
		},
	}
}

// lastNotNull takes the newest value of a series.
const lastNotNull = "lastNotNull"

func reduce() Options { return Options{"values": false, "calcs": []string{lastNotNull}, "fields": ""} }

// gauge shows a share, good above limits.
func gauge(title string, s size, lookFor string, fair, good float64, target Target) Panel {
	return Panel{
		Type: PanelGauge, Title: title, Description: lookFor, GridPos: GridPos{W: s.w, H: s.h}, Datasource: ref(prometheus()), Targets: lettered([]Target{target}),
		FieldConfig: fieldConfig(UnitPercent, FieldDefaults{
			Min: number(0), Max: number(1), Decimals: whole(1), Color: &Color{Mode: colorThresholds},
			Thresholds: &Thresholds{Mode: "absolute", Steps: []Threshold{{Color: Red}, {Yellow, number(fair)}, {Green, number(good)}}},
		}, nil),
		Options: Options{
			"reduceOptions": reduce(), "orientation": "auto",
			"showThresholdLabels": false, "showThresholdMarkers": true,
		},
	}
}

// stat shows one number. A limit of 0 leaves it without a colour.
func stat(title, unit string, s size, lookFor string, limit float64, target Target) Panel {
	d := FieldDefaults{Decimals: whole(0), Color: &Color{Mode: colorFixed, FixedColor: Blue}}
	if limit > 0 {
		d.Color = &Color{Mode: colorThresholds}
		d.Thresholds = &Thresholds{Mode: "absolute", Steps: []Threshold{{Color: Green}, {Red, number(limit)}}}
	}
	return Panel{
		Type: PanelStat, Title: title, Description: lookFor, GridPos: GridPos{W: s.w, H: s.h}, Datasource: ref(prometheus()), Targets: lettered([]Target{target}),
		FieldConfig: fieldConfig(unit, d, nil),
		Options: Options{
			"reduceOptions": reduce(), "orientation": "auto", "textMode": "auto",
			"colorMode": "value", "graphMode": "none", "justifyMode": "auto",
		},
	}
}

// bars shows one bar a series, or a bucket.
func bars(title, unit string, s size, lookFor string, paints []paint, color, orientation string, target Target) Panel {
	d := FieldDefaults{Min: number(0), Decimals: whole(0), Color: &Color{Mode: colorPalette}}
	if color != "" {
		d.Color = &Color{Mode: colorFixed, FixedColor: color}
	}
	return Panel{
		Type: PanelBarGauge, Title: title, Description: lookFor, GridPos: GridPos{W: s.w, H: s.h}, Datasource: ref(prometheus()), Targets: lettered([]Target{target}),
		FieldConfig: fieldConfig(unit, d, paints),
		Options: Options{
			"reduceOptions": reduce(), "orientation": orientation, "displayMode": "basic",
			"valueMode": "color", "showUnfilled": true,
		},
	}
}

// logs lists log lines.
func logs(title string, s size, lookFor, empty, logQL string, most int) Panel {
	return Panel{
		Type: PanelLogs, Title: title, Description: lookFor, GridPos: GridPos{W: s.w, H: s.h}, Datasource: ref(loki()),
		Targets:     lettered([]Target{{Datasource: loki(), Expr: logQL, QueryType: lokiRange, MaxLines: most, EditorMode: "code"}}),
		FieldConfig: fieldConfig("", FieldDefaults{NoValue: empty}, nil),
		Options: Options{
			"showTime": true, "showLabels": false, "showCommonLabels": false, "wrapLogMessage": false,
			"prettifyLogMessage": false, "enableLogDetails": true, "dedupStrategy": "none", "sortOrder": "Descending",
		},
	}
}

// lettered names queries A, B, C, as Grafana does.
func lettered(targets []Target) []Target {
	for i := range targets {
		targets[i].RefID = string(rune('A' + i))
	}
	return targets
}

// ranged returns a query over time. Its least step makes a rate cover a minute at
// least, in which even a person rolls now and then.
func ranged(promQL, legend string) Target {
	return Target{Datasource: prometheus(), Expr: promQL, LegendFormat: legend, EditorMode: "code", Range: true, Interval: "15s"}
}

// instant returns a query for the end of the range.
func instant(promQL, legend string) Target {
	return Target{Datasource: prometheus(), Expr: promQL, LegendFormat: legend, EditorMode: "code", Instant: true}
}

// withExemplars makes the first of the queries ask for exemplars: the others would
// ask for the same ones.
func withExemplars(targets ...Target) []Target {
	targets[0].Exemplar = true
	return targets
}

func number(v float64) *float64               { return &v }
func whole(v int) *int                        { return &v }
func ref(source DataSourceRef) *DataSourceRef { return &source }

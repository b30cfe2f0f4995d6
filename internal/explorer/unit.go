package explorer

import "dicelab/internal/grafana"

// unitFormat writes a value in one of Grafana's units.
func unitFormat(unit string) func(float64) string {
	switch unit {
	case grafana.UnitSeconds:
		return secondsText
	case grafana.UnitPercent:
		return percent
	case grafana.UnitReqPerSec:
		return suffixed("/s")
	case grafana.UnitCountPerMin:
		return suffixed("/min")
	}
	return short
}

func suffixed(unit string) func(float64) string {
	return func(v float64) string {
		text := short(v)
		if text == "–" {
			return text
		}
		return text + " " + unit
	}
}

// unitName returns a unit as a panel's heading says it.
func unitName(unit string) string {
	switch unit {
	case grafana.UnitSeconds:
		return "duration"
	case grafana.UnitPercent:
		return "share"
	case grafana.UnitReqPerSec:
		return "requests per second"
	case grafana.UnitCountPerMin:
		return "per minute"
	case grafana.UnitShort:
		return "count"
	}
	return ""
}

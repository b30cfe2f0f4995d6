package grafana

// units returns Grafana's ids of the units that the dashboard may use
// (packages/grafana-data/src/valueFormats/categories.ts).
func units() []string {
	return []string{
		UnitShort,       // a number, with K and Mil from a thousand on
		UnitPercent,     // a share, 0.0 to 1.0
		UnitSeconds,     // a duration in seconds, shown in the unit that fits
		UnitReqPerSec,   // requests per second
		UnitCountPerMin, // counts per minute
	}
}

// Units.
const (
	UnitShort       = "short"
	UnitPercent     = "percentunit"
	UnitSeconds     = "s"
	UnitReqPerSec   = "reqps"
	UnitCountPerMin = "cpm"
)

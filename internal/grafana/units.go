package grafana

// Grafana's ids of the units that the dashboard uses.
const (
	UnitShort       = "short"       // a number, with K and Mil from a thousand on
	UnitPercent     = "percentunit" // a share, 0.0 to 1.0
	UnitSeconds     = "s"           // a duration in seconds, shown in the unit that fits
	UnitReqPerSec   = "reqps"       // requests per second
	UnitCountPerMin = "cpm"         // counts per minute
)

package conformance

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"dicelab/internal/contract"
)

// Job is the job under which the endpoint of the data set is scraped.
const Job = contract.ServiceRoller

// openMetrics is the response of the endpoint: one roll of each kind, with exemplars,
// and rare values and labels. The %s are an exemplar's trace ID
// and time.
const openMetrics = `# HELP dice_rolls Rolls of the die.
# TYPE dice_rolls counter
dice_rolls_total{die_type="fair",result="success"} 2.0 # {trace_id="%[1]s"} 1.0 %[2]s
dice_rolls_total{die_type="risky",result="error"} 1.0
# HELP dice_roll_value Values that were rolled.
# TYPE dice_roll_value histogram
dice_roll_value_bucket{die_type="fair",le="1.0"} 1
dice_roll_value_bucket{die_type="fair",le="4.0"} 2 # {trace_id="%[1]s",span_id="00f067aa0ba902b7"} 4.0 %[2]s
dice_roll_value_bucket{die_type="fair",le="+Inf"} 2
dice_roll_value_count{die_type="fair"} 2
dice_roll_value_sum{die_type="fair"} 5.0
# HELP oddity Values that are rarely seen.
# TYPE oddity gauge
oddity{farbe="grün 🎲"} 1.5e-07
oddity{of="not a number"} NaN
oddity{of="no end"} +Inf
oddity{of="a quoted \"text\"\nof two lines"} -3
# EOF
`

// Exposition serves the metrics of the data set as a service's /metrics does.
func Exposition(base time.Time) http.Handler {
	seconds := float64(base.Add(1300*time.Millisecond).UnixMilli()) / 1000
	body := fmt.Sprintf(openMetrics, hex.EncodeToString(traceID("fa")), fmt.Sprintf("%.3f", seconds))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		_, _ = w.Write([]byte(body)) // an error means that the server is gone; it scrapes again
	})
}

package grafana

import (
	"fmt"
	"time"

	"dicelab/internal/contract"
)

// GraphPart is the part of a service graph that a query provides.
type GraphPart string

// The parts, in the order of their queries.
const (
	GraphRequests GraphPart = "requests" // per second, by client and server
	GraphSeconds  GraphPart = "seconds"  // that the server took, per second
	GraphFailed   GraphPart = "failed"   // requests per second
)

// serviceGraph lists the queries that Grafana makes for a service graph over a
// range. Its Tempo data source asks the Prometheus that is set for the service map
// for rates of Tempo's own series, and joins them by client and server.
func serviceGraph(q Query, filter string, over time.Duration) []Query {
	var out []Query
	for _, part := range []struct {
		part   GraphPart
		metric string
	}{
		{GraphRequests, contract.MetricGraphRequests},
		{GraphSeconds, contract.MetricGraphServerSeconds + "_sum"},
		{GraphFailed, contract.MetricGraphFailed},
	} {
		q.Server, q.Instant, q.Graph, q.RefID = TypePrometheus, true, part.part, string(part.part)
		q.Expr = fmt.Sprintf("sum by (%s, %s) (rate(%s%s[%s]))", contract.LabelClient, contract.LabelServer, part.metric, filter, duration(over))
		out = append(out, q)
	}
	return out
}

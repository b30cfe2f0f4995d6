package otlp

import (
	"fmt"
	"math"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
)

// misplaced returns a message with the number of spans that searches do not find at their
// own time, because they begin too long ago or too far in the future, and with the first
// of them; "" if there is none.
func (r *Receiver) misplaced(req *coltracepb.ExportTraceServiceRequest, now time.Time) string {
	if r.opts.Age == 0 {
		return ""
	}
	earliest, latest := now.UnixNano()-int64(r.opts.Age), now.UnixNano()+int64(r.opts.Early)
	count, first := 0, ""
	for _, resource := range req.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				start := int64(min(span.GetStartTimeUnixNano(), math.MaxInt64))
				if start >= earliest && start <= latest {
					continue
				}
				if count++; count == 1 {
					at := time.Unix(0, start).UTC().Format(time.RFC3339)
					first = fmt.Sprintf("%.100q, begins at %s", span.GetName(), at)
				}
			}
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("%d spans begin more than %v ago or %v ahead: they are stored, and found by their trace ID and by searches without a time range; the first, %s",
		count, r.opts.Age, r.opts.Early, first)
}

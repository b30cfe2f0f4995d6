package verify

import (
	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/query"
)

// rowRoll is the check that needs the rolls of a run: they are made if it, or one
// that comes after it, is chosen.
const rowRoll = "roll-via-ui"

// functions returns the function of every check in checks.yaml.
func functions() map[string]Func {
	const frontend, roller = contract.ServiceFrontend, contract.ServiceRoller
	return map[string]Func{
		"services-start":    servicesStart,
		"backend-responds":  backendResponds,
		"frontend-ui-loads": onPage(uiLoads),
		"frontend-metrics-exposed": exposed(frontend, contract.MetricButtonClicks, contract.MetricBackendRequests,
			contract.MetricBackendDuration, contract.MetricHTTPRequests, contract.MetricHTTPDuration),
		"backend-metrics-exposed": exposed(roller, contract.MetricDiceRolls, contract.MetricDiceRollValue,
			contract.MetricHTTPRequests, contract.MetricHTTPDuration),
		"prometheus-answers": answers(askPrometheus),
		"loki-answers":       answers(askLoki),
		"tempo-answers":      answers(askTempo),

		"targets-up":              targetsUp,
		"frontend-metrics-stored": stored(frontend, contract.MetricButtonClicks),
		"backend-metrics-stored":  stored(roller, contract.MetricDiceRolls),
		"counters-exact":          countersExact,
		"labels-bounded":          labelsBounded,

		"alloy-discovers":         alloyDiscovers,
		"frontend-logs":           containerLogs(frontend, contract.MsgButtonClicked),
		"backend-logs":            containerLogs(roller, contract.MsgRollReceived),
		"logs-have-trace-context": logsHaveContext,
		"log-labels":              logLabels,

		"frontend-traces-searchable": searchable(frontend),
		"backend-traces-searchable":  searchable(roller),
		"two-service-trace":          onCall(twoServices),
		"same-trace-id":              onCall(sameTraceID),
		"timing":                     onCall(timing),
		"span-tree":                  onTrace((*rolls).succeeded, spanTree(golden.Success)),
		"failed-span-tree":           onTrace((*rolls).failed, spanTree(golden.Failure)),
		"span-names-bounded":         spanNames,
		"spans-delivered":            spansDelivered,

		rowRoll:                  rollViaUI,
		"trace-found":            onTrace((*rolls).succeeded, traceFound),
		"spans-from-both":        onTrace((*rolls).succeeded, spansFromBoth),
		"parent-child":           onCall(parentChild),
		"traceparent-propagated": traceparentPropagated,
		"caller-continued":       callerContinued,
		"malformed-starts-anew":  malformedStartsAnew,
		"tracestate-arrives":     arrives(sentState, func(s *query.Span) string { return s.TraceState }),
		"baggage-arrives": arrives(sentBaggage, func(s *query.Span) string {
			return first(s.Attributes.Get(contract.AttrBaggage))
		}),
		"unsampled-respected": unsampledRespected,

		"open-trace":          onTrace((*rolls).failed, openTrace),
		"frontend-span-logs":  onSpan(frontend, contract.SpanButtonClick, spanLogs),
		"frontend-logs-match": onSpan(frontend, contract.SpanButtonClick, logsMatch),
		"backend-span-logs":   onSpan(roller, contract.SpanRollerRoll, spanLogs),
		"backend-logs-match":  onSpan(roller, contract.SpanRollerRoll, logsMatch),
		"logs-same-trace":     logsSameTrace,
		"log-to-trace":        onTrace((*rolls).succeeded, logToTrace),
		"exemplar-to-trace":   exemplarToTrace,
		"status-agrees":       onTrace((*rolls).failed, statusAgrees),

		"dropdown-offers-dice":  onPage(dropdown),
		"roll-button-works":     rollButton,
		"trace-id-displayed":    traceIDDisplayed,
		"errors-displayed":      errorsDisplayed,
		"sidebar-shows-backend": onPage(sidebar),

		"traffic-dependencies": trafficDependencies,
		"traffic-runs":         onTraffic(trafficRuns),
		"traffic-propagates":   onTraffic(trafficPropagates),
		"traffic-logs":         onTraffic(trafficLogs),
		"traffic-searchable":   onTraffic(trafficSearchable),

		"dashboard-in-grafana":   inGrafana,
		"panels-load":            panelsLoad,
		"backend-panels-data":    panelsShow(roller),
		"frontend-panels-data":   panelsShow(frontend),
		"link-trace-to-logs":     onLinks(linkToLogs),
		"link-trace-to-metrics":  onLinks(linkToMetrics),
		"link-log-to-trace":      onLinks(linkToTrace),
		"link-exemplar-to-trace": onLinks(linkFromExemplar),
		"link-service-map":       onLinks(linkServiceMap),
	}
}

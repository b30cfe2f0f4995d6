package grafana

import (
	"fmt"

	"dicelab/internal/contract"
)

// handlerRoll is the handler of rolls, of both services.
const handlerRoll = "/roll"

// aboutFrontend marks a panel about the front end in a row about another service.
func aboutFrontend(p Panel) Panel {
	p.Service = contract.ServiceFrontend
	return p
}

func frontendPanels() []Panel {
	die := thatDie()
	roll := []string{is(labelJob, contract.ServiceFrontend), is(contract.LabelHandler, handlerRoll)}
	return []Panel{
		timeSeries("Frontend request rate", UnitReqPerSec, size{8, 8},
			"Requests that the front end answers, by class of status. A 5xx is a roll that a person saw fail.",
			[]paint{{"2xx", Green}, {"4xx", Yellow}, {"5xx", Red}},
			ranged(sum(rate(of(contract.MetricHTTPRequests, is(labelJob, contract.ServiceFrontend)), perStep), contract.LabelStatus), "{{status}}")),
		gauge("Frontend success rate", size{4, 8},
			"Share of rolls that the dice roller answered, as the front end counts them. The risky die fails in one roll of ten: below 88 % something else fails, too.",
			.75, .88, instant("1 - "+ratio(of(contract.MetricBackendRequests, die, matches(contract.LabelStatusCode, "5..")), of(contract.MetricBackendRequests, die), perRange), "success")),
		timeSeries("Button clicks by die", UnitCountPerMin, size{6, 8},
			"Clicks on the Roll button in a minute. If rolls of the roller grow and clicks do not, rolls are made without the page.",
			dicePaint(), ranged("60 * "+sum(rate(of(contract.MetricButtonClicks, die), perStep), contract.LabelDieType), "{{die_type}}")),
		timeSeries("Answers from the dice roller", UnitReqPerSec, size{6, 8},
			"What the front end got: 500 is the risky die, 503 a roller that could not be reached, 504 one that did not answer in time.",
			[]paint{{"200", Green}, {"500", Red}, {"503", Yellow}, {"504", Orange}},
			ranged(sum(rate(of(contract.MetricBackendRequests, die), perStep), contract.LabelStatusCode), "{{status_code}}")),
		timeSeries("Frontend → backend latency", UnitSeconds, size{12, 9},
			"How long the front end waits for the roller. A roll takes up to one second by design. Each dot is a roll: open its trace.",
			quantilePaint(), quantiles(contract.MetricBackendDuration, die)...),
		timeSeries("Average response time by die", UnitSeconds, size{6, 9},
			"The mean of the same histogram. Both dice take half a second on average; a die that drifts away is slow for a reason of its own.",
			dicePaint(), ranged(mean(contract.MetricBackendDuration, []string{die}, contract.LabelDieType), "{{die_type}}")),
		timeSeries("Frontend latency", UnitSeconds, size{6, 9},
			"How long a person waits for the front end's answer. What it adds to the roller's time is the front end's own work and the way between them.",
			quantilePaint(), quantiles(contract.MetricHTTPDuration, roll...)...),
	}
}

func betweenPanels() []Panel {
	pair := []string{is(contract.LabelClient, contract.ServiceFrontend), is(contract.LabelServer, contract.ServiceRoller)}
	began := isNot(contract.LabelClient, "$"+VariableSynthetic)
	p95 := quantile(.95, contract.MetricHTTPDuration, []string{is(contract.LabelHandler, handlerRoll)}, labelJob)
	return []Panel{
		timeSeries("Latency of both services", UnitSeconds, size{8, 8},
			"p95 of each service's own histogram, side by side. The front end's is the roller's and a little more; where the gap grows, the time is lost between them.",
			servicePaint(), ranged(p95, "{{job}}")),
		aboutFrontend(timeSeries("Network time", UnitSeconds, size{6, 8},
			"Mean time of a call as its client sees it, less what its server says it took: the way there and back, and waiting for a connection. Made from spans.",
			[]paint{{"network", Purple}},
			ranged("("+mean(contract.MetricGraphClientSeconds, pair)+") - ("+mean(contract.MetricGraphServerSeconds, pair)+")", "network"))),
		aboutFrontend(timeSeries("Rolls by caller", UnitCountPerMin, size{6, 8},
			"Calls of the front end in a minute, by caller, from the service graph: user is a browser or anything else that sends no spans. The one metric that can leave synthetic traffic out.",
			servicePaint(), ranged("60 * "+sum(rate(of(contract.MetricGraphRequests, is(contract.LabelServer, contract.ServiceFrontend), began), perStep), contract.LabelClient), "{{client}}"))),
		aboutFrontend(stat("Traces", UnitShort, size{4, 8},
			"Rolls in this time that left a trace, synthetic ones included: calls of the front end's root span in the span metrics. Fewer than clicks means that spans are lost.", 0,
			instant(sum(increase(of(contract.MetricSpanCalls, is(contract.LabelService, contract.ServiceFrontend), is(contract.LabelSpanName, contract.SpanFrontendRoll)), perRange)), "traces"))),
		{
			Type: PanelNodeGraph, Title: "Service graph", GridPos: GridPos{W: 10, H: 12}, Datasource: ref(tempo()),
			Description: "Which service calls which: requests per second and mean time on each edge, the share of failed calls as the ring's red part. Made from spans: an edge that is missing is a traceparent that was not passed on.",
			Targets:     lettered([]Target{{Datasource: tempo(), QueryType: tempoServiceMap, ServiceMapQuery: "{" + began + "}"}}),
			FieldConfig: fieldConfig("", FieldDefaults{}, nil), Options: Options{"zoomMode": "cooperative"},
		},
		{
			Type: PanelTable, Title: "Recent distributed traces", GridPos: GridPos{W: 14, H: 12}, Datasource: ref(tempo()),
			Description: "Traces that reached the dice roller from another service. Click one: two services, one trace ID, and the roller's span within the front end's.",
			Targets: lettered([]Target{{Datasource: tempo(), QueryType: tempoTraceQL, Limit: 20, TableType: "traces", Query: fmt.Sprintf(
				`{resource.service.name=%q && name=%q && span.%s=~"$%s" && rootServiceName!=%q && rootServiceName!="$%s"}`,
				contract.ServiceRoller, contract.SpanRollerRoll, contract.AttrDieType, VariableDie, contract.ServiceRoller, VariableSynthetic)}}),
			FieldConfig: fieldConfig("", FieldDefaults{}, nil), Options: Options{"showHeader": true, "cellHeight": "sm"},
		},
	}
}

func rollerPanels() []Panel {
	die := thatDie()
	failed := is(contract.LabelResult, contract.ResultError)
	roll := []string{is(labelJob, contract.ServiceRoller), is(contract.LabelHandler, handlerRoll)}
	return []Panel{
		timeSeries("Request rate", UnitReqPerSec, size{8, 8},
			"Requests that the roller answers, by class of status. A 4xx is a die that there is not, or a caller that went away.",
			[]paint{{"2xx", Green}, {"4xx", Yellow}, {"5xx", Red}},
			ranged(sum(rate(of(contract.MetricHTTPRequests, is(labelJob, contract.ServiceRoller)), perStep), contract.LabelStatus), "{{status}}")),
		gauge("Success rate", size{4, 8},
			"Share of dice that did not fail. The fair die never does; the risky one does in one roll of ten.",
			.75, .88, instant("1 - "+ratio(of(contract.MetricDiceRolls, die, failed), of(contract.MetricDiceRolls, die), perRange), "success")),
		timeSeries("Error rate by die", UnitPercent, size{6, 8},
			"Share of failed rolls. Above 25 % for half a minute the alert RollErrorRatioHigh fires.",
			dicePaint(), ranged(ratio(of(contract.MetricDiceRolls, die, failed), of(contract.MetricDiceRolls, die), perStep, contract.LabelDieType), "{{die_type}}")),
		bars("Rolls by die", UnitShort, size{6, 8},
			"Rolls in this time, by die and result. Counters are read every two seconds and the ends are estimated, so that a number can be off by one.",
			[]paint{{contract.DieFair + " " + contract.ResultSuccess, Blue}, {contract.DieFair + " " + contract.ResultError, Red},
				{contract.DieRisky + " " + contract.ResultSuccess, Orange}, {contract.DieRisky + " " + contract.ResultError, Red}}, "", "horizontal",
			instant(sum(increase(of(contract.MetricDiceRolls, die), perRange), contract.LabelDieType, contract.LabelResult), "{{die_type}} {{result}}")),
		timeSeries("Latency", UnitSeconds, size{12, 9},
			"How long the roller takes to answer a roll. Each dot is a roll: open its trace.",
			quantilePaint(), quantiles(contract.MetricHTTPDuration, roll...)...),
		bars("Values of the fair die", UnitShort, size{6, 9},
			"How often each value was rolled: 1 to 6, each as often as the others once there are enough.", nil, Blue, "vertical", distribution(contract.DieFair)),
		bars("Values of the risky die", UnitShort, size{6, 9},
			"How often each value was rolled: 2 to 7, never a 1. A failed roll has no value.", nil, Orange, "vertical", distribution(contract.DieRisky)),
	}
}

func logPanels() []Panel {
	const most = 100
	die := fmt.Sprintf(` | json | %s=~"$%s"`, contract.FieldDieType, VariableDie)
	began := isNot(contract.StreamService, "$"+VariableSynthetic)
	return []Panel{
		logs("Recent logs", size{24, 10},
			"The newest lines of all services. Open one: Open the trace leads to the roll that wrote it.", "No log lines in this time: each roll writes four",
			"{"+matches(contract.StreamService, ".+")+", "+began+"}"+die, most),
		aboutFrontend(logs("Frontend logs", size{12, 10},
			"Each roll writes two lines here: the click, and the answer or the failure.", "No log lines in this time: each roll writes two here",
			"{"+is(contract.StreamService, contract.ServiceFrontend)+"}"+die, most)),
		logs("Error logs", size{12, 10},
			"Lines of level ERROR. A failed roll writes one in each service, with the same trace_id.", "No errors in this time: roll the risky die, it fails in one roll of ten",
			"{"+matches(contract.StreamService, ".+")+", "+began+", "+is(contract.StreamLevel, contract.LevelError)+"}"+die, most),
	}
}

func healthPanels() []Panel {
	const quiet = "No samples in this time: see whether both services are scraped"
	dropped := timeSeries("Spans dropped", UnitCountPerMin, size{8, 8},
		"Spans that were finished but not delivered, in a minute, by service. Above 0, traces are incomplete and the counts made from spans too low.",
		servicePaint(), ranged("60 * "+sum(rate(contract.MetricSpansDropped, perStep), labelJob), "{{job}}"))
	dropped.FieldConfig.Defaults.NoValue = quiet
	firing := stat("Alerts firing", UnitShort, size{4, 8}, "How many alerts fire at this moment.", 1, instant(`count(ALERTS{alertstate="firing"}) or vector(0)`, "firing"))
	firing.FieldConfig.Defaults.NoValue = quiet
	return []Panel{
		firing,
		{
			Type: PanelAlerts, Title: "Alerts", GridPos: GridPos{W: 12, H: 8}, Datasource: ref(prometheus()),
			Description: "The alerts of Prometheus' rules.yml with their state. Each says what is wrong and where to look.",
			FieldConfig: fieldConfig("", FieldDefaults{NoValue: "No alerts: Prometheus has no rules"}, nil),
			Options: Options{
				"viewMode": "list", "groupMode": "default", "groupBy": []string{}, "maxItems": 20, "sortOrder": 3, // by importance
				"dashboardAlerts": false, "alertName": "", "alertInstanceLabelFilter": "", "datasource": "Prometheus",
				"showInstances": true, "showInactiveAlerts": true,
				"stateFilter": map[string]bool{
					"firing": true, "pending": true, "recovering": true, "noData": true, "normal": true, "error": true,
				},
			},
		},
		dropped,
	}
}

package quest

import (
	"time"

	"dicelab/internal/contract"
)

// Quest is an entry of the table: an exercise, or an incident with questions.
type Quest struct {
	Name      string // as typed
	Title     string
	Level     string // one of the Level constants
	Path      int    // its place on the path of the first hour; 0: none
	Story     string // two sentences
	Assume    string // what may be assumed
	Learn     string // the one thing to learn
	Questions []Question
	Hints     []string // three; each costs points
	After     string   // said at the end of an exercise

	causes []string // the seed chooses one; none for an exercise
}

// The levels, from the first to the last.
const (
	LevelExercise = "exercise"
	LevelEasy     = "easy"
	LevelMedium   = "medium"
	LevelHard     = "hard"
)

func (q Quest) incident() bool { return len(q.causes) > 0 }

func (q Quest) ids() (ids []string) {
	for _, question := range q.Questions {
		ids = append(ids, question.ID)
	}
	return ids
}

// asks returns the questions of a quest in their order.
func asks(some ...any) (list []Question) {
	for _, q := range some {
		switch q := q.(type) {
		case Question:
			list = append(list, q)
		case []Question:
			list = append(list, q...)
		}
	}
	return list
}

const (
	usual = "Until it began, all was well. Rolls take up to a second, and the risky die fails one time in ten: that is as it should be."
	alone = usual + " One thing broke, in one service."
)

// Quests lists the exercises and the quests, the easy ones first.
func Quests() []Quest {
	return append(exercises(), []Quest{
		{
			Name: "slow-rolls", Title: "Rolls take for ever", Level: LevelEasy,
			Story:  "Users say that for a while the die would not settle. It went on for some seconds, and nobody changed anything.",
			Assume: alone, Learn: "to read a waterfall: the span whose own time is long, not the one that waits for it",
			Questions: asks(what(), where(), when(), traceThat(), spanThat("The span in that trace which takes the time itself."),
				queryThat(traceQL, "A query that finds the slow rolls and no others.")),
			Hints: []string{"Open Traces for the last minutes and sort by eye: which rolls took longer than a second?",
				"In the waterfall, a long bar above another long bar waits for it. Self time, in the table of the span, is what a span did itself.",
				"TraceQL can ask for a name and a duration at once: { name=\"…\" && duration>…ms }."},
			causes: []string{"slow"},
		},
		{
			Name: "failing-rolls", Title: "The die that falls off the table", Level: LevelEasy,
			Story:  "More rolls fail than usual, users say. Not everybody is hit.",
			Assume: alone, Learn: "to tell errors apart: by their message, their place and what they have in common",
			Questions: asks(what(), where(), choose("who", "Rolls of which die are affected?", contract.Dice(), func(in Incident) string { return in.Die },
				"Compare affected rolls with those that are not: this is not what tells them apart."), when(), traceThat(),
				spanThat("The span in that trace in which it failed first."), queryThat(traceQL, "A query that finds the rolls that failed because of it, and no others.")),
			Hints: []string{"Traces, status failed. The trace names the die, and the failed span its message.",
				"The risky die fails with \"risky die failed\" on good days. Another message is new.",
				"TraceQL knows statusMessage, and attributes such as span.die.type."},
			causes: []string{"errors"},
		},
		{
			Name: "two-traces", Title: "Half a roll", Level: LevelEasy, Path: 7,
			Story:  "Whoever opens the trace of a roll sees only half of it. For a while each roll left two traces, and nothing joins them.",
			Assume: alone, Learn: "that a trace is held together by one header, and how to see which side dropped it",
			Questions: asks(what(), where(), when(), traceThat(), half(),
				queryThat(traceQL, "A query that finds the traces which are only half of a roll.")),
			Hints: []string{"A roll's trace has five spans of two services. Look for traces with fewer.",
				"The dice roller records the header that it got as an attribute of GET /roll: http.request.header.traceparent.",
				"{ nestedSetParent<0 && … } finds spans without a parent. Which span must never be one?"},
			causes: []string{"propagation"},
		},
		{
			Name: "silent-lines", Title: "Lines of nobody", Level: LevelEasy, Path: 8,
			Story:  "From a trace one cannot get to all of its log lines any more. The lines were written, somebody swears.",
			Assume: alone, Learn: "that a log line needs the ID in the agreed field, and how to find those that lack it",
			Questions: asks(what(), where(), when(), line(), queryThat(logQL, "A LogQL query that finds the lines which lead to no trace, and none that do.")),
			Hints: []string{"A roll has four lines, two of each service. Open Logs: which of them have no link to a trace?",
				"Expand one of these lines and read all of it. Is the ID really missing?",
				"In LogQL a field that is missing is empty: … | trace_id=\"\"."},
			causes: []string{"log-ids", "log-spelling"},
		},
		{
			Name: "wrong-times", Title: "Before the cause", Level: LevelMedium, Path: 9,
			Story:  "In some traces an answer comes before its question. In others a roll seems to take much longer than anybody waited.",
			Assume: alone + " The page of this quest has the times of its rolls by a clock that is right.",
			Learn:  "to tell a wrong clock from slow work, and whose clock it is",
			Questions: asks(what(), where(), number("size", "By how many seconds is it off? Below 0 if it is behind.", "seconds, such as 4.5 or -4.5; within 0.7 s",
				func(in Incident) float64 { return in.Size.Seconds() }, 0.7, "That is not how far the spans of the two services are apart, or not in this direction."),
				traceThat(), spanThat("A span in that trace that does not lie within its parent.")),
			Hints: []string{"Compare the duration of the spans with that of the whole trace.",
				"Durations are measured within one service and are right. Begins are compared between services.",
				"The right clock is a third one: the time of the rolls on the page of this quest, or your own."},
			causes: []string{"clock"},
		},
		{
			Name: "calm-graph", Title: "All quiet", Level: LevelMedium, Path: 10,
			Story:  "A graph says that nobody plays. The tables are full.",
			Assume: alone, Learn: "to compare a counter with another that must move with it",
			Questions: asks(what(), where(), Question{ID: "metric", Ask: "Which metric is wrong?", Form: "the name of a metric", grade: metricGrade}, when(),
				queryThat(promQL, "A query that would have warned: without a value, or 0, before it began, and with one while it went on.")),
			Hints: []string{"Metrics: which panels dropped to nothing, while the request rates beside them went on?",
				"http_requests_total counts what a service answers, by handler and class of status.",
				"rate(a[10s]) > 0 unless rate(b[10s]) > 0 is true where a moves and b does not. Their labels must match: sum both."},
			causes: []string{"counter"},
		},
		{
			Name: "missing-spans", Title: "Nothing happened there", Level: LevelMedium, Path: 11,
			Story:  "According to its traces, one service did nothing for a while. Rolls went on all the same.",
			Assume: alone, Learn: "that a span that is not stored is not a span that did not happen",
			Questions: asks(what(), where(), when(), traceThat(), lost()),
			Hints: []string{"Look for traces with fewer than five spans, and see which service is missing.",
				"Log lines name the span in which they were written. They take another way than spans.",
				"Is there another trace with the missing spans? If so, they were not lost but separated."},
			causes: []string{"export"},
		},
		{
			Name: "lost-failures", Title: "Only the good ones", Level: LevelMedium,
			Story:     "Rolls fail, that is known and looked after. But since a certain moment their traces are of no use.",
			Assume:    usual + " That one die fails more often is known, and not the question. One more thing broke, in one service.",
			Learn:     "that sampling can hide exactly what it is there to show",
			Questions: asks(what(), where(), when(), traceThat(), lost()),
			Hints: []string{"Compare the traces of failed rolls before and after that moment. What do the new ones lack?",
				"Are traces of rolls that went well whole?",
				"Log lines of failed rolls name spans. Are those stored?"},
			causes: []string{"sampling"},
		},
		{
			Name: "double-work", Title: "Help that hurts", Level: LevelHard,
			Story:  "The dice roller is in trouble, and somebody wanted to help. Now it has more to do than there are rolls.",
			Assume: usual + " That one die fails more often is known, and not the question. One more thing broke.",
			Learn:  "to see retries, and by how much they multiply the load",
			Questions: asks(what(), where(), whose(), number("calls", "How many calls of the dice roller did one roll cost at most?", "a number",
				func(in Incident) float64 { return float64(in.Count + 1) }, 0, "Count the calls in a trace of a roll that failed in the end."), when(), traceThat(),
				queryThat(traceQL, "A query that finds the rolls with more than one call, and no others.")),
			Hints: []string{"Open the trace of a failed roll. How many GET spans does it have?",
				"Rolls that fail in the end made all their calls. Rolls that go well made fewer.",
				"TraceQL counts spans: { … } | count() > 1."},
			causes: []string{"retries"},
		},
		{
			Name: "out-of-patience", Title: "Out of patience", Level: LevelHard,
			Story:  "Users see an error, and the dice roller says that it never failed. Both are right.",
			Assume: "Until it began, all was well: rolls took between half a second and two, and that is as it should be here. One thing broke, in one service.",
			Learn:  "to read a timeout: who gave up, after how long, and what the other side was doing",
			Questions: asks(what(), where(), number("after", "After how many milliseconds is a call given up?", "milliseconds; within 60",
				func(in Incident) float64 { return float64(in.Size) / float64(time.Millisecond) }, 60, "The failed calls do not all take that long."), when(), traceThat(),
				spanThat("The span in that trace that says so: its error.type is a timeout."), queryThat(traceQL, "A query that finds the rolls that were given up, and no others.")),
			Hints: []string{"Open a failed trace, and compare how long the front end's GET took with how long the dice roller's spans took.",
				"All the GET spans that failed took the same time.",
				"{ span.error.type=… } finds spans by the kind of their error."},
			causes: []string{"timeout"},
		},
		{
			Name: "one-in-a-thousand", Title: "The one that waited", Level: LevelHard,
			Story:  "One user complains, and the percentiles say that all is well. More than a thousand rolls were made.",
			Assume: alone, Learn: "to find one roll among thousands by an exemplar",
			Questions: asks(what(), where(), choose("user", "Which user waited? The dice roller's spans carry it as baggage.", userNames(), func(in Incident) string { return in.User },
				"This user's roll was not the slow one."), traceThat(), spanThat("The span in that trace which took the time itself."),
				queryThat(traceQL, "A query that finds this roll and no other.")),
			Hints: []string{"Metrics: the dots on the latency charts are exemplars. Which one lies far above the others?",
				"A dot opens its trace. The dice roller's GET /roll has the attribute http.request.header.baggage.",
				"A duration that no other roll reaches is enough for a query."},
			causes: []string{"needle"},
		},
	}...)
}

func userNames() (names []string) {
	for i := range users {
		names = append(names, "user-"+string(rune('1'+i)))
	}
	return names
}

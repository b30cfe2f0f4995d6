package verify

import (
	"errors"
	"fmt"
	"slices"

	"dicelab/internal/query"
)

// finding is what a check found.
type finding struct {
	outcome   Outcome
	evidence  string
	why       string
	blockedBy string
	cause     string // of what blockedBy would tell, where that row is not checked
	command   string // where it is not that of the last exchange
}

func pass(format string, args ...any) finding {
	return finding{outcome: Pass, evidence: fmt.Sprintf(format, args...)}
}

func fail(format string, args ...any) finding {
	return finding{outcome: Fail, why: fmt.Sprintf(format, args...)}
}

func notApplicable(format string, args ...any) finding {
	return finding{outcome: NotApplicable, why: fmt.Sprintf(format, args...)}
}

// blockedBy is the finding of a check that could not be made; the row of that
// name tells the cause.
func blockedBy(row, format string, args ...any) finding {
	return finding{outcome: Fail, why: fmt.Sprintf(format, args...), blockedBy: row}
}

// missing says in a few words why a trace is not there.
func missing(err error) string {
	if errors.Is(err, query.ErrNotFound) {
		return "Tempo does not have it"
	}
	return err.Error()
}

// need is what a check cannot be made without.
type need uint8

const (
	needPrometheus need = 1 << iota
	needLoki
	needTempo
	needRolls   // rolls were made, whatever came of them
	needSuccess // one brought a value
	needFailure // one failed

	aSuccess = needRolls | needSuccess
	aFailure = needRolls | needFailure
)

// The rows that explain why something that others need is missing.
const (
	rowPrometheus = "prometheus-answers"
	rowLoki       = "loki-answers"
	rowTempo      = "tempo-answers"
	rowRoll       = "roll-via-ui"
	rowError      = "errors-displayed"
	rowTraffic    = "traffic-runs"
	rowContext    = "logs-have-trace-context"
	rowBoth       = "spans-from-both"

	rowFrontendSpanLogs = "frontend-span-logs"
	rowBackendSpanLogs  = "backend-span-logs"
)

// servers are the telemetry servers by what needs them.
func servers() []struct {
	need      need
	name, row string
} {
	return []struct {
		need      need
		name, row string
	}{{needPrometheus, "Prometheus", rowPrometheus}, {needLoki, "Loki", rowLoki}, {needTempo, "Tempo", rowTempo}}
}

// blocked tells whether something is missing that a check needs.
func (r *run) blocked(needs need) (finding, bool) {
	for _, s := range servers() {
		if why, down := r.down[s.need]; down && needs&s.need != 0 {
			return r.because(s.row, s.name+" does not answer", why), true
		}
	}
	if none := r.rolls.success == nil; none && (needs&needSuccess != 0 || needs&needFailure != 0 && r.rolls.failure == nil) {
		return r.because(rowRoll, "no roll brought a value", r.rolls.told()), true
	}
	if needs&needFailure != 0 && r.rolls.failure == nil {
		return r.because(rowError, "no roll failed", r.rolls.told()), true
	}
	return finding{}, false
}

// because is blockedBy a row. Where that row is not checked, the first result that
// it blocks tells the cause.
func (r *run) because(row, short, cause string) finding {
	f := blockedBy(row, "%s", short)
	if !slices.ContainsFunc(r.checks, func(c check) bool { return c.Name == row }) {
		f.cause = cause
	}
	return f
}

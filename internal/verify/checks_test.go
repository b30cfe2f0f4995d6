package verify

import (
	"errors"
	"strings"
	"testing"
)

// Every check passes, with evidence, on what was recorded of a healthy lab, unless it
// does not apply there.
func TestEveryCheckPasses(t *testing.T) {
	if *record != "" {
		recordLab(t, strings.Split(*record, ","))
	}
	idle := map[string]bool{"alloy-discovers": true, "traffic-dependencies": true, "dashboard-in-grafana": true,
		"traffic-runs": true, "traffic-propagates": true, "traffic-logs": true, "traffic-searchable": true}
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			evidence, err := recorded(t).check(t, c.Name, nil)
			if skips := errors.As(err, new(*skipped)); skips != idle[c.Name] || err != nil && !skips || err == nil && evidence == "" {
				t.Errorf("evidence %q, error %v", evidence, err)
			}
		})
	}
}

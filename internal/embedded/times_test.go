package embedded_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A span whose time cannot be right is stored, and the response says at which time a
// search finds it. Such a line is refused, as in Loki, since it would be deleted at once
// or never.
func TestHostileTimes(t *testing.T) {
	w := startWhole(t)
	client := newClient(t)
	now := time.Now()
	for n, tt := range []struct {
		name       string
		at         time.Time
		span       string // what the answer to a span says
		pushed     int
		line       string // what the answer to a line says
		unsearched bool   // a search of the span's time does not find it
	}{
		{"now", now, "", http.StatusNoContent, "", false},
		{"an hour ago", now.Add(-time.Hour), "", http.StatusNoContent, "", false},
		{"1970", time.Unix(0, 1), "begins at 1970-01-01T00:00:00Z", http.StatusBadRequest, "has timestamp too old: 1970-01-01T00:00:00Z", true},
		{"three days ago", now.Add(-72 * time.Hour), "begin more than 48h0m0s ago or 1h0m0s ahead", http.StatusNoContent, "", true},
		{"40 days ago", now.Add(-40 * 24 * time.Hour), "1 spans begin more than 48h", http.StatusBadRequest, "has timestamp too old", true},
		{"400 days ahead", now.Add(400 * 24 * time.Hour), "they are stored, and found by their trace ID", http.StatusBadRequest, "has timestamp too new", true},
		{"2261", time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC), "begins at 2261-01-01T00:00:00Z", http.StatusBadRequest, "has timestamp too new: 2261-01-01T00:00:00Z", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := idOf(7, 7, n)
			got, err := w.export(t.Context(), client, exportOf(id, tt.at))
			if err != nil || got.status != http.StatusOK || !strings.Contains(got.body, tt.span) || (tt.span == "") == strings.Contains(got.body, "stored") {
				t.Errorf("span: %v, status %d, %q; want one with %q", err, got.status, got.body, tt.span)
			}
			if got := get(t, fmt.Sprintf("%s/api/traces/%x", w.Tempo, id)); got.status != http.StatusOK {
				t.Errorf("trace: status %d", got.status)
			}
			text := fmt.Sprintf("line %d", n)
			pushed, err := w.push(t.Context(), client, "s", text, tt.at)
			if err != nil || pushed.status != tt.pushed || !strings.Contains(pushed.body, tt.line) {
				t.Errorf("line: %v, status %d, %q; want %d with %q", err, pushed.status, pushed.body, tt.pushed, tt.line)
			}
			search := fmt.Sprintf("%s/api/search?start=%d&end=%d&limit=100", w.Tempo, max(tt.at.Unix()-5, 1), tt.at.Unix()+5)
			if got := get(t, search); strings.Contains(got.body, fmt.Sprintf("%x", id)) == tt.unsearched {
				t.Errorf("search of its time: status %d, found %v", got.status, !tt.unsearched)
			}
			if got := get(t, w.Tempo+"/api/search?limit=100"); !strings.Contains(got.body, fmt.Sprintf("%x", id)) {
				t.Errorf("search without a time range: status %d, not found", got.status)
			}
		})
	}
}

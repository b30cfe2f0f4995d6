package conformance_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"dicelab/internal/embedded/conformance"
)

func TestList(t *testing.T) {
	list := queries(t)
	if len(list) > conformance.MaxQueries {
		t.Errorf("%d queries are on the list, at most %d may be", len(list), conformance.MaxQueries)
	}
	// There is a query for every endpoint that the embedded stack serves.
	served := []string{
		"prometheus /api/v1/query", "prometheus /api/v1/query_range", "prometheus /api/v1/query_exemplars", "prometheus /api/v1/series",
		"prometheus /api/v1/labels", "prometheus /api/v1/label/__name__/values", "prometheus /api/v1/metadata", "prometheus /api/v1/targets",
		"prometheus /api/v1/rules", "prometheus /api/v1/alerts", "prometheus /api/v1/status/buildinfo",
		"prometheus /-/healthy", "prometheus /-/ready", "prometheus /metrics",
		"tempo /ready", "tempo /api/echo", "tempo /api/status/buildinfo", "tempo /api/search", "tempo /api/v2/search/tags",
		"tempo /api/v2/search/tag/name/values",
		"loki /ready", "loki /loki/api/v1/status/buildinfo", "loki /loki/api/v1/query", "loki /loki/api/v1/query_range",
		"loki /loki/api/v1/labels", "loki /loki/api/v1/label/service_name/values", "loki /loki/api/v1/series",
	}
	for _, path := range served {
		if !slices.ContainsFunc(list, func(q conformance.Query) bool { return q.Server+" "+q.Path == path }) {
			t.Errorf("nothing on the list asks %s", path)
		}
	}
	for _, prefix := range []string{"/api/traces/", "/api/v2/traces/"} {
		if !slices.ContainsFunc(list, func(q conformance.Query) bool { return strings.HasPrefix(q.Path, prefix) }) {
			t.Errorf("nothing on the list asks %s", prefix)
		}
	}
}

// TestDifferences checks docs/differences.md against the list: each query that differs has
// a row there with the reason of the list.
func TestDifferences(t *testing.T) {
	content, err := os.ReadFile("../../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "| `") {
			rows[strings.TrimSpace(line)] = true
		}
	}
	for _, q := range queries(t) {
		row := "| `" + q.Name + "` | " + q.Differs + " |"
		if q.Differs != "" && !rows[row] {
			t.Errorf("docs/differences.md lacks the row\n%s", row)
		}
		delete(rows, row)
	}
	for row := range rows {
		t.Errorf("docs/differences.md has a row that no query of the list has:\n%s", row)
	}
}

// TestGolden checks that each query has a golden file, and each golden file a query. If the
// list marks a query as one whose responses differ, they do.
func TestGolden(t *testing.T) {
	recorded, err := conformance.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"README.md"}
	for _, q := range queries(t) {
		want = append(want, q.Name+".txt")
		if q.Differs != "" {
			want = append(want, q.Name+".embedded.txt")
		}
		real, err1 := conformance.Golden(q)
		embedded, err2 := conformance.GoldenEmbedded(q)
		if err := errors.Join(err1, err2); err != nil {
			t.Error(err)
		} else if (real == embedded) == (q.Differs != "") {
			t.Errorf("%s: the answers are equal: %v; the list says that they differ: %q", q.Name, real == embedded, q.Differs)
		}
	}
	slices.Sort(want)
	slices.Sort(recorded)
	if !slices.Equal(want, recorded) {
		t.Errorf("golden files are\n%s\nwant\n%s", strings.Join(recorded, "\n"), strings.Join(want, "\n"))
	}
}

package embedded_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Log records, points and samples of OTLP that were acknowledged before the process was
// killed are there afterwards, once.
func TestKilledWithLogsAndMetrics(t *testing.T) {
	t.Setenv(stackMetrics, "1")
	const rounds = 5
	dir := t.TempDir()
	client := newClient(t)
	began := time.Now()
	var records, points []string
	for round := range rounds {
		c := startChild(t, dir)
		var wg sync.WaitGroup
		first := make(chan struct{}, 2)
		send := func(path, body string, acknowledged *[]string) {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d-%d", round, n)
				got, err := post(t.Context(), client, c.OTLP+path, "application/json",
					[]byte(strings.NewReplacer("ID", id, "NOW", fmt.Sprint(time.Now().UnixNano())).Replace(body)))
				if err != nil || got.status != http.StatusOK || got.body != "{}" {
					break
				}
				*acknowledged = append(*acknowledged, id)
				if n == 0 {
					first <- struct{}{}
				}
			}
		}
		const resource = `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},`
		wg.Go(func() {
			send("/v1/logs", `{"resourceLogs":[`+resource+`"scopeLogs":[{"logRecords":[{"timeUnixNano":"NOW","body":{"stringValue":"ID"}}]}]}]}`, &records)
		})
		wg.Go(func() {
			send("/v1/metrics", `{"resourceMetrics":[`+resource+`"scopeMetrics":[{"metrics":[{"name":"g","gauge":{"dataPoints":[{"timeUnixNano":"NOW","asInt":"1","attributes":[{"key":"id","value":{"stringValue":"ID"}}]}]}}]}]}]}`, &points)
		})
		<-first
		<-first
		time.Sleep(rand.N(60 * time.Millisecond)) // not to wait for something, but to hit anything
		c.kill()
		wg.Wait()
	}
	c := startChild(t, dir)
	defer c.stop()
	stored := make(map[string]int)
	for _, id := range rows(t, c.Loki, c.Prometheus, began) {
		stored[id]++
	}
	for kind, ids := range map[string][]string{"line": records, "point": points} {
		for _, id := range ids {
			if n := stored[kind+id]; n != 1 {
				t.Errorf("%s %s was acknowledged and is there %d times", kind, id, n)
			}
		}
	}
	t.Logf("%d records and %d points were acknowledged", len(records), len(points))
}

// rows lists the lines and series of the service s.
func rows(t *testing.T, loki, prometheus string, since time.Time) (ids []string) {
	t.Helper()
	for from := since.UnixNano(); ; {
		var body struct {
			Data struct {
				Result []struct{ Values [][2]string }
			}
		}
		decodeAnswer(t, get(t, fmt.Sprintf(`%s/loki/api/v1/query_range?query={service_name="s"}&limit=5000&direction=forward&start=%d&end=%d`, loki, from, time.Now().UnixNano())), &body)
		n := 0
		for _, r := range body.Data.Result {
			for _, v := range r.Values {
				n++
				ids = append(ids, "line"+v[1])
				if _, err := fmt.Sscan(v[0], &from); err != nil {
					t.Fatal(err)
				}
			}
		}
		from++
		if n < 5000 {
			break
		}
	}
	var body struct{ Data []string }
	decodeAnswer(t, get(t, prometheus+"/api/v1/label/id/values"), &body)
	for _, id := range body.Data {
		ids = append(ids, "point"+id)
	}
	return ids
}

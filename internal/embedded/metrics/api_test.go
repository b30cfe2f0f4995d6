package metrics_test

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/metrics"
)

func TestAPI(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	roller.roll()
	roller.roll()
	begin := time.Now().Add(-time.Second)
	l := start(t, metrics.Options{Targets: []metrics.Target{
		{Job: contract.ServiceRoller, Address: roller.addr()},
		{Job: contract.ServiceFrontend, Address: "127.0.0.1:1"}, // nothing listens there
	}})
	if accept := <-roller.accept; !strings.HasPrefix(accept, "application/openmetrics-text") {
		t.Errorf("the scrape accepts %q, want OpenMetrics first", accept)
	}
	metric := l.wait(`dice_rolls_total{job="dice-roller"}`, "2")
	want := map[string]string{
		"__name__": contract.MetricDiceRolls, "job": contract.ServiceRoller, "instance": roller.addr(),
		contract.LabelDieType: contract.DieFair, contract.LabelResult: contract.ResultSuccess,
	}
	if diff := cmp.Diff(want, metric); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	// Classic buckets; Prometheus 3 writes a whole bound with its ".0".
	l.wait(`http_request_duration_seconds_bucket{le="1.0"}`, "2")
	l.wait(`up{job="dice-roller"}`, "1")
	l.wait(`up{job="streamlit-frontend"}`, "0")

	period := url.Values{"start": {stamp(begin)}, "end": {stamp(time.Now().Add(time.Second))}}
	with := func(more url.Values) url.Values {
		for k, v := range period {
			more[k] = v
		}
		return more
	}

	t.Run("query_range", func(t *testing.T) {
		var data struct {
			ResultType string `json:"resultType"`
			Result     []struct {
				Values [][2]any `json:"values"`
			} `json:"result"`
		}
		if code := l.get("/api/v1/query_range", with(url.Values{"query": {"sum(dice_rolls_total)"}, "step": {"0.5"}}), &data); code != http.StatusOK {
			t.Fatalf("status %d", code)
		}
		if data.ResultType != "matrix" || len(data.Result) != 1 {
			t.Fatalf("got %+v, want a matrix of one series", data)
		}
		if values := data.Result[0].Values; len(values) == 0 || values[len(values)-1][1] != "2" {
			t.Errorf("values %v, want 2 at the end", values)
		}
	})
	t.Run("query_exemplars", func(t *testing.T) {
		for _, query := range []string{contract.MetricDiceRolls, contract.MetricHTTPDuration + "_bucket"} {
			var data []struct {
				SeriesLabels map[string]string `json:"seriesLabels"`
				Exemplars    []struct {
					Labels map[string]string `json:"labels"`
					Value  string            `json:"value"`
				} `json:"exemplars"`
			}
			if code := l.get("/api/v1/query_exemplars", with(url.Values{"query": {query}}), &data); code != http.StatusOK {
				t.Fatalf("%s: status %d", query, code)
			}
			if len(data) != 1 || len(data[0].Exemplars) != 1 {
				t.Fatalf("%s: got %+v, want one exemplar", query, data)
			}
			if data[0].SeriesLabels["job"] != contract.ServiceRoller || data[0].Exemplars[0].Labels[contract.FieldTraceID] != traceID {
				t.Errorf("%s: got %+v, want the trace %s of %s", query, data[0], traceID, contract.ServiceRoller)
			}
		}
	})
	t.Run("series", func(t *testing.T) {
		var data []map[string]string
		if code := l.get("/api/v1/series", with(url.Values{"match[]": {contract.MetricDiceRolls}}), &data); code != http.StatusOK {
			t.Fatalf("status %d", code)
		}
		if diff := cmp.Diff([]map[string]string{want}, data); diff != "" {
			t.Errorf("series (-want +got):\n%s", diff)
		}
	})
	t.Run("labels", func(t *testing.T) {
		var data []string
		l.get("/api/v1/labels", with(url.Values{"match[]": {contract.MetricDiceRolls}}), &data)
		if diff := cmp.Diff([]string{"__name__", contract.LabelDieType, "instance", "job", contract.LabelResult}, data); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
	})
	t.Run("label values", func(t *testing.T) {
		var data []string
		l.get("/api/v1/label/job/values", period, &data)
		if diff := cmp.Diff([]string{contract.ServiceRoller, contract.ServiceFrontend}, data); diff != "" {
			t.Errorf("values of job (-want +got):\n%s", diff)
		}
	})
	t.Run("metadata", func(t *testing.T) {
		var data map[string][]map[string]string
		// OpenMetrics names a family without the suffix of its counter.
		l.get("/api/v1/metadata", url.Values{"metric": {"dice_rolls"}}, &data)
		want := map[string][]map[string]string{"dice_rolls": {{"type": "counter", "help": "Rolls.", "unit": ""}}}
		if diff := cmp.Diff(want, data); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
	})
	t.Run("targets", func(t *testing.T) {
		type target struct {
			Labels    map[string]string `json:"labels"`
			ScrapeURL string            `json:"scrapeUrl"`
			GlobalURL string            `json:"globalUrl"`
			Health    string            `json:"health"`
			LastError string            `json:"lastError"`
			Interval  string            `json:"scrapeInterval"`
		}
		var data struct {
			Active []target `json:"activeTargets"`
		}
		l.get("/api/v1/targets", nil, &data)
		got := map[string]target{}
		for _, a := range data.Active {
			got[a.Labels["job"]] = a
		}
		up, down := got[contract.ServiceRoller], got[contract.ServiceFrontend]
		if up.Health != "up" || up.LastError != "" || up.ScrapeURL != roller.URL+"/metrics" || up.Interval != interval.String() ||
			up.GlobalURL != strings.Replace(up.ScrapeURL, "127.0.0.1", "localhost", 1) {
			t.Errorf("roller: %+v, want it up every %s", up, interval)
		}
		if down.Health != "down" || !strings.Contains(down.LastError, "connection refused") {
			t.Errorf("frontend: %+v, want it down, refused", down)
		}
	})
	t.Run("buildinfo", func(t *testing.T) {
		var data map[string]string
		l.get("/api/v1/status/buildinfo", nil, &data)
		// A test's binary does not say which modules it has: see TestRelease.
		want := map[string]string{"version": "unknown", "branch": "dicelab (embedded)", "goVersion": runtime.Version(),
			"revision": "", "buildUser": "", "buildDate": ""}
		if diff := cmp.Diff(want, data); diff != "" {
			t.Errorf("build information (-want +got):\n%s", diff)
		}
	})
	t.Run("post", func(t *testing.T) {
		forms := map[string]url.Values{
			"/api/v1/query":           {"query": {"up"}},
			"/api/v1/query_range":     with(url.Values{"query": {"up"}, "step": {"1"}}),
			"/api/v1/query_exemplars": with(url.Values{"query": {contract.MetricDiceRolls}}),
			"/api/v1/series":          with(url.Values{"match[]": {"up"}}),
			"/api/v1/labels":          with(url.Values{}),
		}
		for path, form := range forms {
			if code := l.do(http.MethodPost, path, form.Encode(), nil); code != http.StatusOK {
				t.Errorf("POST %s: status %d, want 200", path, code)
			}
		}
	})
	t.Run("bad query", func(t *testing.T) {
		for _, path := range []string{"/api/v1/query", "/api/v1/query_range", "/api/v1/query_exemplars"} {
			if code := l.get(path, with(url.Values{"query": {"sum("}, "step": {"1"}}), nil); code != http.StatusBadRequest {
				t.Errorf("%s: status %d, want 400", path, code)
			}
		}
	})
}

// TestDown stops a target while it is scraped.
func TestDown(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	l := start(t, metrics.Options{Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}})
	l.wait("up", "1")
	roller.Server.Close()
	l.wait("up", "0")
}

func TestRules(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	roller.roll()
	l := start(t, metrics.Options{
		Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}},
		Rules: []byte(`
groups:
  - name: lab
    interval: 50ms
    rules:
      - record: job:dice_rolls:sum
        expr: sum by (job) (dice_rolls_total)
      - alert: Rolled
        expr: job:dice_rolls:sum > 0
        labels: {severity: page}
        annotations: {summary: "{{ $value }} rolls of {{ $labels.job }} at {{ externalURL }}"}
`)})
	l.wait("job:dice_rolls:sum", "1")
	l.wait(`ALERTS{alertname="Rolled",alertstate="firing"}`, "1")

	var alerts struct {
		Alerts []struct {
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
			State       string            `json:"state"`
		} `json:"alerts"`
	}
	l.get("/api/v1/alerts", nil, &alerts)
	if len(alerts.Alerts) != 1 || alerts.Alerts[0].State != "firing" || alerts.Alerts[0].Labels["severity"] != "page" ||
		alerts.Alerts[0].Annotations["summary"] != "1 rolls of dice-roller at " {
		t.Errorf("alerts: %+v", alerts)
	}
	var rules struct {
		Groups []struct {
			Name  string `json:"name"`
			File  string `json:"file"`
			Rules []struct {
				Name   string `json:"name"`
				Type   string `json:"type"`
				Health string `json:"health"`
			} `json:"rules"`
		} `json:"groups"`
	}
	l.get("/api/v1/rules", nil, &rules)
	got := fmt.Sprintf("%+v", rules.Groups)
	if want := "[{Name:lab File:rules.yml Rules:[{Name:job:dice_rolls:sum Type:recording Health:ok} {Name:Rolled Type:alerting Health:ok}]}]"; got != want {
		t.Errorf("rules: %s\nwant  : %s", got, want)
	}
}

// stamp returns a time in the API's form.
func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

func TestRelease(t *testing.T) {
	for _, tt := range []struct{ name, module, want string }{
		{name: "two digits", module: "v0.316.0", want: "3.16.0"},
		{name: "one digit", module: "v0.305.1", want: "3.5.1"},
		{name: "candidate", module: "v0.317.0-rc.0", want: "3.17.0-rc.0"},
		{name: "of Prometheus 2", module: "v0.55.1", want: "v0.55.1"},
		{name: "of Prometheus 2, early", module: "v0.35.0", want: "v0.35.0"},
		{name: "too short", module: "v0.3", want: "v0.3"},
		{name: "empty", module: "", want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := metrics.Release(tt.module); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

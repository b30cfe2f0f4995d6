//go:build compose

package composetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/query"
	"dicelab/internal/wait"
)

// readers are the clients of the three query APIs.
type readers struct {
	prometheus *query.Prometheus
	tempo      *query.Tempo
	loki       *query.Loki
}

func (p *project) readers(t *testing.T) readers {
	t.Helper()
	prometheus, err1 := query.NewPrometheus(query.Config{URL: p.at["PROMETHEUS"]})
	tempo, err2 := query.NewTempo(query.Config{URL: p.at["TEMPO"]})
	loki, err3 := query.NewLoki(query.Config{URL: p.at["LOKI"]})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return readers{prometheus, tempo, loki}
}

// roll makes a risky roll through the front end, as a browser would, and returns
// the ID of its trace.
func (p *project) roll(t *testing.T) (id string) {
	t.Helper()
	until(t, "a roll", time.Now(), func(ctx context.Context) (string, error) {
		form := strings.NewReader(url.Values{"die": {contract.DieRisky}}.Encode())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.Replace(p.at["FRONTEND"], "127.0.0.1", "localhost", 1)+"/roll", form)
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return "", err
		}
		var answer struct {
			TraceID string `json:"trace_id"`
		}
		if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Sprintf("%s %s (%v)", resp.Status, body, err), nil
		}
		id = answer.TraceID
		return "", nil
	})
	return id
}

// get returns the answer to a request.
func get(ctx context.Context, url string) (text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return string(body), err
}

// arrives waits for what a successful risky roll leaves behind.
func (p *project) arrives(t *testing.T, id string) {
	t.Helper()
	want, err := golden.Load(golden.Success)
	if err != nil {
		t.Fatal(err)
	}
	r, since := p.readers(t), time.Now()
	until(t, "the trace", since, func(ctx context.Context) (string, error) {
		trace, err := r.tempo.Trace(ctx, id)
		if err != nil {
			return "", err
		}
		return cmp.Diff(goldenSpans(want), spans(trace)), nil
	})
	until(t, "its lines", since, func(ctx context.Context) (string, error) {
		found, err := r.loki.QueryRange(ctx, query.LogQuery{
			LogQL: query.LogFilter{TraceID: id}.LogQL(), Start: time.Now().Add(-time.Hour), End: time.Now(), Limit: 100,
		})
		if err != nil {
			return "", err
		}
		return cmp.Diff(goldenLines(want), lines(found)), nil
	})
	until(t, "rolls of both services counted", since, func(ctx context.Context) (string, error) {
		for _, q := range []string{
			fmt.Sprintf(`sum(max_over_time(%s{job=%q,result="success"}[1h])) > 0`, contract.MetricDiceRolls, contract.ServiceRoller),
			fmt.Sprintf(`sum(max_over_time(%s{job=%q}[1h])) > 0`, contract.MetricButtonClicks, contract.ServiceFrontend),
			fmt.Sprintf(`sum(max_over_time(traces_service_graph_request_total{client=%q,server=%q}[1h])) > 0`, contract.ServiceFrontend, contract.ServiceRoller),
		} {
			result, err := r.prometheus.Query(ctx, q, time.Time{})
			if err != nil || len(result.Series) == 0 {
				return "nothing for " + q, err
			}
		}
		return "", nil
	})
}

func goldenSpans(want golden.Telemetry) (out []string) {
	for _, s := range want.Spans {
		out = append(out, fmt.Sprintf("%s %s %s below %q", s.Service, strings.ToLower(s.Kind), s.Name, s.Parent))
	}
	slices.Sort(out)
	return out
}

func spans(trace *query.Trace) (out []string) {
	names := map[string]string{}
	for _, s := range trace.Spans {
		names[s.SpanID] = s.Name
	}
	for _, s := range trace.Spans {
		out = append(out, fmt.Sprintf("%s %s %s below %q", s.Service, s.Kind, s.Name, names[s.ParentID]))
	}
	slices.Sort(out)
	return out
}

// goldenLines returns lines with the labels under which they are stored.
func goldenLines(want golden.Telemetry) (out []string) {
	for _, l := range want.Lines {
		labels := map[string]string{
			contract.StreamContainer: contract.ContainerName(l.Service), contract.StreamService: l.Service,
			contract.StreamJob: l.Service, contract.StreamLevel: l.Level,
		}
		out = append(out, fmt.Sprint(labels, " ", l.Message))
	}
	slices.Sort(out)
	return out
}

func lines(found *query.LogResult) (out []string) {
	for _, l := range found.Lines {
		out = append(out, fmt.Sprint(l.Labels, " ", l.Message()))
	}
	slices.Sort(out)
	return out
}

// until looks until what has come, and says how long that took since a moment.
func until(t *testing.T, what string, since time.Time, look func(ctx context.Context) (problem string, err error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := wait.Until(ctx, func(ctx context.Context) error {
		problem, err := look(ctx)
		if err == nil && problem != "" {
			err = errors.New(problem)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: not within %v: %v", what, patience, err)
	}
	t.Logf("%-60s %6.1f s", what, time.Since(since).Seconds())
}

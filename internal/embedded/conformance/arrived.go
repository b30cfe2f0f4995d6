package conformance

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Missing describes the part of the data set that a stack does not return yet. It returns
// "" when the stack returns all of it. Real servers store the data step by step, and the
// next scrape may not have happened.
func Missing(ctx context.Context, in Stack, base time.Time) (string, error) {
	for _, look := range []func(context.Context, Stack, time.Time) (string, error){missingSpans, missingLines, missingMetrics} {
		if problem, err := look(ctx, in, base); problem != "" || err != nil {
			return problem, err
		}
	}
	return "", nil
}

// missingSpans checks that each trace has all spans that were sent, each once.
func missingSpans(ctx context.Context, in Stack, base time.Time) (string, error) {
	type identity struct {
		trace string
		id    uint64
		kind  int32
	}
	sent, want := map[identity]bool{}, map[string]int{}
	for _, list := range [][]span{spans(), large(), late()} {
		for _, s := range list {
			key := identity{hex.EncodeToString(traceID(s.trace)), s.id, int32(s.kind)}
			if !sent[key] {
				sent[key] = true
				want[key.trace]++
			}
		}
	}
	var found struct {
		Traces []struct {
			TraceID string `json:"traceID"`
			SpanSet struct {
				Matched int `json:"matched"`
			} `json:"spanSet"`
		} `json:"traces"`
	}
	params := url.Values{"q": {"{}"}, "limit": {"100"}, "spss": {"1"},
		"start": {strconv.FormatInt(base.Add(-Length).Unix(), 10)}, "end": {strconv.FormatInt(base.Add(Length).Unix(), 10)}}
	if err := getJSON(ctx, in.Tempo+"/api/search?"+params.Encode(), &found); err != nil {
		return "", err
	}
	for _, t := range found.Traces {
		id := fmt.Sprintf("%032s", t.TraceID)
		if t.SpanSet.Matched < want[id] {
			return fmt.Sprintf("trace %s has %d spans of %d", id, t.SpanSet.Matched, want[id]), nil
		}
		delete(want, id)
	}
	for id := range want {
		return fmt.Sprintf("trace %s is not found", id), nil
	}
	return "", nil
}

// missingLines checks that all lines that were sent are there, each once.
func missingLines(ctx context.Context, in Stack, base time.Time) (string, error) {
	distinct := map[string]bool{}
	for _, l := range lines() {
		distinct[fmt.Sprint(l)] = true
	}
	var found struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	params := url.Values{"query": {`sum(count_over_time({service_name=~".+"}[1h]))`}, "time": {strconv.FormatInt(base.Add(Length).UnixNano(), 10)}}
	if err := getJSON(ctx, in.Loki+"/loki/api/v1/query?"+params.Encode(), &found); err != nil {
		return "", err
	}
	if len(found.Data.Result) == 0 || fmt.Sprint(found.Data.Result[0].Value[1]) != strconv.Itoa(len(distinct)) {
		return fmt.Sprintf("of %d lines there are %v", len(distinct), found.Data.Result), nil
	}
	return "", nil
}

// missingMetrics checks that the endpoint was scraped, and every rule evaluated.
func missingMetrics(ctx context.Context, in Stack, _ time.Time) (string, error) {
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name   string `json:"name"`
					Health string `json:"health"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := getJSON(ctx, in.Prometheus+"/api/v1/rules", &rules); err != nil {
		return "", err
	}
	for _, g := range rules.Data.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				return fmt.Sprintf("the rule %s is %s", r.Name, r.Health), nil
			}
		}
	}
	var up struct {
		Data struct {
			Result []any `json:"result"`
		} `json:"data"`
	}
	params := url.Values{"query": {fmt.Sprintf("up{job=%q} == 1", Job)}}
	if err := getJSON(ctx, in.Prometheus+"/api/v1/query?"+params.Encode(), &up); err != nil {
		return "", err
	}
	if len(up.Data.Result) == 0 {
		return "the endpoint was not scraped", nil
	}
	return "", nil
}

func getJSON(ctx context.Context, url string, v any) error {
	answer, err := request(ctx, http.MethodGet, url, nil, "")
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK {
		return fmt.Errorf("asking %s: %d %s", url, answer.Status, answer.Body)
	}
	if err := json.Unmarshal(answer.Body, v); err != nil {
		return fmt.Errorf("decoding the answer of %s: %w", url, err)
	}
	return nil
}

package loki

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/logql"
)

// list is the response of labels and values. Loki leaves out data if it is empty.
type list struct {
	Status string   `json:"status"`
	Data   []string `json:"data,omitempty"`
}

// labels answers /loki/api/v1/labels.
func (h *handler) labels(w http.ResponseWriter, r *http.Request) error {
	return h.list(w, r, func(stream map[string]string, add func(string)) {
		for name := range stream {
			add(name)
		}
	})
}

// values answers /loki/api/v1/label/{name}/values.
func (h *handler) values(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	return h.list(w, r, func(stream map[string]string, add func(string)) {
		if value, ok := stream[name]; ok {
			add(value)
		}
	})
}

// list answers with the texts that pick finds in the streams, sorted, each once. The
// parameter query is a selector of streams.
func (h *handler) list(w http.ResponseWriter, r *http.Request, pick func(stream map[string]string, add func(string))) error {
	var chosen []logql.Selector
	if text := r.Form.Get("query"); text != "" {
		s, err := logql.ParseSelector(text)
		if err != nil {
			return badRequest(err)
		}
		chosen = append(chosen, s)
	}
	streams, err := h.streams(r, chosen)
	if err != nil {
		return err
	}
	found := make(map[string]bool)
	for _, s := range streams {
		pick(s, func(text string) { found[text] = true })
	}
	return answer.JSON(w, jsonType, list{"success", slices.Sorted(maps.Keys(found))})
}

// series answers /loki/api/v1/series: the streams that a selector selects, or all.
func (h *handler) series(w http.ResponseWriter, r *http.Request) error {
	var chosen []logql.Selector
	texts := append(r.Form["match"], r.Form["match[]"]...)
	if len(texts) > maxSelectors {
		return answer.Errorf(http.StatusBadRequest, "the request has %d selectors: at most %d are allowed", len(texts), maxSelectors)
	}
	for _, text := range texts {
		s, err := logql.ParseSelector(text)
		if err != nil {
			return badRequest(err)
		}
		chosen = append(chosen, s)
	}
	streams, err := h.streams(r, chosen)
	if err != nil {
		return err
	}
	slices.SortFunc(streams, func(a, b map[string]string) int {
		return strings.Compare(logql.FormatLabels(a), logql.FormatLabels(b))
	})
	return answer.JSON(w, jsonType, struct {
		Status string              `json:"status"`
		Data   []map[string]string `json:"data"`
	}{"success", streams})
}

// streams returns the streams with lines between start and end that any of the selectors
// selects, or all of them without a selector.
func (h *handler) streams(r *http.Request, chosen []logql.Selector) ([]map[string]string, error) {
	start, end, err := h.bounds(r, defaultSinceLabels)
	if err != nil {
		return nil, err
	}
	all, err := h.store.Streams(r.Context(), start, end.Add(time.Nanosecond)) // the end counts here, as in Loki
	if err != nil {
		return nil, err
	}
	found := make([]map[string]string, 0, len(all))
	for _, stream := range all {
		matches := len(chosen) == 0
		for _, s := range chosen {
			if matches, err = s.Matches(r.Context(), stream); err != nil {
				return nil, err
			}
			if matches {
				break
			}
		}
		if matches {
			found = append(found, stream)
		}
	}
	return found, nil
}

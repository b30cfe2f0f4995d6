package loki

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
)

// defaultVolumes is the number of series of an answer about volume, as in Loki.
const defaultVolumes = 100

// measure calls add for the lines of streams in [from, to): their times, in nanoseconds
// since 1970, and the lengths of their texts.
func (run *run) measure(s logql.Selector, from, to time.Time, add func(stream map[string]string, times []int64, sizes []int)) error {
	counted := func(stream, _ map[string]string, times []int64, sizes []int) error {
		add(stream, times, sizes)
		return nil
	}
	periods, err := run.count(s, logql.Pipeline{}, store.LineCount{By: []string{}, Sizes: true}, from, to, counted)
	if err != nil {
		return err
	}
	for _, p := range periods {
		q, ended := run.selected(s, logql.Pipeline{}, p.From, p.To)
		q.Forward = true
		err := run.each(q, ended, logql.Pipeline{}, func(l store.Line, _ logql.Output) bool {
			add(l.Stream, []int64{l.Time.UnixNano()}, []int{len(l.Text)})
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// selectorOf parses the parameter query, a selector of streams, or {} for all.
func selectorOf(r *http.Request) (logql.Selector, error) {
	text := r.Form.Get("query")
	if strings.Join(strings.Fields(text), "") == "{}" {
		return logql.Selector{}, nil
	}
	s, err := logql.ParseSelector(text)
	if err != nil {
		return s, badRequest(err)
	}
	return s, nil
}

// indexStats answers /loki/api/v1/index/stats: how much a query would read. The store has
// no chunks; each stream counts as one.
func (h *handler) indexStats(w http.ResponseWriter, r *http.Request) error {
	s, err := selectorOf(r)
	if err != nil {
		return err
	}
	start, end, err := h.bounds(r, defaultSince)
	if err != nil {
		return err
	}
	var found struct {
		Streams int `json:"streams"`
		Chunks  int `json:"chunks"`
		Bytes   int `json:"bytes"`
		Entries int `json:"entries"`
	}
	streams := map[string]bool{}
	err = h.newRun(r).measure(s, start, end.Add(time.Nanosecond), func(stream map[string]string, _ []int64, sizes []int) {
		streams[logql.FormatLabels(stream)] = true
		found.Entries += len(sizes)
		for _, size := range sizes {
			found.Bytes += size
		}
	})
	if err != nil {
		return err
	}
	found.Streams, found.Chunks = len(streams), len(streams)
	return answer.JSON(w, jsonType, found)
}

// volumes adds up the bytes of lines, by labels and by time.
type volumes struct {
	names  []string // of the labels that make a series; nil means all
	labels bool     // a series for each label, and not for each set of labels
	start  int64
	steps  []time.Time // the ends of the steps
	step   int64
	series map[string]*volume
	last   map[string][]*volume // by stream
}

type volume struct {
	name   string
	metric map[string]string
	bytes  []int // by step
	total  int
}

func (v *volumes) add(stream map[string]string, times []int64, sizes []int) {
	key := logql.FormatLabels(stream)
	list, known := v.last[key]
	if !known {
		list = v.of(stream)
		v.last[key] = list
	}
	for _, s := range list {
		for i, at := range times {
			s.bytes[min(int((at-v.start)/v.step), len(s.bytes)-1)] += sizes[i]
			s.total += sizes[i]
		}
	}
}

// of returns the series to which a stream belongs.
func (v *volumes) of(stream map[string]string) (list []*volume) {
	if v.names != nil {
		stream = maps.Clone(stream)
		maps.DeleteFunc(stream, func(name, _ string) bool { return !slices.Contains(v.names, name) })
	}
	if !v.labels {
		return []*volume{v.named(logql.FormatLabels(stream), stream)}
	}
	for name := range stream {
		list = append(list, v.named(name, map[string]string{name: ""}))
	}
	return list
}

func (v *volumes) named(name string, metric map[string]string) *volume {
	s, ok := v.series[name]
	if !ok {
		s = &volume{name: name, metric: metric, bytes: make([]int, len(v.steps))}
		v.series[name] = s
	}
	return s
}

// volume answers /loki/api/v1/index/volume, and volumeRange /loki/api/v1/index/volume_range:
// the bytes of the streams, as a whole or by steps.
func (h *handler) volume(w http.ResponseWriter, r *http.Request) error { return h.volumes(w, r, false) }

func (h *handler) volumeRange(w http.ResponseWriter, r *http.Request) error {
	return h.volumes(w, r, true)
}

func (h *handler) volumes(w http.ResponseWriter, r *http.Request, ranged bool) error {
	v, s, limit, end, err := h.volumeParams(r, ranged)
	if err != nil {
		return err
	}
	run := h.newRun(r)
	if err := run.measure(s, time.Unix(0, v.start), end, v.add); err != nil {
		return err
	}
	found := slices.SortedFunc(maps.Values(v.series), func(a, b *volume) int {
		return cmp.Or(cmp.Compare(b.total, a.total), cmp.Compare(a.name, b.name))
	})
	kind := "vector"
	var series []logql.Series
	for _, s := range found[:min(limit, len(found))] {
		var points []logql.Point
		for i, bytes := range s.bytes {
			if bytes > 0 {
				points = append(points, logql.Point{Time: v.steps[i], Value: float64(bytes)})
			}
		}
		if len(points) > 1 {
			kind = "matrix"
		}
		series = append(series, logql.Series{Metric: s.metric, Points: points})
	}
	if kind == "matrix" {
		return run.respond(w, kind, func(e *encoder) { e.matrix(series) })
	}
	return run.respond(w, kind, func(e *encoder) { e.vector(series) })
}

func (h *handler) volumeParams(r *http.Request, ranged bool) (v *volumes, s logql.Selector, limit int, until time.Time, err error) {
	if s, err = selectorOf(r); err != nil {
		return nil, s, 0, until, err
	}
	start, end, err := h.bounds(r, defaultSince)
	if err != nil {
		return nil, s, 0, until, err
	}
	if limit, err = count(r, "limit", defaultVolumes); err != nil {
		return nil, s, 0, until, err
	}
	v = &volumes{names: s.Names(), start: start.UnixNano(), step: max(int64(end.Sub(start))+1, 1), series: map[string]*volume{}, last: map[string][]*volume{}}
	if text := r.Form.Get("targetLabels"); text != "" {
		v.names = strings.Split(text, ",")
	}
	switch by := r.Form.Get("aggregateBy"); by {
	case "", "series":
	case "labels":
		if v.labels = true; r.Form.Get("targetLabels") == "" {
			v.names = nil
		}
	default:
		return nil, s, 0, until, answer.Errorf(http.StatusBadRequest, "invalid aggregation option %q: it is series or labels", by)
	}
	if ranged {
		d, err := step(r, end.Sub(start))
		if err != nil {
			return nil, s, 0, until, err
		}
		v.step = int64(d)
	}
	for at := v.start; len(v.steps) == 0 || at < end.UnixNano(); at += v.step {
		last := end
		if next := time.Unix(0, at+v.step); next.Before(end) {
			last = next.Add(-time.Millisecond)
		}
		v.steps = append(v.steps, last)
	}
	return v, s, limit, end.Add(time.Nanosecond), nil
}

// count parses a positive number.
func count(r *http.Request, name string, absent int) (int, error) {
	text := r.Form.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, answer.Errorf(http.StatusBadRequest, "%s must be a positive value, not %q", name, text)
	}
	return n, nil
}

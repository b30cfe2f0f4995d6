package loki

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"dicelab/internal/embedded/logql"
)

// The JSON of a query's response ("Loki HTTP API", "Query logs within a range of time").
type (
	// stats are the ones of Loki's statistics that apply here.
	stats struct {
		TotalBytesProcessed  int     `json:"totalBytesProcessed"`
		TotalLinesProcessed  int     `json:"totalLinesProcessed"`
		TotalPostFilterLines int     `json:"totalPostFilterLines"`
		TotalEntriesReturned int     `json:"totalEntriesReturned"`
		ExecTime             float64 `json:"execTime"` // seconds
	}

	stream struct {
		labels map[string]string
		values []entry
	}

	// entry is [nanoseconds, text] or [nanoseconds, text, categories].
	entry struct {
		at         time.Time
		text       string
		categories *categories
	}

	categories struct {
		StructuredMetadata map[string]string `json:"structuredMetadata,omitempty"`
		Parsed             map[string]string `json:"parsed,omitempty"`
	}
)

// MarshalJSON implements json.Marshaler.
func (e entry) MarshalJSON() ([]byte, error) {
	parts := []any{strconv.FormatInt(e.at.UnixNano(), 10), e.text}
	if e.categories != nil {
		parts = append(parts, e.categories)
	}
	return json.Marshal(parts)
}

// encoder writes a response piece by piece, until its context ends.
type encoder struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (e *encoder) text(s string) {
	if e.err = cmp.Or(e.err, e.ctx.Err()); e.err == nil {
		_, e.err = io.WriteString(e.w, s)
	}
}

func (e *encoder) value(v any) {
	if e.err = cmp.Or(e.err, e.ctx.Err()); e.err != nil {
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		e.err = fmt.Errorf("encoding the answer: %w", err)
		return
	}
	_, e.err = e.w.Write(text)
}

// list writes n elements.
func (e *encoder) list(n int, element func(i int)) {
	e.text("[")
	for i := range n {
		if i > 0 {
			e.text(",")
		}
		element(i)
	}
	e.text("]")
}

func (e *encoder) streams(streams []stream) {
	e.list(len(streams), func(i int) {
		e.text(`{"stream":`)
		e.value(streams[i].labels)
		e.text(`,"values":`)
		e.list(len(streams[i].values), func(j int) { e.value(streams[i].values[j]) })
		e.text("}")
	})
}

func (e *encoder) matrix(series []logql.Series) {
	e.list(len(series), func(i int) {
		e.text(`{"metric":`)
		e.value(series[i].Metric)
		e.text(`,"values":`)
		e.list(len(series[i].Points), func(j int) { e.text(point(series[i].Points[j])) })
		e.text("}")
	})
}

// vector writes series of at most one point each.
func (e *encoder) vector(series []logql.Series) {
	e.list(len(series), func(i int) {
		e.text(`{"metric":`)
		e.value(series[i].Metric)
		for _, p := range series[i].Points {
			e.text(`,"value":` + point(p))
		}
		e.text("}")
	})
}

// point is [seconds, "value"].
func point(p logql.Point) string {
	return "[" + formatFloat(float64(p.Time.UnixMilli())/1000) + `,"` + formatFloat(p.Value) + `"]`
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// respond answers with a result, for which it calls write.
func (run *run) respond(w http.ResponseWriter, kind string, write func(*encoder)) error {
	run.stats.ExecTime = run.now().Sub(run.began).Seconds()
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	e := &encoder{ctx: run.ctx, w: w}
	e.text(`{"status":"success","data":{"resultType":"` + kind + `"`)
	if run.categorize {
		e.text(`,"encodingFlags":["` + flagCategorize + `"]`)
	}
	e.text(`,"result":`)
	write(e)
	e.text(`,"stats":{"summary":`)
	e.value(run.stats)
	e.text("}}}\n")
	return e.err
}

package loki

import (
	"encoding/json"
	"strconv"
	"time"

	"dicelab/internal/pocket/logql"
)

// The JSON of a query's answer ("Loki HTTP API", "Query logs within a range of
// time").
type (
	answer struct {
		Status string     `json:"status"`
		Data   answerData `json:"data"`
	}

	answerData struct {
		ResultType    string   `json:"resultType"`
		EncodingFlags []string `json:"encodingFlags,omitempty"`
		Result        any      `json:"result"`
		Stats         struct {
			Summary stats `json:"summary"`
		} `json:"stats"`
	}

	// stats are those of Loki's statistics that mean something here.
	stats struct {
		TotalBytesProcessed  int     `json:"totalBytesProcessed"`
		TotalLinesProcessed  int     `json:"totalLinesProcessed"`
		TotalPostFilterLines int     `json:"totalPostFilterLines"`
		TotalEntriesReturned int     `json:"totalEntriesReturned"`
		ExecTime             float64 `json:"execTime"` // seconds
	}

	stream struct {
		Stream map[string]string `json:"stream"`
		Values []entry           `json:"values"`
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

	sample struct {
		Metric map[string]string `json:"metric"`
		Value  point             `json:"value"`
	}

	sampleStream struct {
		Metric map[string]string `json:"metric"`
		Values []point           `json:"values"`
	}

	// point is [seconds, "value"].
	point logql.Point
)

// MarshalJSON implements json.Marshaler.
func (e entry) MarshalJSON() ([]byte, error) {
	parts := []any{strconv.FormatInt(e.at.UnixNano(), 10), e.text}
	if e.categories != nil {
		parts = append(parts, e.categories)
	}
	return json.Marshal(parts)
}

// MarshalJSON implements json.Marshaler.
func (p point) MarshalJSON() ([]byte, error) {
	seconds := json.Number(formatFloat(float64(p.Time.UnixMilli()) / 1000))
	return json.Marshal([]any{seconds, formatFloat(p.Value)})
}

func matrixOf(series []logql.Series) []sampleStream {
	matrix := make([]sampleStream, 0, len(series))
	for _, s := range series {
		points := make([]point, len(s.Points))
		for i, p := range s.Points {
			points[i] = point(p)
		}
		matrix = append(matrix, sampleStream{Metric: s.Metric, Values: points})
	}
	return matrix
}

func vectorOf(series []logql.Series) []sample {
	vector := make([]sample, 0, len(series))
	for _, s := range series {
		for _, p := range s.Points {
			vector = append(vector, sample{Metric: s.Metric, Value: point(p)})
		}
	}
	return vector
}

package store

import (
	"encoding/binary"
	"errors"
	"slices"
)

// heads is what a search compares of the spans of a segment, encoded: for each
// part the trace ID and the number of its spans, for each span its class, the
// nanoseconds from the segment's oldest start to its own, and its duration.
type heads struct {
	oldest int64
	data   []byte

	sums []summary
}

// head is one span of a segment.
type head struct {
	trace           TraceID
	class           int64
	start, duration int64
}

// summary is a row of span_summary: what a segment has of a class.
type summary struct {
	class   int64
	newest  int64 // start
	longest int64 // duration
}

// part announces n spans of a trace.
func (h *heads) part(id TraceID, n int) {
	h.data = append(h.data, id[:]...)
	h.data = binary.AppendUvarint(h.data, uint64(n))
}

func (h *heads) span(class, start, duration int64) {
	h.data = binary.AppendUvarint(h.data, uint64(class))
	h.data = binary.AppendUvarint(h.data, uint64(start-h.oldest))
	h.data = binary.AppendVarint(h.data, duration)
	h.sums = summarise(h.sums, head{class: class, start: start, duration: duration})
}

func (h *heads) summaries() []summary { return h.sums }

// summarise adds a span. A segment has few classes.
func summarise(sums []summary, s head) []summary {
	i := slices.IndexFunc(sums, func(sum summary) bool { return sum.class == s.class })
	if i < 0 {
		return append(sums, summary{class: s.class, newest: s.start, longest: s.duration})
	}
	sums[i].newest, sums[i].longest = max(sums[i].newest, s.start), max(sums[i].longest, s.duration)
	return sums
}

var errHeads = errors.New("decoding the heads of a segment: they end too soon")

// readHeads calls yield for each span.
func readHeads(data []byte, oldest int64, yield func(head)) error {
	for len(data) > 0 {
		var h head
		if len(data) < len(h.trace) {
			return errHeads
		}
		data = data[copy(h.trace[:], data):]
		n, size := binary.Uvarint(data)
		if size <= 0 {
			return errHeads
		}
		data = data[size:]
		for range n {
			class, a := binary.Uvarint(data)
			start, b := binary.Uvarint(data[max(a, 0):])
			duration, c := binary.Varint(data[max(a, 0)+max(b, 0):])
			if a <= 0 || b <= 0 || c <= 0 {
				return errHeads
			}
			data = data[a+b+c:]
			h.class, h.start, h.duration = int64(class), oldest+int64(start), duration
			yield(h)
		}
	}
	return nil
}

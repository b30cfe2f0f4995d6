package query

import (
	"encoding/hex"
	"fmt"
	"strings"

	"dicelab/internal/traceparent"
)

const (
	traceIDLen = 32 // hex digits of a trace ID, W3C Trace Context, section 3.2.2.3
	uuidLen    = 36 // a UUID, RFC 9562, section 4
	spanIDLen  = 16 // hex digits of a parent ID, W3C Trace Context, section 3.2.2.4
)

// ParseTraceID returns a trace ID as 32 lower-case hex digits. It accepts
// capitals, space around it, and missing leading zeros, which Tempo drops in
// search results and exemplars; and the forms in which other programs show the ID:
// behind 0x, as a UUID, and in a traceparent header.
func ParseTraceID(s string) (string, error) {
	id := strings.TrimSpace(s)
	if header, err := traceparent.Parse(strings.ToLower(id)); err == nil {
		return header.TraceID, nil
	}
	if digits := strings.ReplaceAll(id, "-", ""); len(id) == uuidLen && len(digits) == traceIDLen {
		id = digits
	}
	if len(id) > 2 && strings.EqualFold(id[:2], "0x") {
		id = id[2:]
	}
	return parseHexID("trace", id, traceIDLen)
}

// ParseSpanID returns a span ID as 16 lower-case hex digits, as ParseTraceID
// does.
func ParseSpanID(s string) (string, error) {
	return parseHexID("span", s, spanIDLen)
}

func parseHexID(what, s string, n int) (string, error) {
	id := strings.ToLower(strings.TrimSpace(s))
	if id == "" || len(id) > n {
		return "", fmt.Errorf("parsing %s ID %.80q: want 1 to %d hex digits", what, s, n)
	}
	id = strings.Repeat("0", n-len(id)) + id
	if _, err := hex.DecodeString(id); err != nil {
		return "", fmt.Errorf("parsing %s ID %.80q: want hex digits only", what, s)
	}
	if strings.Trim(id, "0") == "" {
		return "", fmt.Errorf("parsing %s ID %.80q: all zeros is not a valid ID", what, s)
	}
	return id, nil
}

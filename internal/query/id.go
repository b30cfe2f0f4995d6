package query

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	traceIDLen = 32 // hex digits of a trace ID, W3C Trace Context, section 3.2.2.3
	spanIDLen  = 16 // hex digits of a parent ID, W3C Trace Context, section 3.2.2.4
)

// ParseTraceID returns a trace ID as 32 lower-case hex digits. It accepts
// capitals, space around it, and missing leading zeros, which Tempo drops in
// search results and exemplars.
func ParseTraceID(s string) (string, error) {
	return parseHexID("trace", s, traceIDLen)
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

// decodeID reads an ID of n hex digits as OTLP's JSON has it: hex by the
// specification (OTLP 1.x, "JSON Protobuf Encoding"), base64 in Tempo, which
// uses protobuf's own mapping. Their lengths tell them apart: 16 and 32 hex
// digits, 12 and 24 characters of base64 (11 and 22 unpadded). Empty stays empty.
func decodeID(s string, n int) (string, error) {
	if s == "" {
		return "", nil
	}
	if len(s) == n {
		if _, err := hex.DecodeString(s); err != nil {
			return "", fmt.Errorf("decoding ID %.40q: want hex digits", s)
		}
		return noZeroID(strings.ToLower(s)), nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || len(raw) != n/2 {
		return "", fmt.Errorf("decoding ID %.40q: want %d hex digits or the base64 of %d bytes", s, n, n/2)
	}
	return noZeroID(hex.EncodeToString(raw)), nil
}

// noZeroID turns the all-zero ID, which some exporters write for "no parent",
// into no ID.
func noZeroID(id string) string {
	if strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}

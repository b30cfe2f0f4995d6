package query

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Traceparent is a traceparent header taken apart (W3C Trace Context, section
// 3.2).
type Traceparent struct {
	Version  string // 2 hex digits
	TraceID  string // 32 hex digits
	ParentID string // 16 hex digits: the caller's span
	Flags    string // 2 hex digits
	Sampled  bool   // bit 0 of the flags
}

// ParseTraceparent takes a traceparent header apart. Versions above 00 may have
// more fields, which are ignored as section 3.2.1 asks; version ff is invalid.
func ParseTraceparent(s string) (Traceparent, error) {
	p := strings.Split(strings.TrimSpace(s), "-")
	if len(p) < 4 || (p[0] == "00" && len(p) != 4) {
		return Traceparent{}, fmt.Errorf("parsing traceparent %.80q: want version-traceid-parentid-flags", s)
	}
	for i, n := range []int{2, traceIDLen, spanIDLen, 2} {
		if _, err := hex.DecodeString(p[i]); err != nil || len(p[i]) != n || strings.ToLower(p[i]) != p[i] {
			return Traceparent{}, fmt.Errorf("parsing traceparent %.80q: field %d must be %d lower-case hex digits", s, i+1, n)
		}
	}
	if p[0] == "ff" || noZeroID(p[1]) == "" || noZeroID(p[2]) == "" {
		return Traceparent{}, fmt.Errorf("parsing traceparent %.80q: version ff and IDs of zeros are invalid", s)
	}
	flags, err := strconv.ParseUint(p[3], 16, 8)
	if err != nil {
		return Traceparent{}, fmt.Errorf("parsing the flags of traceparent %.80q: %w", s, err)
	}
	return Traceparent{Version: p[0], TraceID: p[1], ParentID: p[2], Flags: p[3], Sampled: flags&1 == 1}, nil
}

// String puts the header together again.
func (t Traceparent) String() string {
	return t.Version + "-" + t.TraceID + "-" + t.ParentID + "-" + t.Flags
}

// Package traceparent reads and writes the header that carries a trace from a service
// to the next (W3C Trace Context, section 3.2). Services propagate it with the SDK's
// propagator; this is for those who show it or check it.
package traceparent

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Header is a traceparent header taken apart.
type Header struct {
	Version  string // 2 hex digits
	TraceID  string // 32 hex digits
	ParentID string // 16 hex digits: the caller's span
	Flags    string // 2 hex digits
	Sampled  bool   // bit 0 of the flags
}

// Parse takes a traceparent header apart. Versions above 00 may have more fields,
// which are ignored as section 3.2.1 asks; version ff is invalid.
func Parse(s string) (Header, error) {
	p := strings.Split(strings.TrimSpace(s), "-")
	if len(p) < 4 || (p[0] == "00" && len(p) != 4) {
		return Header{}, fmt.Errorf("parsing traceparent %.80q: want version-traceid-parentid-flags", s)
	}
	var fields [4][]byte
	for i, n := range []int{2, 32, 16, 2} {
		b, err := hex.DecodeString(p[i])
		if err != nil || len(p[i]) != n || strings.ToLower(p[i]) != p[i] {
			return Header{}, fmt.Errorf("parsing traceparent %.80q: field %d must be %d lower-case hex digits", s, i+1, n)
		}
		fields[i] = b
	}
	if p[0] == "ff" || strings.Trim(p[1], "0") == "" || strings.Trim(p[2], "0") == "" {
		return Header{}, fmt.Errorf("parsing traceparent %.80q: version ff and IDs of zeros are invalid", s)
	}
	return Header{Version: p[0], TraceID: p[1], ParentID: p[2], Flags: p[3], Sampled: fields[3][0]&1 == 1}, nil
}

// String puts the header together again.
func (h Header) String() string {
	return h.Version + "-" + h.TraceID + "-" + h.ParentID + "-" + h.Flags
}

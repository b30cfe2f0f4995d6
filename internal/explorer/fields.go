package explorer

import (
	"fmt"

	"dicelab/internal/query"
)

// Limits of the attributes in a page. A span may have any number of them, and a
// value any length; the page is to be read.
const (
	maxFields      = 128     // of a list: as many as OpenTelemetry's SDKs record
	maxValue       = 4 << 10 // bytes of a value
	maxSheet       = 2 << 20 // bytes of all values of a page
	maxSpanRecords = 32      // events, and links, of a span
)

// fieldList is attributes as a page shows them.
type fieldList struct {
	Fields []query.Field
	More   string // names what is left out; "" for nothing
}

// sheet bounds the text of a page.
type sheet struct{ left int } // bytes

// list formats attributes. cut is the number of those that were not even read.
func (s *sheet) list(attributes query.Attributes, cut int) fieldList {
	var l fieldList
	sorted := attributes.Sorted()
	for _, a := range sorted[:min(len(sorted), maxFields)] {
		if s.left <= 0 {
			break
		}
		f := query.Field{Key: clip(a.Key), Value: shortened(query.FormatValue(a.Value))}
		s.left -= len(f.Key) + len(f.Value)
		l.Fields = append(l.Fields, f)
	}
	if n := len(attributes) - len(l.Fields) + cut; n > 0 {
		l.More = fmt.Sprintf("and %s more, which this page does not show", grouped(n))
	}
	return l
}

// shortened returns a value, cut if it is very long.
func shortened(value string) string {
	if len(value) <= maxValue {
		return value
	}
	kept := query.Clip(value, maxValue)
	return fmt.Sprintf("%s… and %s more bytes", kept, grouped(len(value)-len(kept)))
}

// moreRecords names the events or links that are left out.
func moreRecords(n int, what string) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("and %s more %s, which this page does not show", grouped(n), what)
}

// grouped writes a number with a comma before each three digits.
func grouped(n int) string {
	digits := fmt.Sprint(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

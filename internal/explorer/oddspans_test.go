package explorer_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// spanJSON returns a span in OTLP JSON. Times are nanoseconds since 2024-03-09T16:00:00Z;
// rest is further fields.
func spanJSON(id, parent int, name string, start, end int64, rest string) string {
	const base = 1_710_000_000_000_000_000
	p := ""
	if parent > 0 {
		p = `"parentSpanId":"` + hex16(parent) + `",`
	}
	if end != 0 {
		end += base
	}
	return fmt.Sprintf(`{"traceId":%q,"spanId":%q,%s"name":%q,"startTimeUnixNano":"%d","endTimeUnixNano":"%d"%s}`, traceFair, hex16(id), p, name, base+start, end, rest)
}

// fileOf returns a file with spans of one service; "" for none.
func fileOf(service string, spans ...string) map[string]string {
	resource := ""
	if service != "" {
		resource = `"resource":{"droppedAttributesCount":3,"attributes":[{"key":"service.name","value":{"stringValue":"` + service + `"}}]},`
	}
	return map[string]string{"file": `{"resourceSpans":[{` + resource + `"scopeSpans":[{"spans":[` + strings.Join(spans, ",") + `]}]}]}`}
}

// missing fails if a text contains one of the others.
func missing(t *testing.T, text string, others ...string) {
	t.Helper()
	for _, other := range others {
		if strings.Contains(text, other) {
			t.Errorf("%q is in: %s", other, text)
		}
	}
}

// TestTimesOfSpans checks spans and events whose times cannot be right: each is named.
func TestTimesOfSpans(t *testing.T) {
	const ms = int64(time.Millisecond)
	at := func(ns int64) string { return strconv.FormatInt(1_710_000_000_000_000_000+ns, 10) }
	p := send(t, alone(t).handler, fileOf("shop", spanJSON(1, 0, "root", 0, 100*ms, `,"events":[{"name":"early","timeUnixNano":"`+at(-5000*ms)+`"},{"name":"late","timeUnixNano":"`+at(103*ms)+
		`"},{"name":"inside","timeUnixNano":"`+at(7*ms)+`"},{"name":"timeless"}]`), spanJSON(2, 1, "open", 10*ms, 0, ""), spanJSON(3, 1, "back", 20*ms, 15*ms, "")), 200)
	contains(t, p.text(), "1 span has no end: it was not ended before it was sent. How long it took is not known.",
		"1 span ends before it starts: the clock was set back meanwhile, or the times are wrong. Its duration is shown as 0 s.")
	spans := p.all("details.span")
	contains(t, spans[0].text(), "early at -5 s 5 s before the span", "late at +103 ms 3 ms after the span", "inside at +7 ms", "timeless no time")
	missing(t, spans[0].text(), "+-", "7 ms after", "h 16 min")
	contains(t, spans[1].one(t, "summary").text(), "open shop no end")
	contains(t, spans[2].one(t, "summary").text(), "back shop ends 5 ms before it starts", "0 s")
	contains(t, p.one(t, "time").text(), "9 Mar 2024 16:00:00.000")
}

// TestDurationsCarry checks that rounding carries into the next unit, and that the exact
// value is at hand.
func TestDurationsCarry(t *testing.T) {
	h := alone(t).handler
	for ns, want := range map[int64]string{
		999: "999 ns", 1000: "1 µs", 999_499: "999 µs 999.499 µs", 999_999: "1 ms 999.999 µs", 999_999_600: "1 s 999.9996 ms", 9_999_000_000: "10 s 9.999 s",
		12_345_000_000: "12.3 s 12.345 s", 59_940_000_000: "59.9 s 59.94 s", 59_950_000_000: "1 min 0 s 59.95 s", 3_599_600_000_000: "1 h 0 min 3599.6 s",
		3_601_000_000_000: "1 h 0 min 3601 s", 172_799_000_000_000: "2 d 0 h 172799 s", 1_000_000_001: "1 s 1.000000001 s",
	} {
		p := send(t, h, fileOf("shop", spanJSON(1, 0, "root", 0, ns, "")), 200)
		for _, fact := range p.one(t, "details.span").all("div") {
			if dt := fact.all("dt"); len(dt) == 1 && dt[0].text() == "Duration" && fact.one(t, "dd").text() != want {
				t.Errorf("%d ns: %q, want %q", ns, fact.one(t, "dd").text(), want)
			}
		}
		contains(t, p.one(t, ".facts").text(), want)
	}
}

// TestDropped checks that what was dropped where it was recorded is named, and that links
// show all that they have.
func TestDropped(t *testing.T) {
	other := strings.Repeat("ab", 16)
	p := send(t, alone(t).handler, fileOf("shop", spanJSON(1, 0, "root", 0, 5, `,"droppedAttributesCount":120,"droppedEventsCount":7,"droppedLinksCount":1,
		"events":[{"name":"e","timeUnixNano":"1710000000000000001","droppedAttributesCount":2}],
		"links":[{"traceId":"`+other+`","spanId":"`+hex16(9)+`","traceState":"a=b","droppedAttributesCount":1}]`)), 200)
	contains(t, p.text(), "1 span is incomplete: attributes, events or links were dropped where it was recorded.",
		"120 attributes, 7 events, 1 link were dropped where the span was recorded: its SDK limits how many it keeps.",
		"e at +1 ns 2 attributes were dropped where it was recorded.", other+" span "+hex16(9)+" tracestate a=b 1 attribute was dropped where it was recorded.",
		"3 attributes were dropped where it was recorded.")
}

// TestNames checks the placeholders of what has no name, and a missing root.
func TestNames(t *testing.T) {
	l := alone(t)
	p := send(t, l.handler, fileOf("", spanJSON(1, 0, "", 0, 5, `,"kind":9`)), 200)
	contains(t, p.one(t, "h1").text(), "unknown_service (no name)")
	contains(t, p.one(t, "details.span").text(), "(no name) unknown_service", "Kind unspecified (9)")
	p = send(t, l.handler, fileOf("shop", spanJSON(2, 1, "child", 0, 5, "")), 200)
	contains(t, p.one(t, "h1").text(), "shop root span not received")
	long := strings.Repeat("long ", 100)
	p = send(t, l.handler, fileOf("shop", spanJSON(1, 0, long, 0, 5, "")), 200)
	if got := len(p.one(t, "details.span").all("bdi")); got != 4 {
		t.Errorf("%d isolated names of a span, want them in the row, and whole beneath it", got)
	}
}

// TestBarsAreVisible checks that every bar is inside of the drawing, also of a span that has
// no length at the end, or that begins before its parent.
func TestBarsAreVisible(t *testing.T) {
	h := alone(t).handler
	file := fileOf("shop", spanJSON(1, 0, "root", 0, 1_000_000_000, ""), spanJSON(2, 1, "at the end", 1_000_000_000, 1_000_000_000, ""),
		spanJSON(3, 1, "skewed", -2_000_000_000, -1_900_000_000, ""), spanJSON(4, 3, "skewed more", -9_000_000_000, -8_000_000_000, ""))
	file["show"] = "focus=" + hex16(1) + "&trace=" + traceFair
	for _, p := range []node{send(t, h, fileOf("shop", spanJSON(1, 0, "root", 0, 1, ""), spanJSON(2, 1, "end", 1, 1, "")), 200), send(t, h, file, 200)} {
		for _, bar := range p.all("rect.bar") {
			x, err1 := strconv.ParseFloat(strings.TrimSuffix(bar.attr("x"), "%"), 64)
			width, err2 := strconv.ParseFloat(strings.TrimSuffix(bar.attr("width"), "%"), 64)
			if err1 != nil || err2 != nil || x < 0 || width < .25 || x+width > 100 {
				t.Errorf("a bar from %v, %v wide", bar.attr("x"), bar.attr("width"))
			}
		}
	}
}

// TestFlagsOfHops checks that a hop shows the flags that were recorded, or none.
func TestFlagsOfHops(t *testing.T) {
	for flags, want := range map[string]string{"": "– flags: not recorded", `,"flags":256`: "00 flags: not sampled", `,"flags":769`: "01 flags: sampled"} {
		a, b := fileOf("a", spanJSON(1, 0, "call", 0, 9, `,"kind":3`)), fileOf("b", spanJSON(2, 1, "serve", 1, 8, `,"kind":2`+flags))
		p := send(t, alone(t).handler, map[string]string{"file": a["file"] + b["file"]}, 200)
		contains(t, p.one(t, ".hop").text(), want)
	}
}

// TestLinkToASpan checks that a link to a span of a large trace shows it open among those
// around it, wherever it is, and that the rest can be reached.
func TestLinkToASpan(t *testing.T) {
	spans := []map[string]any{otlp(1, 0, "root")}
	for i := range 1000 {
		spans = append(spans, otlp(10+i, 1, "row"))
	}
	for i := range 500 { // a chain beneath the last but one
		parent := 10 + 998
		if i > 0 {
			parent = 9999 + i
		}
		spans = append(spans, otlp(10_000+i, parent, "link"))
	}
	h := traceServer(t, spans...)
	for _, target := range []int{10 + 500, 10_000 + 3, 10_000 + 499} {
		p := page(t, h, "/traces/"+traceFair+"?span="+hex16(target), 200)
		open := 0
		for _, s := range p.all("details.span") {
			if s.has("open") {
				open++
				if s.attr("data-span") != hex16(target) {
					t.Errorf("%s is open, want %s", s.attr("data-span"), hex16(target))
				}
			}
		}
		if rows := len(p.all("details.span")); open != 1 || rows > 301 {
			t.Errorf("span %d: %d open of %d", target, open, rows)
		}
	}
	p := page(t, h, "/traces/"+traceFair+"?span="+hex16(10+500), 200)
	for _, around := range []int{10 + 490, 10 + 510} {
		if len(p.all("#span-"+hex16(around))) != 1 {
			t.Errorf("span %d is not shown beside it", around)
		}
	}
	contains(t, p.text(), "979 × row", "All 979, a row for each")
	contains(t, page(t, h, "/traces/"+traceFair+"?span=00000000ffffffff", 200).text(), "There is no span \"00000000ffffffff\" in this trace.")
}

// TestManyRoots checks that no span is out of reach where the roots are missing.
func TestManyRoots(t *testing.T) {
	var spans []map[string]any
	for i := range 700 {
		spans = append(spans, otlp(10+i, 5000+i, "orphan"))
	}
	h, seen := traceServer(t, spans...), map[string]bool{}
	for target, pages := "/traces/"+traceFair, 0; target != "" && pages < 10; pages++ {
		p := page(t, h, target, 200)
		for _, s := range p.all("details.span") {
			seen[s.attr("data-span")] = true
		}
		target = ""
		for _, more := range p.all(".wf-more") {
			target = more.one(t, "a").attr("href")
		}
	}
	if len(seen) != 700 {
		t.Errorf("%d of 700 spans are reached", len(seen))
	}
}

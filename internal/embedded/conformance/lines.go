package conformance

import (
	"encoding/hex"
	"fmt"
	"time"

	"dicelab/internal/contract"
)

// line is a log line of the data set.
type line struct {
	service, level string
	at             time.Duration // since the base
	trace          string        // as in span; "" for none
	span           uint64
	text           string
}

// lines returns the log lines, in streams like those of the lab's collector.
func lines() []line {
	const ms = time.Millisecond
	front, back := contract.ServiceFrontend, contract.ServiceRoller
	const info, warning, failure = contract.LevelInfo, contract.LevelWarning, contract.LevelError
	return []line{
		// Lines of the rolls among the spans.
		{front, info, 1001 * ms, "fa", 2, `{"level":"INFO","message":"Button clicked","logger":"streamlit-frontend","die_type":"fair"}`},
		{back, info, 1300 * ms, "fa", 4, `{"level":"INFO","message":"Roll request received","logger":"dice-roller","die_type":"fair"}`},
		{back, info, 1551 * ms, "fa", 5, `{"level":"INFO","message":"Roll completed","logger":"dice-roller","die_type":"fair","roll_value":4,"duration_seconds":0.25}`},
		{front, info, 1760 * ms, "fa", 2, `{"level":"INFO","message":"Backend response received","logger":"streamlit-frontend","die_type":"fair","backend_status":200,"roll_value":4,"duration_seconds":0.75}`},
		{front, info, 2001 * ms, "fb", 2, `{"level":"INFO","message":"Button clicked","logger":"streamlit-frontend","die_type":"risky"}`},
		{back, info, 2300 * ms, "fb", 4, `{"level":"INFO","message":"Roll request received","logger":"dice-roller","die_type":"risky"}`},
		{back, failure, 3191 * ms, "fb", 5, `{"level":"ERROR","message":"Risky die failed","logger":"dice-roller","die_type":"risky","status":500,"duration_seconds":0.89,"error":"the die broke"}`},
		{front, failure, 3610 * ms, "fb", 2, `{"level":"ERROR","message":"Backend request failed","logger":"streamlit-frontend","die_type":"risky","backend_status":500,"duration_seconds":1.6,"error":"the dice roller answered 500"}`},
		{contract.ServiceTraffic, info, 3300 * ms, "fc", 1, `{"level":"INFO","message":"Simulated roll completed","logger":"traffic-generator","die_type":"fair","roll_value":1,"user_id":"user-1"}`},
		// Cases for a JSON parser.
		{"odd", info, 12000 * ms, "", 0, `panic: not JSON at all`},
		{"odd", info, 12001 * ms, "", 0, `{"message":"cut off","die_type":"fa`},
		{"odd", info, 12002 * ms, "00000000a7", 0xf0, `{"message":"gewürfelt 🎲","größe":"riesig","die_type":"weiß"}`},
		{"odd", info, 12003 * ms, "", 0, `{"outer":{"inner":"deep","n":1.5},"list":[1,2],"none":null,"yes":true,"9lives":"x","service_name":"inside","a-b.c":"joined","level":"LOUD"}`},
		{"odd", info, 12004 * ms, "", 0, `{"message":"a \"quoted\"\ttab","path":"C:\\dice","roll_value":"seven"}`},
		{"odd", info, 12005 * ms, "", 0, `{"message":"large","roll_value":1e3,"duration_seconds":"1m30s","status":"0500"}`},
		// Two lines of one time, and a line that is sent twice.
		{"odd", warning, 13000 * ms, "", 0, `first of one moment`},
		{"odd", warning, 13000 * ms, "", 0, `second of one moment`},
		{"odd", warning, 14000 * ms, "", 0, `sent twice`},
		{"odd", warning, 14000 * ms, "", 0, `sent twice`},
		// Formats that parsers of LogQL read.
		{"formats", info, 20 * time.Second, "fa", 1, `level=info msg="say \"hi\"" took=1.5s status=200 size=2KB addr=10.0.0.7 empty=`},
		{"formats", info, 21 * time.Second, "", 0, `level=warn msg=slow took=2500ms status=503 size=1MB addr=192.168.4.5 broken==x late=yes`},
		{"formats", failure, 22 * time.Second, "", 0, `level=error msg=failed took=90ms status=500 size=300B addr=10.0.0.9 service_name=inner`},
		{"formats", info, 23 * time.Second, "", 0, `10.0.0.7 - - [15/Jul/2020] "GET /api/page/1 HTTP/1.1" 200 932`},
		{"formats", info, 24 * time.Second, "", 0, `{"pod":"p1","_entry":"the packed line","n":1}`},
		{"formats", info, 25 * time.Second, "", 0, "\x1b[31mred\x1b[0m text"},
		{"formats", info, 26 * time.Second, "", 0, `{"servers":["10.0.0.1","10.0.0.2"],"request":{"method":"GET","size":55},"took":"1s"}`},
		// At the ends of requests' time ranges.
		{"edges", info, 40*time.Second - 1, "", 0, `just before 40`},
		{"edges", info, 40 * time.Second, "", 0, `at 40`},
		{"edges", info, 42 * time.Second, "", 0, `at 42`},
		{"edges", info, 44*time.Second - 1, "", 0, `just before 44`},
		{"edges", info, 44 * time.Second, "", 0, `at 44`},
	}
}

// labels returns the labels of the line's stream.
func (l line) labels() map[string]string {
	return map[string]string{
		contract.StreamContainer: l.service + "-stage2", contract.StreamService: l.service, contract.StreamJob: l.service, contract.StreamLevel: l.level,
	}
}

// metadata returns the line's IDs.
func (l line) metadata() map[string]string {
	if l.trace == "" {
		return nil
	}
	return map[string]string{contract.FieldTraceID: hex.EncodeToString(traceID(l.trace)), contract.FieldSpanID: fmt.Sprintf("%016x", l.span)}
}

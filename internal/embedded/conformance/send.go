package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang/snappy"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Stack holds the base URLs of a stack: of OTLP over HTTP and of the three servers.
type Stack struct {
	OTLP, Prometheus, Tempo, Loki string
}

// Send sends the data set of that base to a stack, except for the metrics: the stack
// scrapes these from Exposition.
func Send(ctx context.Context, to Stack, base time.Time) error {
	return errors.Join(sendSpans(ctx, to, base), sendLines(ctx, to, base))
}

// sendSpans sends the spans of the data set in three exports: the large trace, the
// other traces, and the late spans. The large trace is first, because names and values
// of attributes are listed from the newest spans.
func sendSpans(ctx context.Context, to Stack, base time.Time) error {
	for _, list := range [][]span{large(), spans(), late()} {
		body, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: resourceSpans(base, list)})
		if err != nil {
			return fmt.Errorf("encoding spans: %w", err)
		}
		if err := post(ctx, to.OTLP+"/v1/traces", "application/x-protobuf", body); err != nil {
			return fmt.Errorf("sending spans: %w", err)
		}
	}
	return nil
}

// sendLines sends the log lines of the data set: those of the services as JSON, as from a
// shell, the others in protobuf, as from Alloy.
func sendLines(ctx context.Context, to Stack, base time.Time) error {
	var byHand, asAlloy []line
	for _, l := range lines() {
		if l.service == "odd" || l.service == "edges" {
			asAlloy = append(asAlloy, l)
		} else {
			byHand = append(byHand, l)
		}
	}
	body, err := pushJSON(base, byHand)
	if err != nil {
		return fmt.Errorf("encoding lines: %w", err)
	}
	const path = "/loki/api/v1/push"
	if err := post(ctx, to.Loki+path, "application/json", body); err != nil {
		return fmt.Errorf("sending lines as JSON: %w", err)
	}
	if err := post(ctx, to.Loki+path, "application/x-protobuf", snappy.Encode(nil, pushProto(base, asAlloy))); err != nil {
		return fmt.Errorf("sending lines as protobuf: %w", err)
	}
	return nil
}

func post(ctx context.Context, url, contentType string, body []byte) error {
	answer, err := request(ctx, http.MethodPost, url, http.Header{"Content-Type": {contentType}}, string(body))
	if err != nil {
		return err
	}
	if answer.Status/100 != 2 {
		return fmt.Errorf("posting to %s: %d: %s", url, answer.Status, answer.Body)
	}
	return nil
}

// pushJSON writes lines as the JSON of Loki's push ("Loki HTTP API", "Ingest
// logs").
func pushJSON(base time.Time, list []line) ([]byte, error) {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][]any           `json:"values"`
	}
	var streams []*stream
	known := map[string]*stream{}
	for _, l := range list {
		name := streamName(l.labels())
		if known[name] == nil {
			known[name] = &stream{Stream: l.labels()}
			streams = append(streams, known[name])
		}
		value := []any{strconv.FormatInt(base.Add(l.at).UnixNano(), 10), l.text}
		if metadata := l.metadata(); metadata != nil {
			value = append(value, metadata)
		}
		known[name].Values = append(known[name].Values, value)
	}
	return json.Marshal(map[string]any{"streams": streams})
}

// pushProto writes lines as a logproto.PushRequest; package loki lists its fields.
func pushProto(base time.Time, list []line) []byte {
	message := func(to []byte, number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), content)
	}
	varint := func(to []byte, number protowire.Number, value int64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(to, number, protowire.VarintType), uint64(value))
	}
	entries := map[string][]byte{} // by stream
	for _, l := range list {
		at := base.Add(l.at)
		entry := message(nil, 1, varint(varint(nil, 1, at.Unix()), 2, int64(at.Nanosecond())))
		entry = message(entry, 2, []byte(l.text))
		metadata := l.metadata()
		for _, name := range slices.Sorted(maps.Keys(metadata)) {
			entry = message(entry, 3, message(message(nil, 1, []byte(name)), 2, []byte(metadata[name])))
		}
		name := streamName(l.labels())
		entries[name] = message(entries[name], 2, entry)
	}
	var request []byte
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		request = message(request, 1, append(message(nil, 1, []byte(name)), entries[name]...))
	}
	return request
}

// streamName writes the labels of a stream as Loki does.
func streamName(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+strconv.Quote(labels[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

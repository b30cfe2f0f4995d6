package logql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Labels are the names and values of a line, by their origin. A name is in only one of
// the three maps.
type Labels struct {
	Stream   map[string]string // of the line's stream
	Metadata map[string]string // structured metadata of the line
	Parsed   map[string]string // extracted from the text by the pipeline, and its errors; nil if none
}

// All returns the three maps as one: the labels of a stream in Loki's responses, unless
// a request asks for them by kind, and those of a series of a metric query.
func (l Labels) All() map[string]string {
	all := make(map[string]string, len(l.Stream)+len(l.Metadata)+len(l.Parsed))
	for _, part := range []map[string]string{l.Stream, l.Metadata, l.Parsed} {
		for name, value := range part {
			all[name] = value
		}
	}
	return all
}

// get finds a label by name.
func (l Labels) get(name string) (string, bool) {
	for _, part := range []map[string]string{l.Parsed, l.Metadata, l.Stream} {
		if value, ok := part[name]; ok {
			return value, true
		}
	}
	return "", false
}

// extractedSuffix is the suffix that Loki adds to a name that is taken.
const extractedSuffix = "_extracted"

// withMetadata returns the labels of a stream and a line's metadata. A name of the
// metadata that the stream has, too, gets the suffix.
func withMetadata(stream, metadata map[string]string) Labels {
	collides := false
	for name := range metadata {
		if _, collides = stream[name]; collides {
			break
		}
	}
	if !collides {
		return Labels{Stream: stream, Metadata: metadata}
	}
	renamed := make(map[string]string, len(metadata))
	for name, value := range metadata {
		if _, taken := stream[name]; taken {
			name += extractedSuffix
		}
		renamed[name] = value
	}
	return Labels{Stream: stream, Metadata: renamed}
}

// FormatLabels writes labels as Loki does, in order of name: {a="b", c="d"}.
func FormatLabels(l map[string]string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(l)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%q", name, l[name])
	}
	b.WriteByte('}')
	return b.String()
}

package collect

import (
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/grafana/jsonparser"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
)

// labelSets are the labels of a service's streams. Lines share them: they must not
// be changed.
type labelSets struct {
	byLevel map[string]map[string]string
	none    map[string]string // of a line without a level
}

func newLabelSets(service string) labelSets {
	none := map[string]string{
		contract.StreamContainer: contract.ContainerName(service),
		contract.StreamService:   service,
		contract.StreamJob:       service,
	}
	s := labelSets{byLevel: make(map[string]map[string]string), none: none}
	for _, level := range []string{contract.LevelInfo, contract.LevelWarning, contract.LevelError} {
		s.byLevel[level] = maps.Clone(none)
		s.byLevel[level][contract.StreamLevel] = level
	}
	return s
}

// of returns the stream of a level. A level that the lab does not know gets no label:
// labels are bounded, and the text still has it.
func (s labelSets) of(level string) map[string]string {
	if stream, ok := s.byLevel[level]; ok {
		return stream
	}
	return s.none
}

// parse parses a line to store. Of a line that was cut it parses what is there: time,
// level and IDs are at the start.
func parse(text []byte, cut int, s labelSets, now time.Time) store.Line {
	found := readFields(text, cut > 0)
	line := store.Line{
		Time: now, Stream: s.of(found[contract.FieldLevel]),
		Metadata: make(map[string]string, 2), Text: string(text),
	}
	if at, err := time.Parse(time.RFC3339Nano, found[contract.FieldTimestamp]); err == nil && storable(at) {
		line.Time = at
	}
	for _, name := range []string{contract.FieldTraceID, contract.FieldSpanID} {
		if value := found[name]; value != "" {
			line.Metadata[name] = value
		}
	}
	if cut > 0 {
		line.Metadata[MetadataCut] = strconv.Itoa(cut)
	}
	return line
}

// storable reports whether a time fits into 64-bit nanoseconds since 1970.
func storable(at time.Time) bool {
	return at.Unix() >= 0 && at.Unix() < math.MaxInt64/int64(time.Second)
}

// readFields finds the fields of a JSON object that become time, labels and metadata. If
// a name comes twice, it uses the first. It finds nothing in a line that is not a JSON
// object, or in a broken one unless partial is set.
func readFields(text []byte, partial bool) map[string]string {
	found := make(map[string]string, 4)
	err := jsonparser.ObjectEach(text, func(key, value []byte, kind jsonparser.ValueType, _ int) error {
		switch name := string(key); name {
		case contract.FieldTimestamp, contract.FieldLevel, contract.FieldTraceID, contract.FieldSpanID:
			if _, again := found[name]; again || kind != jsonparser.String {
				return nil
			}
			plain, err := jsonparser.ParseString(value)
			if err != nil {
				return err
			}
			found[name] = plain
		}
		return nil
	})
	if err != nil && !partial {
		return nil
	}
	return found
}

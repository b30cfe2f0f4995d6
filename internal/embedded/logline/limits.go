package logline

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
)

// Bounds of a line: Loki's defaults (limits_config).
const (
	maxLine          = 256 << 10 // bytes of a line
	maxLabels        = 15        // of a stream
	maxLabelName     = 100       // bytes of the name of a label of a stream, which the store has as a field
	maxMetadata      = 128       // of a line
	maxMetadataBytes = 64 << 10  // of a line, names and values
)

// maxLabelBytes bounds the names and values of the labels of a stream together, because
// all streams are in memory. Loki bounds each name (1,024) and each value (2,048).
const maxLabelBytes = 8 << 10

// Limits bounds the times of lines. A line may be at most Age old, and at most Early in
// the future, as in Loki (reject_old_samples_max_age, creation_grace_period). An Age of
// 0 means no limit.
type Limits struct {
	Age, Early time.Duration
}

// Sift returns the valid lines, the rejected ones by service, and the error of the first
// rejected one.
func (l Limits) Sift(lines []store.Line, now time.Time) (valid []store.Line, rejected []intake.Rejection, first error) {
	for i, line := range lines {
		err := l.check(line, now)
		if err == nil {
			if first != nil {
				valid = append(valid, line)
			}
			continue
		}
		if first == nil {
			valid, first = lines[:i:i], err
		}
		rejected = intake.AddRejection(rejected, cmp.Or(line.Stream[contract.StreamService], serviceOf(line.Stream)), 1, err)
	}
	if first == nil {
		return lines, nil, nil
	}
	return valid, rejected, first
}

// check returns the error of an invalid line.
func (l Limits) check(line store.Line, now time.Time) error {
	name := func() string { return logql.FormatLabels(line.Stream) }
	size := SizeOf(line.Metadata)
	switch {
	case len(line.Stream) == 0:
		return errors.New("error at least one label pair is required per stream")
	case len(line.Stream) > maxLabels:
		return fmt.Errorf("entry for stream '%s' has %d label names; limit %d", name(), len(line.Stream), maxLabels)
	case SizeOf(line.Stream) > maxLabelBytes:
		return fmt.Errorf("the labels of a stream have %d bytes, limit %d: they begin with '%.200s'", SizeOf(line.Stream), maxLabelBytes, name())
	case len(line.Text) > maxLine:
		return fmt.Errorf("max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes", maxLine, name(), len(line.Text))
	case len(line.Metadata) > maxMetadata:
		return fmt.Errorf("stream '%s' has too many structured metadata labels: '%d', limit: '%d'", name(), len(line.Metadata), maxMetadata)
	case size > maxMetadataBytes:
		return fmt.Errorf("stream '%s' has structured metadata too large: '%d' bytes, limit: '%d' bytes", name(), size, maxMetadataBytes)
	case line.Time.Unix() < 0 || line.Time.Unix() >= math.MaxInt64/int64(time.Second):
		return fmt.Errorf("entry for stream '%s' has the timestamp %v, which is not of the years 1970 to 2261", name(), line.Time)
	}
	if err := checkNames(line); err != nil {
		return err
	}
	return l.checkTime(line, now)
}

// checkTime refuses lines that would be deleted at once, or never.
func (l Limits) checkTime(line store.Line, now time.Time) error {
	if l.Age == 0 {
		return nil
	}
	oldest, newest := now.Add(-l.Age), now.Add(l.Early)
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case line.Time.Before(oldest):
		return fmt.Errorf("entry for stream '%s' has timestamp too old: %s, oldest acceptable timestamp is: %s (dicelab up --keep-logs)",
			logql.FormatLabels(line.Stream), at(line.Time), at(oldest))
	case line.Time.After(newest):
		return fmt.Errorf("entry for stream '%s' has timestamp too new: %s, newest acceptable timestamp is: %s",
			logql.FormatLabels(line.Stream), at(line.Time), at(newest))
	}
	return nil
}

// SizeOf returns the number of bytes of names and values.
func SizeOf(labels map[string]string) (n int) {
	for name, value := range labels {
		n += len(name) + len(value)
	}
	return n
}

// checkNames checks the names of labels. It rejects trace and span IDs, since they would
// make a stream of every request, and queries expect them in the metadata.
func checkNames(line store.Line) error {
	for key := range line.Stream {
		if !isLabelName(key) {
			return fmt.Errorf("the label name %q of a stream is not valid: letters, digits and _ are, with no digit first", key)
		}
		if len(key) > maxLabelName {
			return fmt.Errorf("the label name '%.50s…' of a stream has %d bytes, limit %d", key, len(key), maxLabelName)
		}
		if key == contract.FieldTraceID || key == contract.FieldSpanID {
			return fmt.Errorf("the embedded stack does not take %s as a label of a stream: send it as structured metadata of the line, "+
				"or use the real Loki: dicelab up --stack=native", key)
		}
	}
	return nil
}

func isLabelName(name string) bool {
	for i, r := range name {
		if r != '_' && !(r >= 'a' && r <= 'z') && !(r >= 'A' && r <= 'Z') && !(r >= '0' && r <= '9' && i > 0) {
			return false
		}
	}
	return name != ""
}

package loki

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"time"

	"github.com/golang/snappy"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
)

// Bounds of a push: Loki's defaults (limits_config).
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

// push answers /loki/api/v1/push. As in Loki, if some lines of a request are refused, the
// others are stored: the response is an error with the reason, and with the number of
// refused lines if others are stored.
func (h *handler) push(w http.ResponseWriter, r *http.Request) error {
	reservation := h.opts.Budget.Reserve(false)
	defer reservation.Release()
	body, err := readBody(r, reservation)
	if err != nil {
		return err
	}
	lines, err := h.decode(r, body, reservation)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return failure(http.StatusUnprocessableEntity, "error at least one valid stream is required for ingestion")
	}
	valid, invalid := h.sift(lines)
	if len(valid) == 0 {
		return badRequest(invalid)
	}
	err = h.store.AppendLines(r.Context(), valid)
	var refused *streams.RefusedError
	switch {
	case errors.As(err, &refused):
		return failure(http.StatusTooManyRequests, "%w", joined(refused, invalid))
	case err != nil:
		return failure(http.StatusServiceUnavailable, "storing the lines, send them again later: %w", err)
	case invalid != nil:
		return badRequest(fmt.Errorf("%d of %d lines were refused and the others are stored: %w", len(lines)-len(valid), len(lines), invalid))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// sift returns the valid lines, and the error of the first invalid one.
func (h *handler) sift(lines []store.Line) (valid []store.Line, invalid error) {
	now := h.opts.Now()
	for i, l := range lines {
		err := check(l)
		if err == nil {
			err = h.checkTime(l, now)
		}
		if err == nil && invalid != nil {
			valid = append(valid, l)
		}
		if err != nil && invalid == nil {
			valid, invalid = lines[:i:i], err
		}
	}
	if invalid == nil {
		return lines, nil
	}
	return valid, invalid
}

// joined returns two reasons in one line. The second may be nil.
func joined(err, other error) error {
	if other == nil {
		return err
	}
	return fmt.Errorf("%w; besides, %w", err, other)
}

// readBody reads the body and decompresses gzip. Snappy is not an encoding of the body
// but part of the protobuf format, whatever the header says.
func readBody(r *http.Request, reservation *intake.Reservation) ([]byte, error) {
	var from io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity", "snappy":
	case "gzip":
		if err := reservation.Resize(gzipBytes); err != nil {
			return nil, err
		}
		plain, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, bodyError(err)
		}
		from = plain
	default:
		return nil, failure(http.StatusBadRequest, "Content-Encoding %q not supported; use gzip or none", encoding)
	}
	body, err := reservation.ReadAll(from, maxPushBody)
	var large *intake.TooLargeError
	switch {
	case errors.As(err, &large):
		return nil, &http.MaxBytesError{Limit: maxPushBody}
	case errors.Is(err, intake.ErrBusy):
		return nil, err
	case err != nil:
		return nil, bodyError(err)
	}
	return body, nil
}

// Estimates of the memory that a push takes while it is under way: for a line and a map
// as decoded and as passed to the store, and for the text in each form.
const (
	gzipBytes = 64 << 10 // decompressing
	lineBytes = 300
	mapBytes  = 400
	perByte   = 3
)

// admit reserves the memory that a decoded push takes. A line without text is five bytes
// of a body, and sixty times as much in memory.
func (h *handler) admit(reservation *intake.Reservation, bytes, lines, maps int) error {
	weight := perByte*int64(bytes) + lineBytes*int64(lines) + mapBytes*int64(maps)
	if most := h.opts.Budget.MaxRequest(); weight > most {
		return failure(http.StatusRequestEntityTooLarge, "decoding the push would take %d bytes of memory, and one may take %d; send fewer lines at a time", weight, most)
	}
	return reservation.Resize(weight)
}

// bodyError returns the error of a body that cannot be read. A body that is too large
// keeps its own status.
func bodyError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return large
	}
	return badRequest(fmt.Errorf("reading the request body: %w", err))
}

// decode decodes a push request in the format that its content type names. As in Loki,
// everything but JSON is protobuf.
func (h *handler) decode(r *http.Request, body []byte, reservation *intake.Reservation) ([]store.Line, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, failure(http.StatusBadRequest, "reading the Content-Type: %w; send application/json or application/x-protobuf", err)
	}
	if kind == "application/json" {
		// A line is an array, and everything else is an object.
		if err := h.admit(reservation, len(body), bytes.Count(body, []byte("[")), bytes.Count(body, []byte("{"))); err != nil {
			return nil, err
		}
		lines, err := decodeJSON(body)
		if err != nil {
			return nil, badRequest(err)
		}
		return lines, nil
	}
	switch n, err := snappy.DecodedLen(body); {
	case err != nil:
		return nil, badRequest(fmt.Errorf("reading the request body: %w; protobuf has to be compressed with snappy", err))
	case n > maxPushBody:
		return nil, &http.MaxBytesError{Limit: maxPushBody}
	default:
		if err := h.admit(reservation, len(body)+n, 0, 0); err != nil {
			return nil, err
		}
	}
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, badRequest(fmt.Errorf("reading the request body: %w", err))
	}
	count, pairs := countProto(plain)
	if err := h.admit(reservation, len(body)+len(plain), count, pairs); err != nil {
		return nil, err
	}
	lines, err := decodeProto(plain)
	if err != nil {
		return nil, badRequest(err)
	}
	return lines, nil
}

// check returns the error of an invalid line.
func check(l store.Line) error {
	name := func() string { return logql.FormatLabels(l.Stream) }
	size := sizeOf(l.Metadata)
	switch {
	case len(l.Stream) == 0:
		return errors.New("error at least one label pair is required per stream")
	case len(l.Stream) > maxLabels:
		return fmt.Errorf("entry for stream '%s' has %d label names; limit %d", name(), len(l.Stream), maxLabels)
	case sizeOf(l.Stream) > maxLabelBytes:
		return fmt.Errorf("the labels of a stream have %d bytes, limit %d: they begin with '%.200s'", sizeOf(l.Stream), maxLabelBytes, name())
	case len(l.Text) > maxLine:
		return fmt.Errorf("max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes", maxLine, name(), len(l.Text))
	case len(l.Metadata) > maxMetadata:
		return fmt.Errorf("stream '%s' has too many structured metadata labels: '%d', limit: '%d'", name(), len(l.Metadata), maxMetadata)
	case size > maxMetadataBytes:
		return fmt.Errorf("stream '%s' has structured metadata too large: '%d' bytes, limit: '%d' bytes", name(), size, maxMetadataBytes)
	case l.Time.Unix() < 0 || l.Time.Unix() >= math.MaxInt64/int64(time.Second):
		return fmt.Errorf("entry for stream '%s' has the timestamp %v, which is not of the years 1970 to 2261", name(), l.Time)
	}
	return checkNames(l)
}

// checkTime refuses lines that would be deleted at once, or never.
func (h *handler) checkTime(l store.Line, now time.Time) error {
	if h.opts.Age == 0 {
		return nil
	}
	oldest, newest := now.Add(-h.opts.Age), now.Add(h.opts.Early)
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case l.Time.Before(oldest):
		return fmt.Errorf("entry for stream '%s' has timestamp too old: %s, oldest acceptable timestamp is: %s (dicelab up --keep-logs)", logql.FormatLabels(l.Stream), at(l.Time), at(oldest))
	case l.Time.After(newest):
		return fmt.Errorf("entry for stream '%s' has timestamp too new: %s, newest acceptable timestamp is: %s", logql.FormatLabels(l.Stream), at(l.Time), at(newest))
	}
	return nil
}

// sizeOf returns the number of bytes of names and values.
func sizeOf(labels map[string]string) (n int) {
	for name, value := range labels {
		n += len(name) + len(value)
	}
	return n
}

// checkNames checks the names of labels. It rejects trace and span IDs, since they would
// make a stream of every request, and queries expect them in the metadata.
func checkNames(l store.Line) error {
	for key := range l.Stream {
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

// withoutEmpty returns labels without empty ones, which mean the same as missing ones.
func withoutEmpty(labels map[string]string) map[string]string {
	maps.DeleteFunc(labels, func(_, value string) bool { return value == "" })
	return labels
}

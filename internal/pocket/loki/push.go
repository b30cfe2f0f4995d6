package loki

import (
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
	"dicelab/internal/pocket/logql"
	"dicelab/internal/pocket/store"
)

// Bounds of what is pushed: Loki's defaults (limits_config).
const (
	maxLine          = 256 << 10 // bytes of a line
	maxLabels        = 15        // of a stream
	maxMetadata      = 128       // of a line
	maxMetadataBytes = 64 << 10  // of a line, names and values
)

// push answers /loki/api/v1/push. Other than Loki, which stores the lines that
// are right and complains about the others, it stores all or none.
func (h *handler) push(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	lines, err := decode(r, body)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return failure(http.StatusUnprocessableEntity, "error at least one valid stream is required for ingestion")
	}
	for _, l := range lines {
		if err := check(l); err != nil {
			return badRequest(err)
		}
	}
	if err := h.store.AppendLines(r.Context(), lines); err != nil {
		return fmt.Errorf("storing the lines: %w", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readBody reads the body and takes gzip off. Snappy is not an encoding of the
// body but part of the protobuf format, whatever the header says.
func readBody(r *http.Request) ([]byte, error) {
	var from io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity", "snappy":
	case "gzip":
		plain, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, bodyError(err)
		}
		from = plain
	default:
		return nil, failure(http.StatusBadRequest, "Content-Encoding %q not supported; use gzip or none", encoding)
	}
	body, err := io.ReadAll(io.LimitReader(from, maxPushBody+1))
	switch {
	case err != nil:
		return nil, bodyError(err)
	case len(body) > maxPushBody:
		return nil, &http.MaxBytesError{Limit: maxPushBody}
	}
	return body, nil
}

// bodyError is a body that cannot be read. One that is too large keeps its own
// status.
func bodyError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return large
	}
	return badRequest(fmt.Errorf("reading the request body: %w", err))
}

// decode reads a push request in the format that its content type names. As in
// Loki whatever is not JSON is protobuf.
func decode(r *http.Request, body []byte) ([]store.Line, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, failure(http.StatusBadRequest, "reading the Content-Type: %w; send application/json or application/x-protobuf", err)
	}
	if kind == "application/json" {
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
	}
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, badRequest(fmt.Errorf("reading the request body: %w", err))
	}
	lines, err := decodeProto(plain)
	if err != nil {
		return nil, badRequest(err)
	}
	return lines, nil
}

// check says what is wrong with a line.
func check(l store.Line) error {
	name := func() string { return logql.FormatLabels(l.Stream) }
	size := 0
	for key, value := range l.Metadata {
		size += len(key) + len(value)
	}
	switch {
	case len(l.Stream) == 0:
		return errors.New("error at least one label pair is required per stream")
	case len(l.Stream) > maxLabels:
		return fmt.Errorf("entry for stream '%s' has %d label names; limit %d", name(), len(l.Stream), maxLabels)
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

// checkNames checks the names of labels. A trace or span ID would make a stream
// of every request; queries count on it being metadata.
func checkNames(l store.Line) error {
	for key := range l.Stream {
		if !isLabelName(key) {
			return fmt.Errorf("the label name %q of a stream is not valid: letters, digits and _ are, with no digit first", key)
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

// withoutEmpty is labels without those that have no value: they are the same as
// none.
func withoutEmpty(labels map[string]string) map[string]string {
	maps.DeleteFunc(labels, func(_, value string) bool { return value == "" })
	return labels
}

package loki

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"

	"github.com/golang/snappy"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/logline"
	"dicelab/internal/embedded/senders"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
)

// push answers /loki/api/v1/push. As in Loki, if some lines of a request are refused, the
// others are stored: the response is an error with the reason, and with the number of
// refused lines if others are stored.
func (h *handler) push(w http.ResponseWriter, r *http.Request) error {
	reservation := h.opts.Budget.Reserve(false)
	defer reservation.Release()
	body, lines, err := h.readPush(r, reservation)
	if err != nil {
		h.opts.Senders.Refused("", senders.Logs, 1, err)
		return err
	}
	valid, rejected, invalid := logline.Limits{Age: h.opts.Age, Early: h.opts.Early}.Sift(lines, h.opts.Now())
	if h.opts.Discover {
		logline.Discover(valid)
	}
	if len(valid) > 0 {
		err = h.store.AppendLines(r.Context(), valid)
	}
	refused, partly := errors.AsType[*streams.RefusedError](err)
	if err != nil && !partly {
		h.opts.Senders.Refused("", senders.Logs, 1, err)
		return answer.Errorf(http.StatusServiceUnavailable, "storing the lines, send them again later: %w", err)
	}
	h.count(valid, refused, rejected, body)
	switch {
	case partly:
		return answer.Errorf(http.StatusTooManyRequests, "%w", joined(refused, invalid))
	case len(valid) == 0:
		return badRequest(invalid)
	case invalid != nil:
		return badRequest(fmt.Errorf("%d of %d lines were refused and the others are stored: %w", len(lines)-len(valid), len(lines), invalid))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readPush reads and decodes a push. size is the number of bytes of the body.
func (h *handler) readPush(r *http.Request, reservation *intake.Reservation) (size int, lines []store.Line, err error) {
	body, err := readBody(r, reservation)
	if err != nil {
		return 0, nil, err
	}
	if lines, err = h.decode(r, body, reservation); err != nil {
		return 0, nil, err
	}
	if len(lines) == 0 {
		return 0, nil, answer.Errorf(http.StatusUnprocessableEntity, "error at least one valid stream is required for ingestion")
	}
	return len(body), lines, nil
}

// count adds a push of size bytes to the list of senders.
func (h *handler) count(valid []store.Line, refused *streams.RefusedError, rejected []intake.Rejection, size int) {
	if refused != nil {
		for _, i := range refused.Refused {
			rejected = intake.AddRejection(rejected, valid[i].Stream[contract.StreamService], 1, refused)
		}
	}
	counts := make(map[string]int)
	for i, line := range valid {
		if refused != nil {
			if _, found := slices.BinarySearch(refused.Refused, i); found {
				continue
			}
		}
		counts[line.Stream[contract.StreamService]]++
	}
	for service, n := range counts {
		h.opts.Senders.Received(service, senders.Logs, n, int64(size)*int64(n)/int64(len(valid)))
	}
	for _, r := range rejected {
		h.opts.Senders.Refused(r.Service, senders.Logs, r.Items, r.Reason)
	}
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
			return nil, bodyError("the request body", err)
		}
		from = plain
	default:
		return nil, answer.Errorf(http.StatusBadRequest, "Content-Encoding %q not supported; use gzip or none", encoding)
	}
	body, err := reservation.ReadAll(from, maxPushBody)
	var large *intake.TooLargeError
	switch {
	case errors.As(err, &large):
		return nil, &http.MaxBytesError{Limit: maxPushBody}
	case errors.Is(err, intake.ErrBusy):
		return nil, err
	case err != nil:
		return nil, bodyError("the request body", err)
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
		return answer.Errorf(http.StatusRequestEntityTooLarge, "decoding the push would take %d bytes of memory, and one may take %d; send fewer lines at a time", weight, most)
	}
	return reservation.Resize(weight)
}

// bodyError returns the error of a body or a form that cannot be read. [fail] has a text of its
// own for a body that is too large.
func bodyError(what string, err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return large
	}
	return answer.Errorf(intake.BodyStatus(err), "reading %s: %w", what, err)
}

// decode decodes a push request in the format that its content type names. As in Loki,
// everything but JSON is protobuf.
func (h *handler) decode(r *http.Request, body []byte, reservation *intake.Reservation) ([]store.Line, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, answer.Errorf(http.StatusBadRequest, "reading the Content-Type: %w; send application/json or application/x-protobuf", err)
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

// withoutEmpty returns labels without empty ones, which mean the same as missing ones.
func withoutEmpty(labels map[string]string) map[string]string {
	maps.DeleteFunc(labels, func(_, value string) bool { return value == "" })
	return labels
}

func sizeOf(labels map[string]string) int { return logline.SizeOf(labels) }

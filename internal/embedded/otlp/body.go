package otlp

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"

	"dicelab/internal/embedded/intake"
)

// gzipBytes is the memory that decompressing takes beside the body.
const gzipBytes = 64 << 10

// read reads an export and decompresses it. It reserves memory for the bytes that have
// arrived: an export that was announced and does not arrive takes a few kilobytes.
func (r *Receiver) read(from io.Reader, encoding string, s *signal, reservation *intake.Reservation) ([]byte, error) {
	switch encoding {
	case "", "identity":
	case "gzip":
		if err := reservation.Resize(gzipBytes); err != nil {
			return nil, err
		}
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, r.readError("decompressing", s, err)
		}
		from = z // needs no Close: it is read to its end
	default:
		return nil, unsupported(fmt.Errorf("content encoding %q is not understood: send gzip or none", encoding))
	}
	body, err := reservation.ReadAll(from, r.opts.MaxBytes)
	if err != nil {
		return nil, r.readError("reading", s, err)
	}
	return body, nil
}

// readError returns the error with which a body that cannot be read is answered.
func (r *Receiver) readError(doing string, s *signal, err error) error {
	var answered *refusal
	if errors.Is(err, intake.ErrBusy) || errors.As(err, &answered) {
		return err
	}
	switch intake.BodyStatus(err) {
	case http.StatusRequestEntityTooLarge:
		return r.tooLong(s)
	case http.StatusRequestTimeout:
		return late(fmt.Errorf("the export was not received in time: %w", err))
	}
	return malformed(fmt.Errorf("%s the body: %w", doing, err))
}

func (r *Receiver) tooLong(s *signal) error {
	return tooLarge(fmt.Errorf("the body has more than %d bytes: send smaller batches (%s)", r.opts.MaxBytes, s.batch))
}

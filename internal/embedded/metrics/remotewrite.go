package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"google.golang.org/protobuf/encoding/protowire"

	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/senders"
)

// maxWrite bounds a remote write, in bytes, before and after decompression. Prometheus
// sends 2,000 samples at a time, which are some 400 KB.
const maxWrite = 16 << 20

// Estimates of the memory that a decoded write takes, in bytes.
const (
	perWriteByte  = 3
	perWriteField = 256 // of a series, a sample, a label, …
)

// newWriteHandler returns Prometheus's own handler of remote write 1 and 2. Its answers
// carry its errors; the log would repeat them for each sample.
func newWriteHandler(to storage.AppendableV2, registry prometheus.Registerer) http.Handler {
	return remote.NewWriteHandler(slog.New(slog.DiscardHandler), registry, to,
		remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}, false, false)
}

// remoteWrite bounds the memory that writes take together, and counts who sends.
func (s *Server) remoteWrite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reservation := s.budget.Reserve(false)
		defer reservation.Release()
		body, err := readWrite(r.Body, reservation, s.budget.MaxRequest())
		if err != nil {
			s.senders.Refused("", senders.Metrics, 1, err)
			refuseWrite(w, err)
			return
		}
		ctx, counted := newWritten(r.Context(), false)
		again := r.WithContext(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		answer := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(answer, again)
		if counted.stored {
			for job, n := range counted.points {
				s.senders.Received(job, senders.Metrics, n, int64(len(body)))
			}
		}
		for _, rejected := range counted.rejected {
			s.senders.Refused(rejected.Service, senders.Metrics, rejected.Items, rejected.Reason)
		}
		if counted.rejected == nil && answer.status >= http.StatusBadRequest {
			s.senders.Refused("", senders.Metrics, 1, fmt.Errorf("%s: %s", http.StatusText(answer.status), bytes.TrimSpace(answer.text)))
		}
	})
}

// readWrite reads a write, and reserves the memory that decoding it takes.
func readWrite(from io.Reader, reservation *intake.Reservation, most int64) ([]byte, error) {
	body, err := reservation.ReadAll(from, maxWrite)
	if err != nil {
		return nil, err
	}
	n, err := snappy.DecodedLen(body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the body: %w: a remote write is compressed with snappy", err)
	case n > maxWrite:
		return nil, &intake.TooLargeError{Limit: maxWrite}
	}
	if err := reservation.Resize(int64(len(body) + n)); err != nil {
		return nil, err
	}
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("decompressing the body: %w: a remote write is compressed with snappy", err)
	}
	weight := int64(len(body)) + perWriteByte*int64(n) + perWriteField*int64(fields(plain, 2))
	if weight > most {
		return nil, &intake.TooLargeError{Limit: maxWrite}
	}
	return body, reservation.Resize(weight)
}

// fields counts the fields of a message and of the messages in it, down to depth levels.
// A text counts as a message, too.
func fields(message []byte, depth int) (n int) {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return n
		}
		message = message[size:]
		n++
		if kind == protowire.BytesType && depth > 1 {
			inner, size := protowire.ConsumeBytes(message)
			if size < 0 {
				return n
			}
			n += fields(inner, depth-1)
			message = message[size:]
			continue
		}
		if size = protowire.ConsumeFieldValue(number, kind, message); size < 0 {
			return n
		}
		message = message[size:]
	}
	return n
}

// refuseWrite answers for a write that was not read. Senders send it again if the status
// is 503, and drop it otherwise (Prometheus Remote-Write, "Retries & Backoff").
func refuseWrite(w http.ResponseWriter, err error) {
	var large *intake.TooLargeError
	status := intake.BodyStatus(err)
	switch {
	case errors.Is(err, intake.ErrBusy):
		w.Header().Set("Retry-After", "1")
		status = http.StatusServiceUnavailable
	case errors.As(err, &large):
		err = fmt.Errorf("%w: send fewer samples at a time (queue_config, max_samples_per_send)", err)
	}
	http.Error(w, err.Error(), status)
}

// statusWriter notes the status of an answer and the beginning of its text.
type statusWriter struct {
	http.ResponseWriter
	status int
	text   []byte
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	w.text = append(w.text, b[:min(len(b), 300-len(w.text))]...)
	return w.ResponseWriter.Write(b)
}

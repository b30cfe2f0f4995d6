package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"dicelab/internal/embedded/intake"
)

// Bounds of a remote read. The library reads and decompresses a request of any size.
const (
	maxRead      = 1 << 20 // bytes of a request, decompressed
	maxReadFrame = 1 << 20 // bytes of a frame of the response, as in Prometheus
)

// remoteRead bounds the body of a remote read, which is protobuf compressed with snappy.
func (s *Server) remoteRead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			fail(w, r, http.StatusRequestEntityTooLarge, "bad_data", fmt.Sprintf("the request has more than %d bytes", large.Limit))
			return
		case err != nil:
			fail(w, r, intake.BodyStatus(err), "bad_data", fmt.Sprintf("reading the request: %v", err))
			return
		}
		if n, err := snappy.DecodedLen(body); err != nil || n > maxRead {
			fail(w, r, http.StatusBadRequest, "bad_data", fmt.Sprintf("the request is not protobuf compressed with snappy, of at most %d bytes", maxRead))
			return
		}
		if err := checkRead(body); err != nil {
			fail(w, r, http.StatusBadRequest, "bad_data", err.Error())
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(unflushed{w}, r)
	})
}

// checkRead checks the selectors of a remote read as those of queries are checked.
func checkRead(body []byte) error {
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		return fmt.Errorf("decompressing the request: %w", err)
	}
	var request prompb.ReadRequest
	if err := request.Unmarshal(plain); err != nil {
		return fmt.Errorf("decoding the request: %w", err)
	}
	var c checker
	for _, q := range request.Queries {
		for _, m := range q.Matchers {
			if err := c.count(); err != nil {
				return err
			}
			if m.Type != prompb.LabelMatcher_RE && m.Type != prompb.LabelMatcher_NRE {
				continue
			}
			if err := c.patterns.Check(m.Value, maxMatcher); err != nil {
				return err
			}
		}
	}
	return nil
}

// unflushed is a response that is written when it is complete. The library asks whether it
// can be flushed.
type unflushed struct{ http.ResponseWriter }

// Flush implements http.Flusher.
func (unflushed) Flush() {}

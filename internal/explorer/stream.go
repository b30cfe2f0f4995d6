package explorer

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// sendTime is how long a reader may take to accept a part of a page, as the
// server lets it take for a whole one elsewhere.
const sendTime = 30 * time.Second

// stream is an answer that is sent part by part, each with its own time to be
// sent: the run may take longer than the server waits for an answer.
type stream struct {
	*bufio.Writer
	rc *http.ResponseController
}

func newStream(w http.ResponseWriter) stream {
	rc := http.NewResponseController(w)
	return stream{bufio.NewWriter(timely{w, rc}), rc}
}

// flush sends what has been written. Where that fails the reader is gone, so that
// nobody is left to tell; the request's context ends the page.
func (s stream) flush() {
	if s.Flush() == nil {
		_ = s.rc.Flush()
	}
}

// timely is a writer that gives each write its time.
type timely struct {
	http.ResponseWriter
	rc *http.ResponseController
}

// Write writes b. A writer without deadlines has none to be extended.
func (t timely) Write(b []byte) (int, error) {
	if err := t.rc.SetWriteDeadline(time.Now().Add(sendTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("extending the time of an answer: %w", err)
	}
	return t.ResponseWriter.Write(b)
}

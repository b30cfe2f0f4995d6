package web

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"dicelab/internal/web/calm"
)

// Limits of a connection of HTTP/2.
const (
	maxStreams    = 100              // calls under way at once; further ones wait
	windowBytes   = 1 << 20          // of bodies that have arrived and are not read yet
	idleHTTP2     = time.Minute      // between two calls; a client opens another connection then
	writeProgress = 15 * time.Second // for a client to take what is written
)

// NewHTTP2Server is [NewServer] for a port that speaks HTTP/2 without TLS, as clients of gRPC do,
// and HTTP/1.1 to explain that to other clients. Silent connections end as those of HTTP/1.1 do,
// those without a call after a minute, and those that send nothing to work on at once (package
// calm).
func NewHTTP2Server(l net.Listener, handler http.Handler) *Server {
	s := NewServer(calm.NewListener(l, nil), handler)
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	s.http.IdleTimeout = idleHTTP2
	s.http.ErrorLog = log.New(panics{log.Writer()}, "", log.LstdFlags)
	s.http.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReceiveBufferPerConnection: windowBytes,
		MaxReceiveBufferPerStream:     windowBytes,
		WriteByteTimeout:              writeProgress,
	}
	return s
}

// panics passes on what net/http logs about a handler that panicked. It drops the rest, a line for
// each client that speaks HTTP/2 badly: a single client could cause thousands.
type panics struct{ to io.Writer }

// Write implements io.Writer.
func (p panics) Write(line []byte) (int, error) {
	if !bytes.Contains(line, []byte("panic")) {
		return len(line), nil
	}
	return p.to.Write(line)
}

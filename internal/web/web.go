// Package web holds what every HTTP listener of the lab shares: a server with
// timeouts, the guard in front of each handler, errors as problem documents,
// and the look of the pages. It knows nothing of dice or telemetry.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of a server. A reader or writer that is slower than these is cut off,
// so that idle or hostile connections cannot pile up.
const (
	readTimeout  = 15 * time.Second // headers and body
	writeTimeout = 60 * time.Second // above the slowest answer: a roll with every delay and a query at its deadline
	idleTimeout  = 2 * time.Minute
)

// MaxHeaderBytes bounds the headers of a request to a server of the lab, and of an
// answer that a service reads, in bytes.
const MaxHeaderBytes = 64 << 10

// Server is a listener with the handler that answers on it.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen opens a TCP address, so that a taken port is an error here and not later. A port of 0
// takes a free one, which URL returns.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	return l, nil
}

// NewServer serves handler on an open listener once Serve is called.
func NewServer(l net.Listener, handler http.Handler) *Server {
	draining := make(chan struct{})
	s := &Server{listener: Limit(l, MaxConnections), http: &http.Server{
		Handler: handler,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), drainingKey{}, draining)
		},
		ReadHeaderTimeout: readTimeout, // the same: one deadline to set for each request
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
	}}
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(draining) }))
	return s
}

type drainingKey struct{}

// UntilDraining returns a context for work that outlives a request: it ends when the
// server that took the request shuts down, given the request's context.
func UntilDraining(ctx context.Context) (context.Context, context.CancelFunc) {
	draining, _ := ctx.Value(drainingKey{}).(chan struct{}) // nil if the request came in some other way
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-draining:
			cancel()
		case <-out.Done():
		}
	}()
	return out, cancel
}

// URL returns the address of the server as a browser on this machine types it.
func (s *Server) URL() string { return URL(s.listener.Addr()) }

// URL turns a listener's address into one that a browser on this machine can
// open: 127.0.0.1 and "any" addresses become localhost. Other loopback addresses stay,
// since localhost need not mean ::1, and never means 127.0.0.2.
func URL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if ip := net.ParseIP(host); ip != nil && (ip.Equal(net.IPv4(127, 0, 0, 1)) || ip.IsUnspecified()) {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Serve answers until Shutdown or Close. It returns nil after those.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", s.URL(), err)
	}
	return nil
}

// Shutdown stops taking connections and waits for open requests until ctx
// ends; what is still open then is cut off and reported.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("draining %s: %w", s.URL(), err), s.http.Close())
	}
	return nil
}

// Close cuts every connection off.
func (s *Server) Close() error { return s.http.Close() }

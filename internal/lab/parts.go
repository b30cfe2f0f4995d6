package lab

import (
	"context"
	"net"
	"net/http"

	"dicelab/internal/lab/child"
	"dicelab/internal/web"
)

// ServicePart returns a service that runs as a child process.
func ServicePart(name, url string, c *child.Child) Part {
	return Part{
		Name: name, URL: url, Service: true,
		Start: c.Start, Run: c.Wait, Drain: c.Drain, Stop: c.Stop, Kill: c.Kill,
	}
}

// ServerPart returns an HTTP server inside this process. The part owns the listener.
// Its handler is asked for when the part starts: what it reads from may be
// opened by a part before it.
func ServerPart(name string, l net.Listener, handler func() http.Handler) Part {
	return serverPart(name, l, web.NewServer, handler)
}

// GRPCPart returns a server of HTTP/2, for gRPC, inside this process; see ServerPart.
func GRPCPart(name string, l net.Listener, handler func() http.Handler) Part {
	return serverPart(name, l, web.NewHTTP2Server, handler)
}

func serverPart(name string, l net.Listener, newServer func(net.Listener, http.Handler) *web.Server, handler func() http.Handler) Part {
	var server *web.Server
	ended := make(chan error, 1)
	return Part{
		Name: name, URL: web.URL(l.Addr()),
		Start: func(context.Context) error {
			server = newServer(l, handler())
			go func() { ended <- server.Serve() }()
			return nil
		},
		Run:  func() error { return <-ended },
		Stop: func(ctx context.Context) error { return server.Shutdown(ctx) },
	}
}

package lab

import (
	"context"
	"net"
	"net/http"

	"dicelab/internal/lab/child"
	"dicelab/internal/web"
)

// ServicePart is a service that runs as a child process.
func ServicePart(name, url string, c *child.Child) Part {
	return Part{
		Name: name, URL: url, Service: true,
		Start: c.Start, Run: c.Wait, Drain: c.Drain, Stop: c.Stop, Kill: c.Kill,
	}
}

// ServerPart is an HTTP server inside this process. The part owns the listener.
func ServerPart(name string, l net.Listener, handler http.Handler) Part {
	server := web.NewServer(l, handler)
	ended := make(chan error, 1)
	return Part{
		Name: name, URL: server.URL(),
		Start: func(context.Context) error {
			go func() { ended <- server.Serve() }()
			return nil
		},
		Run:  func() error { return <-ended },
		Stop: server.Shutdown,
	}
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dicelab/internal/web"
)

// Address is one place to listen on.
type Address struct {
	Name  string // names its listener in Listeners
	Addr  string // host:port; port 0 takes a free one
	Owner string // the part that listens, in a sentence: "the dice roller"
	Flag  string // what moves it: "--roller-addr"
}

// answerTimeout bounds the test for a server on a port of this machine. A closed port refuses at
// once.
const answerTimeout = 200 * time.Millisecond

// Target is an endpoint whose metrics Prometheus scrapes.
type Target struct {
	Job     string // the label job, which is the service's name
	Address string // host:port, which is also the label instance
	Path    string // of the metrics; "" means /metrics
	Foreign bool   // whether it is not a service of the lab
}

// ParseTarget parses a target NAME=HOST:PORT[/PATH] that is not a service of the lab.
func ParseTarget(text string) (Target, error) {
	job, rest, ok := strings.Cut(text, "=")
	address, path, _ := strings.Cut(rest, "/")
	host, port, err := net.SplitHostPort(address)
	if n, bad := strconv.ParseUint(port, 10, 16); !ok || job == "" || err != nil || host == "" || bad != nil || n == 0 {
		return Target{}, errors.New("want NAME=HOST:PORT, or NAME=HOST:PORT/PATH if the path is not /metrics, such as shop=localhost:9464")
	}
	t := Target{Job: job, Address: address, Foreign: true}
	if path != "" {
		t.Path = "/" + path
	}
	return t, nil
}

// Listeners are open listeners by the names of their addresses.
type Listeners map[string]*net.TCPListener

// URL returns the URL of a listener, for people and programs of this machine.
func (l Listeners) URL(name string) string { return web.URL(l[name].Addr()) }

// Target returns the target of the service that serves on a listener. Nothing is
// served under the address of one on every interface: it is scraped as localhost.
func (l Listeners) Target(name, service string) Target {
	addr := l[name].Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		return Target{Job: service, Address: net.JoinHostPort("localhost", strconv.Itoa(addr.Port))}
	}
	return Target{Job: service, Address: addr.String()}
}

// Close closes the listeners that no part has taken over and closed.
func (l Listeners) Close() (err error) {
	for _, listener := range l {
		if e := listener.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, fmt.Errorf("giving up %s: %w", listener.Addr(), e))
		}
	}
	return err
}

// Listen opens all addresses, in their order, or none. Every address that
// cannot be bound is reported, in one *UsageError, before anything has started.
//
// A port is also taken when another program answers on it under the other
// loopback address: "localhost" means 127.0.0.1 and ::1, and macOS lets a
// program listen on the one while another has them all.
func Listen(ctx context.Context, addresses ...Address) (Listeners, error) {
	var (
		listeners = Listeners{}
		errs      []error
		owners    = map[string]Address{} // by the port that was opened
	)
	for _, a := range addresses {
		l, err := a.listen(ctx)
		if errors.Is(err, syscall.EADDRINUSE) {
			err = a.taken(owners)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		owners[portOf(l.Addr().String())] = a
		listeners[a.Name] = l
	}
	if len(errs) == 0 {
		return listeners, nil
	}
	return nil, &UsageError{Err: errors.Join(append(errs, listeners.Close())...)}
}

func (a Address) listen(ctx context.Context) (*net.TCPListener, error) {
	tcp, err := net.ResolveTCPAddr("tcp", a.Addr)
	if err != nil {
		return nil, fmt.Errorf("%s cannot listen on %q: %w; give it as host:port with %s", a.Owner, a.Addr, err, a.Flag)
	}
	if answered(ctx, tcp) {
		return nil, syscall.EADDRINUSE
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", tcp.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot listen on %s: %w; choose another address with %s", a.Owner, a.Addr, err, a.Flag)
	}
	return l.(*net.TCPListener), nil
}

// answered reports whether a server accepts connections on this machine's port already.
func answered(ctx context.Context, tcp *net.TCPAddr) bool {
	if tcp.Port == 0 || !(tcp.IP == nil || tcp.IP.IsLoopback() || tcp.IP.IsUnspecified()) {
		return false
	}
	dialer := net.Dialer{Timeout: answerTimeout}
	for _, host := range []string{"127.0.0.1", "::1"} {
		// An error means that no server accepts there. Whether the address can be bound, listening
		// finds out.
		if conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(tcp.Port))); err == nil {
			_ = conn.Close() // nothing was sent, nothing can be lost
			return true
		}
	}
	return false
}

// taken returns the error of a port that is in use by another program,
// or of another part of the lab.
func (a Address) taken(owners map[string]Address) error {
	port := portOf(a.Addr)
	if other, ours := owners[port]; ours {
		return fmt.Errorf("port %s is wanted twice: by %s (%s) and by %s (%s); move one of them",
			port, other.Owner, other.Flag, a.Owner, a.Flag)
	}
	return fmt.Errorf("port %s is taken: %s wants it; free it or move %s with %s", port, a.Owner, a.Owner, a.Flag)
}

func portOf(addr string) string {
	return addr[strings.LastIndexByte(addr, ':')+1:]
}

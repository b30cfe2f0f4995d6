// Package porttest finds addresses for servers that tests start. It is for tests.
//
// A server that is given an address binds it later than it was found to be free.
// Meanwhile the kernel may give the port to a connection or a listener of another
// test, if it is one of those that it chooses from. So ports are taken from below
// that range, and none twice in a process.
package porttest

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// The kernel chooses from 32768 up on Linux, from 49152 up elsewhere
// (net.ipv4.ip_local_port_range; RFC 6335, section 6).
const (
	first = 20000
	end   = 32768
)

// next counts the ports that this process has tried. Processes start apart.
var next atomic.Int64

// Addresses returns n addresses on loopback on which nothing listens.
func Addresses(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range end - first {
		if len(addrs) == n {
			return addrs
		}
		port := first + (int64(os.Getpid())*500+next.Add(1))%(end-first)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.FormatInt(port, 10)))
		if err != nil {
			continue // another process has it
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
	}
	t.Fatalf("no %d ports are free from %d to %d", n, first, end-1)
	return nil
}

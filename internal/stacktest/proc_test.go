//go:build stack

package stacktest_test

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// process is the entry of one process in /proc (proc(5)).
type process struct {
	pid, parent int
	args        []string
}

// processes lists the lab and everything below it.
func processes(t *testing.T, root int) (family []process) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]process{}
	for _, dir := range dirs {
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err != nil {
			continue
		}
		// pid (name) state ppid …: the name may hold anything but is in brackets.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		p := process{args: strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")}
		p.pid, _ = strconv.Atoi(filepath.Base(dir))
		p.parent, _ = strconv.Atoi(fields[1])
		all[p.pid] = p
	}
	for _, p := range all {
		for at := p.pid; at != 0; at = all[at].parent {
			if at == root {
				family = append(family, p)
				break
			}
		}
	}
	return family
}

// server returns the process of a component: the program behind the guard.
func server(t *testing.T, root int, component string) process {
	t.Helper()
	path := programs(t)[component]
	for _, p := range processes(t, root) {
		if p.args[0] == path {
			return p
		}
	}
	t.Fatalf("there is no process of %s", component)
	return process{}
}

// listening lists the addresses on which the processes accept TCP connections.
func listening(t *testing.T, family []process) (addrs []string) {
	t.Helper()
	ours := map[string]bool{}
	for _, p := range family {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil {
				ours[to] = true
			}
		}
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n")[1:] {
			f := strings.Fields(line) // sl local remote state … inode at 9
			const listen = "0A"
			if len(f) > 9 && f[3] == listen && ours["socket:["+f[9]+"]"] {
				addrs = append(addrs, address(t, f[1]))
			}
		}
	}
	slices.Sort(addrs)
	return slices.Compact(addrs)
}

// address reads "0100007F:1F90": the IP in words of the machine's byte order,
// little endian on all that run these tests, and the port.
func address(t *testing.T, text string) string {
	t.Helper()
	ip, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(ip)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	addr, _ := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(addr.Unmap().String(), strconv.FormatUint(n, 10))
}

// resident returns a process's resident memory in MiB: all, and without what is
// mapped from files.
func resident(t *testing.T, pid int) (all, anonymous int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			all = kib >> 10
		case "RssAnon:":
			anonymous = kib >> 10
		}
	}
	return all, anonymous
}

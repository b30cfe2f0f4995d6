package lab_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"dicelab/internal/lab"
)

func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	port := func(l net.Listener) string { return fmt.Sprint(l.Addr().(*net.TCPAddr).Port) }
	roller := func(addr string) lab.Address {
		return lab.Address{Name: "roller " + addr, Addr: addr, Owner: "the dice roller", Flag: "--roller-addr"}
	}
	frontend := func(addr string) lab.Address {
		return lab.Address{Name: "frontend " + addr, Addr: addr, Owner: "the front end", Flag: "--frontend-addr"}
	}
	rollerTaken := "port " + port(taken) + " is taken: the dice roller wants it; free it or move the dice roller with --roller-addr"
	for _, tt := range []struct {
		name      string
		addresses []lab.Address
		want      string // "" for none; what follows … is the system's
	}{
		{name: "free ports", addresses: []lab.Address{roller("127.0.0.1:0"), frontend("localhost:0"), frontend(":0")}},
		{name: "taken", addresses: []lab.Address{roller("127.0.0.1:" + port(taken)), frontend("127.0.0.1:0")}, want: rollerTaken},
		{name: "taken, every interface", addresses: []lab.Address{roller(":" + port(taken))}, want: rollerTaken},
		{name: "taken under another loopback address", addresses: []lab.Address{roller("127.0.0.2:" + port(taken))}, want: rollerTaken},
		{name: "all taken ports at once",
			addresses: []lab.Address{roller("localhost:" + port(taken)), frontend("127.0.0.1:0"), frontend("127.0.0.1:" + port(other))},
			want:      rollerTaken + "\nport " + port(other) + " is taken: the front end wants it; free it or move the front end with --frontend-addr"},
		{name: "no port", addresses: []lab.Address{roller("localhost")}, want: `the dice roller cannot listen on "localhost": …; give it as host:port with --roller-addr`},
		{name: "bad port", addresses: []lab.Address{roller("localhost:70000")}, want: `the dice roller cannot listen on "localhost:70000": …; give it as host:port with --roller-addr`},
		{name: "not this machine", addresses: []lab.Address{roller("192.0.2.1:0")}, want: `the dice roller cannot listen on 192.0.2.1:0: …; choose another address with --roller-addr`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			listeners, err := lab.Listen(t.Context(), tt.addresses...)
			for _, l := range listeners {
				if l.Addr().(*net.TCPAddr).Port == 0 {
					t.Error("the port is not known")
				}
				l.Close()
			}
			if tt.want == "" {
				if err != nil || len(listeners) != len(tt.addresses) {
					t.Errorf("Listen = %d listeners, %v", len(listeners), err)
				}
				return
			}
			head, tail, _ := strings.Cut(tt.want, "…")
			if got := fmt.Sprint(err); !strings.HasPrefix(got, head) || !strings.HasSuffix(got, tail) || (tail == "" && got != head) {
				t.Errorf("Listen = %q\nwant    %q", got, tt.want)
			}
			if listeners != nil || lab.ExitCode(err) != lab.ExitUsage {
				t.Errorf("%d listeners, exit code %d", len(listeners), lab.ExitCode(err))
			}
		})
	}
}

func TestListenGivesUpWhatItOpened(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = lab.Listen(t.Context(),
		lab.Address{Name: "roller", Addr: addr, Owner: "the dice roller", Flag: "--roller-addr"},
		lab.Address{Name: "frontend", Addr: addr, Owner: "the front end", Flag: "--frontend-addr"})
	want := "port " + addr[strings.LastIndexByte(addr, ':')+1:] +
		" is wanted twice: by the dice roller (--roller-addr) and by the front end (--frontend-addr); move one of them"
	if got := fmt.Sprint(err); got != want {
		t.Errorf("Listen = %q\nwant    %q", got, want)
	}
	if _, usage := errors.AsType[*lab.UsageError](err); !usage {
		t.Errorf("%T is no usage error", err)
	}
	again, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the port was kept: %v", err)
	}
	again.Close()
}

package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dicelab/internal/web"
)

// The variables by which a process knows that a lab started it. Without them
// Watch and Listen do what a service run by hand needs, and "</dev/null" does
// not end it.
const (
	envWatch  = "DICELAB_WATCH_STDIN" // "1": end when stdin closes
	envListen = "DICELAB_LISTEN_FD"   // the descriptor of the bound listener
	listenFD  = 3                     // os/exec: the first of ExtraFiles
)

// orderDrain is the one word that a parent writes to a child's stdin.
const orderDrain = "drain"

// OrphanGrace is the time that a child whose parent is gone has to end by itself. Then it ends its
// whole group, so that no orphan is left after two seconds.
const OrphanGrace = 1500 * time.Millisecond

// ErrParentGone is the cause of the end of Watch's context when the process
// that started this one is gone.
var ErrParentGone = errors.New("the lab that started this service is gone")

// withWire returns env with the variables of the wire set.
func withWire(env []string, listener bool) []string {
	env = append(withoutWire(env), envWatch+"=1")
	if listener {
		env = append(env, envListen+"="+strconv.Itoa(listenFD))
	}
	return env
}

// withoutWire returns env without those that this process has itself, if it is
// a child: they are about its stdin and its descriptors.
func withoutWire(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return strings.HasPrefix(kv, envWatch+"=") || strings.HasPrefix(kv, envListen+"=")
	})
}

// Watch is the child's end of the wire. If a lab started this process, the returned context ends as
// soon as stdin closes (cause ErrParentGone), and the gate closes when the lab asks for it. A
// process that is still running OrphanGrace after the end of its parent is killed, together with
// its group. If no lab started this process, ctx itself is returned with a gate that stays open,
// and stdin is not read.
//
// The goroutine that reads stdin ends when stdin closes.
func Watch(ctx context.Context, getenv func(string) string, stdin io.Reader) (context.Context, *Gate) {
	gate := &Gate{}
	if getenv(envWatch) != "1" {
		return ctx, gate
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		orders := bufio.NewScanner(stdin)
		for orders.Scan() {
			if orders.Text() != orderDrain {
				cancel(fmt.Errorf("reading orders: %q is none; this program and the lab differ in version", orders.Text()))
				return
			}
			gate.Close()
		}
		time.AfterFunc(OrphanGrace, killOwnGroup)
		cancel(errors.Join(ErrParentGone, orders.Err()))
	}()
	return ctx, gate
}

// killOwnGroup ends this process, and with it the group if it is its own.
func killOwnGroup() {
	target := os.Getpid()
	if syscall.Getpgrp() == target {
		target = -target
	}
	// Nothing can be done about an error, and there is none: a process may
	// always signal itself.
	_ = syscall.Kill(target, syscall.SIGKILL)
}

// Listen returns the listener that the lab handed over, or, when no lab started
// this process, listens on addr.
func Listen(ctx context.Context, getenv func(string) string, addr string) (net.Listener, error) {
	value := getenv(envListen)
	if value == "" {
		return web.Listen(ctx, addr)
	}
	fd, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("taking over the listener: %s=%q is not a descriptor", envListen, value)
	}
	f := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("taking over the listener: descriptor %d of %s: %w", fd, envListen, err)
	}
	return l, nil
}

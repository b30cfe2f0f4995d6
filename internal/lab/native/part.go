package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"time"

	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/lab/logfile"
)

// serverLog bounds what is kept of a server's own log.
func serverLog() logfile.Options { return logfile.Options{Bytes: 4 << 20, Files: 2} }

// readyTimeout bounds the start of one server: on a busy machine the largest
// takes a while to be read from disk.
const readyTimeout = 2 * time.Minute

// part makes a part of a component's server.
func (s *Stack) part(c component) (lab.Part, error) {
	addr := s.addrs[c.places[0]]
	log, err := logfile.Open(filepath.Join(s.dir(c), "log"), serverLog())
	if err != nil {
		return lab.Part{}, fmt.Errorf("opening the log of %s: %w", c.Name, err)
	}
	env := append(slices.Clone(s.env), "DICELAB_DIR="+s.data(c))
	if c.gogc != "" {
		env = append(env, "GOGC="+c.gogc)
	}
	args := slices.Concat(s.o.Guard[1:], []string{s.o.Programs[c.Name]}, c.args(s.config(c), s.data(c), addr))
	server, err := child.New(child.Config{
		Name: c.Name, Path: s.o.Guard[0], Args: args, Env: env,
		ReadyURL: "http://" + clientAddr(addr) + c.ReadyPath, ReadyTimeout: readyTimeout,
		Stdout: func(r io.Reader) error { _, err := io.Copy(log, r); return err },
		Stderr: log, Notify: s.o.Notify, Policy: child.Once(),
	})
	if err != nil {
		return lab.Part{}, errors.Join(err, log.Close())
	}
	return lab.Part{
		Name: c.Name, URL: "http://" + clientName(addr),
		Start: func(ctx context.Context) error {
			if c.Name == Alloy {
				s.followed = s.spool.Lines()
			}
			if err := s.giveUp(c); err != nil {
				return errors.Join(err, log.Close())
			}
			if err := server.Start(ctx); err != nil {
				return errors.Join(explain(err), log.Close())
			}
			return nil
		},
		Run:     func() error { return explain(server.Wait()) },
		Collect: s.bound(c.collect),
		Stop: func(ctx context.Context) error {
			var err error
			if c.settle != nil && server.Pid() != 0 {
				err = s.bound(c.settle)(ctx)
			}
			if c.linger > 0 {
				defer time.AfterFunc(c.linger, server.Kill).Stop()
			}
			return errors.Join(err, server.Stop(ctx), log.Close())
		},
		Kill: server.Kill,
	}, nil
}

// bound binds a step of a component to its stack.
func (s *Stack) bound(step func(*Stack, context.Context) error) func(context.Context) error {
	if step == nil {
		return nil
	}
	return func(ctx context.Context) error { return step(s, ctx) }
}

// giveUp closes the listeners that held the addresses for the server.
func (s *Stack) giveUp(c component) error {
	for _, place := range c.places {
		if err := s.o.Listeners[place].Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("giving up the address of %s: %w", place, err)
		}
	}
	return nil
}

// Close closes the listeners of a stack that is never started.
func (s *Stack) Close() (err error) {
	for _, c := range components() {
		err = errors.Join(err, s.giveUp(c))
	}
	return err
}

// clientName returns clientAddr with localhost in place of 127.0.0.1.
func clientName(addr string) string {
	host, port, err := net.SplitHostPort(clientAddr(addr))
	if err == nil && net.ParseIP(host).Equal(net.IPv4(127, 0, 0, 1)) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

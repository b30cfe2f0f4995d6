// Package builder builds the servers of the real stack from Go modules, into the
// user's cache.
//
// Each server has a folder with a go.mod and a go.sum, that pin everything it is
// made of; their dependencies contradict each other, so that no two can share
// one. A generated server (the Collector) has a manifest beside them, and its
// source is written into the cache.
//
// Rules. One server at a time, in the order given. What is built is not built
// again. A server is at its path complete or not at all, so that a build that was
// broken off goes on where it was: with the next server, and within a server with
// what Go's own build cache holds. Every failure names the server, the log of its
// build and what to do.
package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"dicelab/stack"
)

// Builder builds servers. Source, Cache and Out must be set.
type Builder struct {
	Source string    // the folder that holds a folder a server: stack/build
	Cache  string    // the folder for built servers: stack.CacheDir
	Out    io.Writer // takes a line for each step, and one for each tick in between

	Env   []string         // the environment of what is run; that of this process by default
	Now   func() time.Time // the clock; time.Now by default
	Ticks <-chan time.Time // when to tell how the build of a server goes; never by default
}

// Build builds those of the servers that are not built yet. It fails with an
// [*Error] where the build of one fails, and then leaves the rest.
func (b *Builder) Build(ctx context.Context, servers []stack.Component) error {
	now := b.Now
	if now == nil {
		now = time.Now
	}
	missing, err := b.missing(servers)
	if err != nil {
		return err
	}
	if err := b.checkCompiler(ctx, missing); err != nil {
		return err
	}
	all := progress{out: b.Out, now: now, started: now()}
	for i, c := range servers {
		p := &progress{out: b.Out, now: now, started: now(), head: fmt.Sprintf("[%d/%d] %s: ", i+1, len(servers), c)}
		if _, ok := missing[c.Name]; !ok {
			err = p.say("already built")
		} else {
			err = b.build(ctx, c, p)
		}
		if err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return all.say("nothing to build; the servers are in %s", b.Cache)
	}
	return all.say("built in %s; the servers are in %s", all.elapsed(), b.Cache)
}

// missing are the servers that are not built yet, by name.
func (b *Builder) missing(servers []stack.Component) (map[string]stack.Component, error) {
	missing := map[string]stack.Component{}
	for _, c := range servers {
		built, err := stack.Built(c.Path(b.Cache))
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", c, err)
		}
		if built {
			continue
		}
		missing[c.Name] = c
		sum, err := Sum(filepath.Join(b.Source, c.Name))
		if err != nil {
			return nil, fmt.Errorf("preparing %s: %w; run this in the root of dicelab's checkout", c, err)
		}
		if sum != c.Sum {
			return nil, fmt.Errorf("preparing %s: the files in %s have changed: set Sum to %q in its row of stack/stack.go", c, filepath.Join(b.Source, c.Name), sum)
		}
	}
	return missing, nil
}

// Error is the failure of one server's build.
type Error struct {
	Server stack.Component
	Log    string   // path of the log of the build
	Tail   []string // the last lines of the log
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("building %s: %v; its log is %s", e.Server, e.Err, e.Log)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint is what to do about it.
func (e *Error) Hint() string {
	const again = "run this again: what is built stays built"
	if errors.Is(e.Err, context.Canceled) {
		return again
	}
	log := strings.Join(e.Tail, "\n")
	for _, k := range []struct{ sign, advice string }{
		{"no space left on device", "make room on the disk: module cache, build cache and servers take up to 20 GB"},
		{"signal: killed", "memory may have run out: close something, or set GOFLAGS=-p=1"},
		{"dial tcp", offline},
		{"TLS handshake", offline},
		{"i/o timeout", offline},
	} {
		if strings.Contains(log, k.sign) {
			return k.advice + ", then " + again
		}
	}
	return "mend what the log tells, then " + again
}

const offline = "the modules could not be fetched: check the network and GOPROXY"

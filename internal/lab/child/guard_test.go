package child_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/lab/child"
)

func TestGuard(t *testing.T) {
	for _, tt := range []struct {
		name, script   string
		status         int
		stdout, stderr string
	}{
		{name: "ends well", script: "echo out; echo err >&2", stdout: "out\n", stderr: "err\n"},
		{name: "fails", script: "exit 7", status: 7},
		{name: "killed", script: "kill -9 $$", status: 128 + 9},
		{name: "SIGTERM that nobody here sent", script: "kill -15 $$", status: 128 + 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status, err := child.Guard(t.Context(), nil, &stdout, &stderr, "/bin/sh", "-c", tt.script)
			if status != tt.status || err != nil {
				t.Errorf("Guard = %d, %v, want %d", status, err, tt.status)
			}
			if stdout.String() != tt.stdout || stderr.String() != tt.stderr {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
		})
	}
	t.Run("asked to end", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if status, err := child.Guard(ctx, nil, nil, nil, "/bin/sleep", "1000"); status != 0 || err != nil {
			t.Errorf("Guard = %d, %v", status, err)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		_, err := child.Guard(t.Context(), nil, nil, nil, "/nonexistent")
		if got, want := fmt.Sprint(err), "starting /nonexistent: fork/exec /nonexistent: no such file or directory"; got != want {
			t.Errorf("Guard = %q, want %q", got, want)
		}
	})
	t.Run("the wire ends at the guard", func(t *testing.T) {
		var stdout bytes.Buffer
		env := []string{"DICELAB_WATCH_STDIN=1", "DICELAB_LISTEN_FD=3", "A=1"}
		if _, err := child.Guard(t.Context(), env, &stdout, nil, "/usr/bin/env"); err != nil {
			t.Fatal(err)
		}
		if got, want := stdout.String(), "A=1\n"; got != want {
			t.Errorf("environment %q, want %q", got, want)
		}
	})
}

// A guarded program under a child: ready, stopped in order, its last line read.
func TestAGuardedProgram(t *testing.T) {
	rec := newRecorder()
	l := listen(t)
	cfg := config("guard", l, nil)
	cfg.Env = append(cfg.Env, envGuarded+"=serve", envAddr+"="+l.Addr().String())
	cfg.Listener, cfg.Stdout = nil, rec.read
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := child.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	start(t, c)
	if err := c.Stop(within(t)); err != nil {
		t.Errorf("Stop = %v", err)
	}
	if diff := cmp.Diff([]string{"started", lastLine}, rec.lines); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if again, err := net.Listen("tcp", l.Addr().String()); err != nil {
		t.Errorf("the program is still there: %v", err)
	} else {
		again.Close()
	}
}

package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// RunGuard runs Guard as the whole work of this process, which a lab has started. It
// returns the exit status to end with. If the program was killed, this process is
// killed too, so that the lab sees it as it was.
func RunGuard(ctx context.Context, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer, program []string) (int, error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, _ = Watch(ctx, getenv, stdin)
	status, err := Guard(ctx, os.Environ(), stdout, stderr, program[0], program[1:]...)
	if err == nil && status == 128+int(syscall.SIGKILL) {
		err = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return status, err
}

// Guard runs a program that knows nothing of the wire (Prometheus, Loki, …) so
// that it, too, ends with the lab: the lab starts this process, a guard, and
// the guard starts the program in its own group. ctx comes from Watch and ends
// with SIGTERM as well; the program then receives SIGTERM. A program that does
// not heed it goes when the group is killed: by the lab, or, if that is gone,
// by Watch.
//
// It returns the exit status to end with: the program's own, 0 for one that
// ended because of that SIGTERM, 128 + n for one that ended by another signal n,
// as in a shell.
func Guard(ctx context.Context, env []string, stdout, stderr io.Writer, path string, args ...string) (int, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = withoutWire(env)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return 0, fmt.Errorf("asking %s to end: %w", path, err)
		}
		err = <-ended
	}
	if _, isExit := errors.AsType[*exec.ExitError](err); err != nil && !isExit {
		return 0, fmt.Errorf("running %s: %w", path, err)
	}
	status := exitStatus{cmd.ProcessState}
	switch {
	case ctx.Err() != nil && stoppedAsAsked(status):
		return 0, nil
	case status.code() < 0:
		return 128 + int(status.signal()), nil
	}
	return status.code(), nil
}

package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is one run of a child.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	tail  *Tail
	since time.Time

	exited         chan struct{} // closed when the process has been reaped
	stdout, stderr *os.File      // the parent's ends
	read           chan error    // one value for each of the two when read to the end
}

// outputGrace is the time for output to close after its process and group are gone. Only a process
// that left the group can hold it open, and the lab does not wait for that one.
const outputGrace = 5 * time.Second

// exitUsage is the exit status of a program that was called wrongly.
const exitUsage = 2

// exitStatus is the end of a process as an error, even with status 0, because a service is not
// expected to end.
type exitStatus struct{ state *os.ProcessState }

func (e exitStatus) Error() string { return e.state.String() }

// code returns the exit status, -1 after a signal.
func (e exitStatus) code() int { return e.state.ExitCode() }

// signal returns the signal that ended the process, or -1.
func (e exitStatus) signal() syscall.Signal {
	if ws, ok := e.state.Sys().(syscall.WaitStatus); ok {
		return ws.Signal()
	}
	return -1
}

// start begins a run. fail is called when the consumer of stdout gives up.
func start(cfg *Config, listener *os.File, fail func(*process, error)) (_ *process, err error) {
	p := &process{
		name: cfg.Name, tail: NewTail(cfg.Name, cfg.Stderr), since: time.Now(),
		exited: make(chan struct{}), read: make(chan error, 2),
	}
	p.cmd = exec.Command(cfg.Path, cfg.Args...)
	p.cmd.Env = withWire(cfg.Env, listener != nil)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if listener != nil {
		p.cmd.ExtraFiles = []*os.File{listener}
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// Own pipes rather than StdoutPipe: Wait closes those when the process ends, and drops the last
	// lines if they have not been read yet.
	var theirOut, theirErr *os.File
	if p.stdout, theirOut, err = os.Pipe(); err != nil {
		return nil, errors.Join(err, p.stdin.Close())
	}
	if p.stderr, theirErr, err = os.Pipe(); err != nil {
		return nil, errors.Join(err, p.stdin.Close(), p.stdout.Close(), theirOut.Close())
	}
	p.cmd.Stdout, p.cmd.Stderr = theirOut, theirErr
	err = p.cmd.Start()
	err = errors.Join(err, theirOut.Close(), theirErr.Close())
	if err != nil {
		if p.cmd.Process != nil { // it runs, but a pipe of ours did not close
			p.killGroup()
			err = errors.Join(err, p.cmd.Wait())
		}
		// os/exec has closed stdin.
		return nil, errors.Join(err, p.stdout.Close(), p.stderr.Close())
	}
	go p.readStdout(cfg.Stdout, fail)
	go func() {
		_, err := io.Copy(p.tail, p.stderr)
		p.read <- errors.Join(err, p.tail.Close())
	}()
	return p, nil
}

func (p *process) readStdout(consume func(io.Reader) error, fail func(*process, error)) {
	if err := consume(p.stdout); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		fail(p, fmt.Errorf("reading stdout of %s: %w", p.name, err))
	}
	_, err := io.Copy(io.Discard, p.stdout)
	p.read <- err
}

// wait returns how the run ended, once its output has been read to the end: an
// exitStatus, joined with what went wrong besides.
func (p *process) wait() error {
	err := p.cmd.Wait()
	close(p.exited)
	status := error(exitStatus{p.cmd.ProcessState})
	if _, isExit := errors.AsType[*exec.ExitError](err); err != nil && !isExit {
		status = errors.Join(status, err)
	}
	// What the process left behind in its group goes with it; it would hold the
	// output open. (The group's number is that of the process, which is free
	// again now. The kernel hands numbers out in turn, so it is not reused
	// within these microseconds.)
	p.killGroup()
	deadline := time.Now().Add(outputGrace)
	for _, output := range []*os.File{p.stdout, p.stderr} {
		if err := output.SetReadDeadline(deadline); err != nil {
			status = errors.Join(status, fmt.Errorf("bounding the output of %s: %w", p.name, err))
		}
	}
	for range cap(p.read) {
		if err := <-p.read; errors.Is(err, os.ErrDeadlineExceeded) {
			status = errors.Join(status, fmt.Errorf("reading the output of %s: a process that left its group holds it open", p.name))
		} else if err != nil {
			status = errors.Join(status, fmt.Errorf("reading the output of %s: %w", p.name, err))
		}
	}
	for _, output := range []*os.File{p.stdout, p.stderr} {
		if err := output.Close(); err != nil {
			status = errors.Join(status, err)
		}
	}
	return status
}

func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// order writes one order to the child's stdin, see Watch.
func (p *process) order(word string) error {
	_, err := io.WriteString(p.stdin, word+"\n")
	return err
}

// terminate asks the process, not its group, to end, because the process ends its own
// children.
func (p *process) terminate() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending SIGTERM: %w", err)
	}
	return nil
}

// kill ends the whole group, unless wait has done so.
func (p *process) kill() {
	if !p.gone() {
		p.killGroup()
	}
}

// killGroup ignores the error: it can only mean that no process is left in the group (ESRCH; on
// macOS EPERM if only a zombie is).
func (p *process) killGroup() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

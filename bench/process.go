package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dicelab/internal/wait"
)

// patience bounds a wait for a server.
const patience = time.Minute

// process is a server that is measured.
type process struct {
	cmd    *exec.Cmd
	ended  chan error
	output *strings.Builder // of stderr, for the error
}

// startProcess starts a program. Its stdout is a pipe that is read.
func startProcess(ctx context.Context, env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...), ended: make(chan error, 1), output: new(strings.Builder)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdin, p.cmd.Stderr = nil, p.output
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 20 * time.Second
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		err := drain(out)
		p.ended <- errors.Join(err, p.cmd.Wait())
	}()
	return p, nil
}

// drain reads to the end, with a buffer of the size of a pipe: a reader that wakes rarely
// takes little time of the processors that are measured. The buffer of io.Discard has an
// eighth of that size.
func drain(r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 64<<10))
	return err
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := <-p.ended; err != nil {
		return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, p.output)
	}
	return nil
}

// wait waits until url answers 200.
func (p *process) wait(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := wait.Until(ctx, func(ctx context.Context) error {
		select {
		case err := <-p.ended:
			p.ended <- err
			return wait.Final(fmt.Errorf("%s ended: %w", p.cmd.Path, err))
		default:
		}
		_, err := get(ctx, url)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s does not answer: %w\n%s", url, err, p.output)
	}
	return nil
}

// cpu returns the CPU time that the process has used, from Linux's /proc.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // from field 3 on, see proc(5)
	var ticks int64
	for _, i := range []int{14, 15} { // utime and stime
		n, err := strconv.ParseInt(fields[i-3], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil // USER_HZ is 100
}

// memory returns the proportional set size in bytes of the process and its children: for
// the lab, of all three processes.
func (p *process) memory() (int64, error) { return memoryOf(p.cmd.Process.Pid) }

// memoryOf reads proc(5), smaps_rollup and children.
func memoryOf(pid int) (total int64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan() && total == 0; {
		if _, err := fmt.Sscanf(lines.Text(), "Pss: %d kB", &total); err != nil {
			total = 0
		}
	}
	if total == 0 {
		return 0, errors.New("reading memory: smaps_rollup has no line Pss")
	}
	total <<= 10
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // of each thread
	if err != nil {
		return 0, err
	}
	for _, name := range lists {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) { // the thread has ended
			continue
		}
		if err != nil {
			return 0, err
		}
		for _, child := range strings.Fields(string(text)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			more, err := memoryOf(n)
			if err != nil {
				return 0, err
			}
			total += more
		}
	}
	return total, nil
}

// get returns the response of url, which must have status 200.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return send(req)
}

func send(req *http.Request) (body []byte, err error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s answers %s: %.200s", req.Method, req.URL, resp.Status, body)
	}
	return body, nil
}

// freeAddress returns an address whose port is free now.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

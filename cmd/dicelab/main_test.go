package main_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	dicelab "dicelab/cmd/dicelab"
	"dicelab/internal/embedded/embeddedtest"
)

// The test binary is also the program: run under the name dicelab it does what
// dicelab does, race detector included. So does what it starts.
func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"dicelab": func() {
		if err := signIn(os.Getenv(envBook)); err != nil {
			log.Fatal(err)
		}
		dicelab.Main()
	}})
}

// tests runs when the test binary is not started as the program.
type tests struct{ *testing.M }

// Run runs the tests without the OpenTelemetry settings of the environment, and fails them if they
// leave goroutines behind.
func (m tests) Run() int {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			if err := os.Unsetenv(name); err != nil {
				log.Fatal(err)
			}
		}
	}
	code := m.M.Run()
	if err := goleak.Find(embeddedtest.EngineGoroutines()...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		return 1
	}
	return code
}

// envBook names the directory in which each process of a lab signs in.
const envBook = "DICELAB_TEST_BOOK"

// book is the directory of that variable. It lists the running processes of a lab,
// independently of who started them and of their present parents.
//
// A process signs in with a file of its own, named by its ID and command, which it keeps locked.
// The kernel releases the lock when the process has ended, in whatever way, even if its parent has
// not reaped it.
type book string

func signIn(dir string) error {
	if dir == "" {
		return errors.New("signing in: run the program through the tests' helpers, which set " + envBook)
	}
	command := "none"
	if len(os.Args) > 1 {
		command = filepath.Base(os.Args[1])
	}
	path := filepath.Join(dir, strconv.Itoa(os.Getpid())+"."+command)
	// Not an os.File: the garbage collector would close that.
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("signing in as %s: %w", path, err)
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return fmt.Errorf("signing in as %s: %w", path, err)
	}
	return nil
}

// running lists the commands that run, by process ID.
func (b book) running() (map[int]string, error) {
	entries, err := os.ReadDir(string(b))
	if err != nil {
		return nil, fmt.Errorf("reading the book: %w", err)
	}
	running := map[int]string{}
	for _, e := range entries {
		number, command, _ := strings.Cut(e.Name(), ".")
		pid, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("reading the book: entry %q: %w", e.Name(), err)
		}
		f, err := os.Open(filepath.Join(string(b), e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the book: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			running[pid], err = command, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("reading the book: %w", err)
		}
	}
	return running, nil
}

// empty returns nil when no process runs.
func (b book) empty() error {
	running, err := b.running()
	if err == nil && len(running) > 0 {
		err = fmt.Errorf("still running: %v", running)
	}
	return err
}

// pid returns the process that runs a command, the only one.
func (b book) pid(command string) (int, error) {
	running, err := b.running()
	if err != nil {
		return 0, err
	}
	found := 0
	for pid, c := range running {
		if c == command {
			if found != 0 {
				return 0, fmt.Errorf("%s runs twice: %v", command, running)
			}
			found = pid
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("%s does not run: %v", command, running)
	}
	return found, nil
}

// kill ends what still runs.
func (b book) kill() error {
	running, err := b.running()
	for pid := range running {
		if e := syscall.Kill(pid, syscall.SIGKILL); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("killing %d: %w", pid, e))
		}
	}
	return err
}

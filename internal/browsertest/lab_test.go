package browsertest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dicelab/internal/contract"
	"dicelab/internal/wait"
)

// patience bounds every wait of a test. It is generous, because the machine may be busy with other
// tests.
const patience = 90 * time.Second

// program is the path of the binary under test. TestMain sets it, once.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browsertest:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "dicelab-browsertest")
	if err != nil {
		return 0, fmt.Errorf("making a directory for the program: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program = filepath.Join(dir, "dicelab")
	if out, err := exec.Command("go", "build", "-o", program, "dicelab/cmd/dicelab").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	code = m.Run()
	if code == 0 {
		err = goleak.Find()
	}
	return code, err
}

// lab is a running lab.
type lab struct {
	frontend, roller, explorer string // their URLs
	parts                      map[string]string
}

// reportLine matches the line of the report that says that a part is ready.
var reportLine = regexp.MustCompile(`^  (\S+(?: \S+)*) +ready .*?(http://\S+)?$`)

// startLab runs the whole lab on free ports, and stops it when the test ends.
func startLab(t *testing.T, args ...string) *lab {
	t.Helper()
	args = append([]string{"up", "--data", t.TempDir()}, args...)
	for _, name := range []string{"frontend", "roller", "explorer", "prometheus", "loki", "tempo", "otlp-grpc", "otlp-http"} {
		args = append(args, "--"+name+"-addr", "127.0.0.1:0")
	}
	cmd := exec.Command(program, args...)
	// The tests need the defaults, not the telemetry settings of the environment.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "OTEL_") })
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the lab: %v", err)
	}
	ended := make(chan error, 1)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended already, and the wait below sees that
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the lab ended badly: %v\n%s", err, stderr.String())
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			t.Errorf("the lab did not stop within %v: %v\n%s", patience, <-ended, stderr.String())
		}
	})
	ready := make(chan map[string]string, 1)
	go func() {
		parts := map[string]string{}
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if m := reportLine.FindStringSubmatch(lines.Text()); m != nil {
				parts[m[1]] = m[2]
			}
			if strings.HasPrefix(lines.Text(), "Ready in") {
				ready <- parts
			}
		}
		ended <- errors.Join(lines.Err(), cmd.Wait())
	}()
	select {
	case parts := <-ready:
		l := &lab{parts[contract.ServiceFrontend], parts[contract.ServiceRoller], parts["explorer"], parts}
		if l.frontend == "" || l.roller == "" || l.explorer == "" {
			t.Fatalf("the report names no URL of a service: %v", parts)
		}
		return l
	case err := <-ended:
		ended <- err
		t.Fatalf("the lab did not start: %v\n%s", err, stderr.String())
	case <-time.After(patience):
		t.Fatalf("the lab was not ready within %v", patience)
	}
	return nil
}

// hosts returns the addresses that the lab's own pages may ask.
func (l *lab) hosts() []string {
	var hosts []string
	for _, part := range l.parts {
		if u, err := url.Parse(part); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts
}

// roll rolls a die as a program does and returns the trace ID; want is the
// status that the front end should answer.
func (l *lab) roll(t *testing.T, die string, want int) string {
	t.Helper()
	resp, err := http.PostForm(l.frontend+"/roll", url.Values{"die": {die}})
	if err != nil {
		t.Fatalf("rolling: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("rolling %s: status %d, want %d (%v)\n%s", die, resp.StatusCode, want, err, body)
	}
	// traceresponse: version, trace ID, span ID, flags, parted by dashes.
	id, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get(contract.HeaderTraceresponse), "00-"), "-")
	if len(id) != 32 {
		t.Fatalf("rolling %s: no trace ID in %q", die, resp.Header.Get(contract.HeaderTraceresponse))
	}
	return id
}

// download waits until a trace has n spans and returns it as its page saves it.
// A test waits like this before it opens the trace's page, because the browser
// reports a page that answers 404 as an error.
func (l *lab) download(t *testing.T, id string, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var body string
	err := wait.Until(ctx, func(context.Context) (err error) {
		body, err = l.tryDownload(id, n)
		return err
	})
	if err != nil {
		t.Fatalf("saving trace %s: not within %v: %v", id, patience, err)
	}
	return body
}

func (l *lab) tryDownload(id string, want int) (string, error) {
	resp, err := http.Get(l.explorer + "/traces/" + id + "/trace.json")
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	if n := bytes.Count(body, []byte(`"spanId"`)); resp.StatusCode != http.StatusOK || n != want {
		return "", fmt.Errorf("status %d with %d spans", resp.StatusCode, n)
	}
	return string(body), nil
}

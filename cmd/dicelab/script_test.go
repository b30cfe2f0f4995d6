package main_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite what the scripts in testdata expect")

// Each script in testdata is one behaviour of the command line. Beside
// testscript's own commands there are:
//
//	exits N dicelab ARG...   run it, and hold that it exits with N
//	nothing-runs             hold that no process of the program is left
//	listen VAR...            listen on a free port each, and set VAR to it
//	serve STATUS VAR         answer every request with STATUS, at the URL VAR
//	hostile STATUS VAR       the same, and in all that is answered are control characters
//	printable                hold that the last output has none
//	newer-store DIR          make the store of a newer version in DIR
//
// $BIN is the directory of the program alone; $GOOS and $GOARCH are the platform.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			dir := filepath.Join(e.WorkDir, ".book")
			e.Setenv(envBook, dir)
			e.Setenv("GORACE", os.Getenv("GORACE"))                                    // as make test sets it: without the race detector's second of sleep at each exit
			bin, _, _ := strings.Cut(e.Getenv("PATH"), string(filepath.ListSeparator)) // testscript's own, with the program in it
			e.Setenv("BIN", bin)
			e.Setenv("GOOS", runtime.GOOS)
			e.Setenv("GOARCH", runtime.GOARCH)
			e.Defer(func() {
				if err := errors.Join(book(dir).kill(), within(patience, book(dir).empty)); err != nil {
					t.Error(err)
				}
			})
			return os.Mkdir(dir, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "nothing-runs": nothingRuns, "listen": listen, "serve": serve, "hostile": hostile, "printable": printable,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if (got == want) == neg {
		ts.Fatalf("exit status %d", got)
	}
}

func nothingRuns(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(within(patience, book(ts.Getenv(envBook)).empty))
}

func listen(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Defer(func() { ts.Check(l.Close()) })
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
	}
}

func serve(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	ts.Defer(server.Close)
	ts.Setenv(args[1], strings.TrimSuffix(server.URL, "/"))
}

// controls are characters that a terminal obeys, in the ways in which they can be
// written: C0, C1, as an invalid byte, DEL, bidi controls.
const controls = "\x1b[2J\x1b]0;title\x07\r\b\u009b31m\x9b\x7f\u202etxt\u2066"

func hostile(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	text, err := json.Marshal(strings.ToValidUTF8(controls, "") + "\ndicelab: hint: rm")
	ts.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Traceresponse", "00-\u009b31m-\u202e-01")
		if r.URL.Path != "/readyz" {
			w.WriteHeader(status)
		}
		if strings.HasPrefix(r.URL.Path, "/plain") {
			_, _ = io.WriteString(w, controls)
			return
		}
		_, _ = fmt.Fprintf(w, `{"status":%d,"error":%[2]s,"message":%[2]s,"detail":%[2]s,"batches":[
			{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%[2]s}}]},
			"scopeSpans":[{"spans":[{"traceId":"abababababababababababababababab","spanId":"abababababababab","name":%[2]s,
			"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`, status, text)
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[1], server.URL)
}

func printable(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"stdout", "stderr"} {
		text := ts.ReadFile(name)
		bad := strings.IndexFunc(text, func(r rune) bool {
			return r < ' ' && r != '\n' && r != '\t' || 0x7f <= r && r <= 0x9f || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
		})
		if bad >= 0 || !utf8.ValidString(text) {
			ts.Fatalf("%s has control characters, or is no UTF-8: %q", name, text)
		}
		if strings.Contains(text, "\ndicelab: hint: rm") {
			ts.Fatalf("a line of %s is not the program's own: %s", name, text)
		}
	}
}

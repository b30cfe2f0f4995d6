package builder_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"dicelab/stack"
	"dicelab/stack/build/builder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files of a folder, by name.
type files map[string]string

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range f {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// bench is a builder, with tiny servers and a clock that stands still.
type bench struct {
	builder.Builder
	out bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Builder: builder.Builder{Source: t.TempDir(), Cache: filepath.Join(t.TempDir(), "cache")}}
	b.Out = &b.out
	start := time.Unix(1_700_000_000, 0)
	b.Now = func() time.Time { return start }
	return b
}

// server writes the folder of a server, and returns its row of the table.
func (b *bench) server(t *testing.T, name string, f files) stack.Component {
	t.Helper()
	dir := filepath.Join(b.Source, name)
	f.write(t, dir)
	sum, err := builder.Sum(dir)
	if err != nil {
		t.Fatal(err)
	}
	return stack.Component{
		Name: name, Release: "1.2.3", Package: "example.com/" + name, VersionVar: "main.version", Sum: sum,
	}
}

// tiny is a server that prints its version.
func (b *bench) tiny(t *testing.T, name string) stack.Component {
	t.Helper()
	return b.server(t, name, files{
		"go.mod": "module example.com/" + name + "\n\ngo 1.26\n",
		"main.go": `package main

var version = "unset"

func main() { print(version) }
`,
	})
}

// build builds servers, and returns what was said. Paths are DIR, so that it can
// be compared, and sizes are N.
func (b *bench) build(ctx context.Context, servers ...stack.Component) (string, error) {
	b.out.Reset()
	err := b.Build(ctx, servers)
	said := b.out.String()
	for _, c := range servers {
		said = strings.ReplaceAll(said, filepath.Dir(c.Path(b.Cache)), "DIR/"+c.Name)
	}
	said = strings.ReplaceAll(said, b.Cache, "DIR")
	return regexp.MustCompile(`\d+ MB`).ReplaceAllString(said, "N MB"), err
}

// prints is what a built server prints.
func (b *bench) prints(t *testing.T, c stack.Component) string {
	t.Helper()
	out, err := exec.Command(c.Path(b.Cache)).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	return string(out)
}

// left are the names in the folder of a server.
func (b *bench) left(t *testing.T, c stack.Component) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(c.Path(b.Cache)))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func compare(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestBuild(t *testing.T) {
	b := newBench(t)
	one, two := b.tiny(t, "one"), b.tiny(t, "two")

	said, err := b.build(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "said of one", `[1/1] one 1.2.3: building; log in DIR/one/build.log
[1/1] one 1.2.3: built in 0s, N MB
built in 0s; the servers are in DIR
`, said)
	compare(t, "version of one", "1.2.3", b.prints(t, one))
	compare(t, "files of one", []string{"build.log", "one"}, b.left(t, one))
	first, err := os.Stat(one.Path(b.Cache))
	if err != nil {
		t.Fatal(err)
	}

	said, err = b.build(t.Context(), one, two)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "said of both", `[1/2] one 1.2.3: already built
[2/2] two 1.2.3: building; log in DIR/two/build.log
[2/2] two 1.2.3: built in 0s, N MB
built in 0s; the servers are in DIR
`, said)
	compare(t, "version of two", "1.2.3", b.prints(t, two))
	if again, err := os.Stat(one.Path(b.Cache)); err != nil || !os.SameFile(first, again) {
		t.Errorf("one was built again: %v", err)
	}

	said, err = b.build(t.Context(), one, two)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "said when nothing is missing", `[1/2] one 1.2.3: already built
[2/2] two 1.2.3: already built
nothing to build; the servers are in DIR
`, said)

	two.Release = "1.2.4"
	if _, err := b.build(t.Context(), one, two); err != nil {
		t.Fatal(err)
	}
	compare(t, "version of two in a newer table", "1.2.4", b.prints(t, two))
}

// A generated server is made from the manifest, with the go.mod beside it.
func TestBuildGenerated(t *testing.T) {
	b := newBench(t)
	c := b.server(t, "generated", files{
		"go.mod": "module example.com/generated\n\ngo 1.26\n",
		"go.sum": "",
		"manifest.yaml": `package main

func main() { print("from the manifest") }
`,
		"generator.go": `package main

import (
	"os"
	"strings"
)

func main() {
	if strings.Join(os.Args[2:], " ") != "--skip-compilation --skip-get-modules" {
		panic(os.Args)
	}
	manifest, err := os.ReadFile(strings.TrimPrefix(os.Args[1], "--config="))
	if err != nil {
		panic(err)
	}
	for name, content := range map[string][]byte{"main.go": manifest, "go.mod": []byte("not the one that pins")} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			panic(err)
		}
	}
}
`,
	})
	c.Package, c.Generator, c.VersionVar = "", "example.com/generated", ""
	if _, err := b.build(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	compare(t, "what the server prints", "from the manifest", b.prints(t, c))
	compare(t, "files", []string{"build.log", "generated"}, b.left(t, c))
}

// A tick tells the time, and what the go command told until then: here a command
// that tells of two modules and three packages, and ends once that was said.
func TestBuildTellsHowItGoes(t *testing.T) {
	bin := t.TempDir()
	told := filepath.Join(bin, "told")
	if err := syscall.Mkfifo(told, 0o600); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
printf 'go: downloading example.com/x v1.0.0\ngo: downloading example.com/y v1.0.0\ninternal/cpu\n'
printf '# example.com/x\nx.go:1:2: a warning\nexample.com/x\n'
printf 'example.com/' && printf 'y\nexample.com/no'
read -r _ <"$TOLD"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\n' >"$2" && chmod +x "$2"
`
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	c := b.tiny(t, "tiny")
	t.Setenv("TOLD", told)
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))

	ticks, done := make(chan time.Time), make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		for {
			select {
			case ticks <- time.Time{}:
			case <-done:
				return
			}
		}
	})
	var line string
	b.Ticks = ticks
	b.Out = writer(func(p []byte) (int, error) {
		if line == "" && strings.Contains(string(p), "2 modules fetched, 3 packages compiled") {
			line = string(p)
			return len(p), os.WriteFile(told, []byte("\n"), 0)
		}
		return len(p), nil
	})
	start, asked := b.Now(), 0
	b.Now = func() time.Time { asked = min(asked+1, 4); return start.Add(time.Duration(asked) * 20 * time.Second) }
	_, err := b.build(t.Context(), c)
	close(done)
	ticking.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`^\[1/1\] tiny 1\.2\.3: (20|40)s, 2 modules fetched, 3 packages compiled\n$`); !want.MatchString(line) {
		t.Errorf("said %q, want %s", line, want)
	}
}

// A failure stops the rest, leaves no server, and tells the server, the log and
// what to do. Once it is mended, the build goes on with that server.
func TestBuildFails(t *testing.T) {
	b := newBench(t)
	one := b.tiny(t, "one")
	broken := files{"go.mod": "module example.com/two\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { undefined() }\n"}
	two, three := b.server(t, "two", broken), b.tiny(t, "three")

	said, err := b.build(t.Context(), one, two, three)
	failed, ok := errors.AsType[*builder.Error](err)
	if !ok {
		t.Fatalf("error %v, want a *builder.Error", err)
	}
	log := filepath.Join(filepath.Dir(two.Path(b.Cache)), "build.log")
	compare(t, "error", "building two 1.2.3: compiling: exit status 1; its log is "+log, err.Error())
	compare(t, "hint", "mend what the log tells, then run this again: what is built stays built", failed.Hint())
	compare(t, "end of the log", "./main.go:3:15: undefined: undefined", failed.Tail[len(failed.Tail)-1])
	compare(t, "files of two", []string{"build.log"}, b.left(t, two))
	if strings.Contains(said, "three") {
		t.Errorf("the build went on after a failure:\n%s", said)
	}

	broken["main.go"] = "package main\n\nfunc main() {}\n"
	broken.write(t, filepath.Join(b.Source, "two"))
	said, err = b.build(t.Context(), one, two, three)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "said once it is mended", `[1/3] one 1.2.3: already built
[2/3] two 1.2.3: building; log in DIR/two/build.log
[2/3] two 1.2.3: built in 0s, N MB
[3/3] three 1.2.3: building; log in DIR/three/build.log
[3/3] three 1.2.3: built in 0s, N MB
built in 0s; the servers are in DIR
`, said)
}

func TestBuildInterrupted(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.Out = writer(func(p []byte) (int, error) { cancel(); return b.out.Write(p) }) // with the first line, before go runs
	c := b.tiny(t, "tiny")
	_, err := b.build(ctx, c)
	failed, ok := errors.AsType[*builder.Error](err)
	if !ok || !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want a *builder.Error for %v", err, context.Canceled)
	}
	compare(t, "hint", "run this again: what is built stays built", failed.Hint())
	compare(t, "end of the log", []string(nil), failed.Tail)
	compare(t, "files", []string{"build.log"}, b.left(t, c))
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// What cannot succeed is refused before anything is built.
func TestBuildRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		env    []string
		change func(*stack.Component)
		want   string
	}{
		{
			name: "no C compiler", env: append(os.Environ(), "CC=no-such-compiler -m64"),
			change: func(c *stack.Component) { c.CGO = true },
			want:   "tiny 1.2.3 needs a C compiler, and there is no no-such-compiler; on Debian: apt-get install gcc libc6-dev",
		},
		{
			name:   "no checkout",
			change: func(c *stack.Component) { c.Name = "elsewhere" },
			want:   "preparing elsewhere 1.2.3: reading what pins a server: open SOURCE/elsewhere/go.mod: no such file or directory; run this in the root of dicelab's checkout",
		},
		{
			name:   "modules that are not the table's",
			change: func(c *stack.Component) { c.Sum = "0123456789ab" },
			want:   `preparing tiny 1.2.3: the files in SOURCE/tiny have changed: set Sum to "SUM" in its row of stack/stack.go`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.Env = tt.env
			c := b.tiny(t, "tiny")
			want := strings.NewReplacer("SOURCE", b.Source, "SUM", c.Sum).Replace(tt.want)
			tt.change(&c)
			said, err := b.build(t.Context(), c)
			if err == nil || err.Error() != want {
				t.Errorf("error %v\n want %s", err, want)
			}
			compare(t, "said", "", said)
		})
	}
}

func TestHint(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{name: "disk", line: "write /tmp/x: no space left on device", want: "make room on the disk: module cache, build cache and servers take up to 20 GB"},
		{name: "memory", line: "compile: signal: killed", want: "memory may have run out: close something, or set GOFLAGS=-p=1"},
		{name: "network", line: "go: x@v1: Get y: dial tcp: lookup z: no such host", want: "the modules could not be fetched: check the network and GOPROXY"},
		{name: "anything else", line: "x.go:1:1: expected package", want: "mend what the log tells"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := builder.Error{Tail: []string{"before", tt.line}, Err: errors.New("exit status 1")}
			compare(t, "hint", tt.want+", then run this again: what is built stays built", e.Hint())
		})
	}
}

func TestSum(t *testing.T) {
	sums := map[string]string{}
	for _, tt := range []struct {
		name  string
		files files
		same  string // the case that it is like
	}{
		{name: "go.mod alone", files: files{"go.mod": "module x\n"}},
		{name: "another go.mod", files: files{"go.mod": "module y\n"}},
		{name: "go.sum", files: files{"go.mod": "module x\n", "go.sum": "z\n"}},
		{name: "manifest", files: files{"go.mod": "module x\n", "manifest.yaml": "z\n"}},
		{name: "nothing of the module", files: files{"go.mod": "module x\n", "note.txt": "z\n"}, same: "go.mod alone"},
	} {
		dir := t.TempDir()
		tt.files.write(t, dir)
		sum, err := builder.Sum(dir)
		if err != nil || !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(sum) {
			t.Errorf("%s: %q, %v, want 12 hex digits", tt.name, sum, err)
		}
		if other := sums[sum]; other != tt.same {
			t.Errorf("%s is like %q, want like %q", tt.name, other, tt.same)
		}
		sums[sum] = tt.name
	}
}

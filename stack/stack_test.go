package stack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/stack"
	"dicelab/stack/build/builder"
)

func TestComponents(t *testing.T) {
	want := []string{"prometheus", "otel-collector", "tempo", "loki", "alloy"}
	var got []string
	for _, c := range stack.Components() {
		got = append(got, c.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
	if _, err := stack.Find("jaeger"); err == nil || err.Error() != `the stack has no server "jaeger": it has prometheus, otel-collector, tempo, loki, alloy` {
		t.Errorf("finding a server that is not there: %v", err)
	}
}

func TestReadyURL(t *testing.T) {
	want := map[string]string{
		stack.Prometheus: "http://127.0.0.1:9090/-/ready",
		stack.Collector:  "http://127.0.0.1:13133/",
		stack.Tempo:      "http://127.0.0.1:3200/ready",
		stack.Loki:       "http://127.0.0.1:3100/ready",
		stack.Alloy:      "http://127.0.0.1:12345/-/ready",
	}
	got := map[string]string{}
	for _, c := range stack.Components() {
		got[c.Name] = c.ReadyURL()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ready URLs (-want +got):\n%s", diff)
	}
}

// goMod is what a go.mod says, as "go mod edit -json" tells it.
type goMod struct {
	Module  struct{ Path string }
	Go      string
	Require []struct{ Path, Version string }
	Tool    []struct{ Path string }
}

func readGoMod(t *testing.T, path string) (m goMod) {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json", path).Output()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}

// version of a module that the go.mod requires.
func (m goMod) version(path string) string {
	for _, r := range m.Require {
		if r.Path == path {
			return r.Version
		}
	}
	return ""
}

func source(c stack.Component) string { return filepath.Join("build", c.Name) }

// What pins the modules of a server agrees with the table.
func TestModules(t *testing.T) {
	lab := readGoMod(t, filepath.Join("..", "go.mod"))
	for _, c := range stack.Components() {
		t.Run(c.Name, func(t *testing.T) {
			m := readGoMod(t, filepath.Join(source(c), "go.mod"))
			if want := "dicelab/stack/build/" + c.Name; m.Module.Path != want {
				t.Errorf("module %s, want %s", m.Module.Path, want)
			}
			if m.Go != lab.Go {
				t.Errorf("go %s, want %s as in the lab's own go.mod", m.Go, lab.Go)
			}
			if got := m.version(c.Module); got != c.Version {
				t.Errorf("%s is required at %q, in the table it is %s", c.Module, got, c.Version)
			}
			if len(m.Tool) != 1 || m.Tool[0].Path != c.Package+c.Generator {
				t.Errorf("tools %v, want one, %s", m.Tool, c.Package+c.Generator)
			}
			if !strings.HasPrefix(c.Package+c.Generator, c.Module) {
				t.Errorf("%s is not of module %s", c.Package+c.Generator, c.Module)
			}
			sum, err := builder.Sum(source(c))
			if err != nil {
				t.Fatal(err)
			}
			if sum != c.Sum {
				t.Errorf("%s has changed: set Sum to %q in the table", source(c), sum)
			}
		})
	}
}

// What the Collector is put together from agrees with the table and with what
// its go.mod pins.
func TestManifest(t *testing.T) {
	for _, c := range stack.Components() {
		if c.Generator == "" {
			continue
		}
		m := readGoMod(t, filepath.Join(source(c), "go.mod"))
		content, err := os.ReadFile(filepath.Join(source(c), "manifest.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{"name": c.Name, "version": c.Release, "module": m.Module.Path} {
			if line := "\n  " + key + ": " + want + "\n"; !strings.Contains(string(content), line) {
				t.Errorf("the manifest of %s lacks %q", c.Name, line)
			}
		}
		parts := regexp.MustCompile(`gomod: (\S+) (\S+)`).FindAllStringSubmatch(string(content), -1)
		if len(parts) == 0 {
			t.Errorf("the manifest of %s names no part", c.Name)
		}
		for _, p := range parts {
			if got := m.version(p[1]); got != p[2] {
				t.Errorf("%s is %s in the manifest of %s and %q in its go.mod", p[1], p[2], c.Name, got)
			}
		}
	}
}

// An image is of the release that is built: what was seen natively holds for
// containers.
func TestImages(t *testing.T) {
	images := stack.Images()
	if got, want := len(images), len(stack.Components())+1; got != want || images[want-1].Name != stack.Grafana {
		t.Errorf("%d images, want %d, Grafana's the last", got, want)
	}
	for _, c := range images {
		if got := strings.TrimPrefix(c.Tag, "v"); got != c.Release {
			t.Errorf("image %s:%s, want release %s", c.Image, c.Tag, c.Release)
		}
	}
}

// contradictions are the images and module versions that a text names otherwise
// than the table.
func contradictions(text string) (out []string) {
	for _, c := range stack.Images() {
		names := map[string]string{c.Image + ":": c.Tag}
		if c.Module != "" {
			names[c.Module+"@"] = c.Version
		}
		for name, want := range names {
			for _, m := range regexp.MustCompile(regexp.QuoteMeta(name)+`([\w.+-]*\w)`).FindAllStringSubmatch(text, -1) {
				if m[1] != want {
					out = append(out, fmt.Sprintf("%s is not %s", m[0], want))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestContradictions(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{name: "an image as in the table", text: "image: grafana/loki:3.7.8"},
		{name: "at the end of a sentence", text: "It is grafana/loki:3.7.8."},
		{name: "an old image", text: "image: grafana/loki:3.6.0\n", want: []string{"grafana/loki:3.6.0 is not 3.7.8"}},
		{name: "the latest image", text: "prom/prometheus:latest", want: []string{"prom/prometheus:latest is not v3.16.0"}},
		{name: "an old module", text: "go get github.com/grafana/alloy@v1.10.2", want: []string{"github.com/grafana/alloy@v1.10.2 is not v1.11.0"}},
		{name: "a module as in the table", text: "github.com/grafana/alloy@v1.11.0"},
		{name: "an old image of what is not built", text: "grafana/grafana:11.0.0", want: []string{"grafana/grafana:11.0.0 is not 12.4.2"}},
		{name: "no version", text: "github.com/grafana/alloy and grafana/tempo"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, contradictions(tt.text)); diff != "" {
				t.Errorf("contradictions (-want +got):\n%s", diff)
			}
		})
	}
}

// The Makefile, the documents, Compose files and code name no other image or
// module version than the table.
func TestNobodyContradictsTheTable(t *testing.T) {
	read := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".dicelab", "bin"}, d.Name()):
			return filepath.SkipDir
		case !d.Type().IsRegular(), path == filepath.Join("..", "stack", "stack_test.go"):
			return nil // this file names false ones
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		for _, c := range contradictions(string(content)) {
			t.Errorf("%s: %s", path, c)
		}
		return nil
	})
	if err != nil || read == 0 {
		t.Fatalf("%d files read: %v", read, err)
	}
}

// Every port of the table stands in the third line of one of its server's
// configurations, and no two servers want the same.
func TestPorts(t *testing.T) {
	owner := map[string]string{}
	for _, c := range stack.Components() {
		heads := thirdLines(t, c.Name)
		for _, p := range c.Ports {
			if other, ok := owner[p.Number]; ok {
				t.Errorf("port %s is both %s and %s", p.Number, other, p.What)
			}
			owner[p.Number] = p.What
			if !regexp.MustCompile(`\b` + p.Number + `\b`).MatchString(heads) {
				t.Errorf("port %s (%s) is not among the ports of stack/%s:\n%s", p.Number, p.What, c.Name, heads)
			}
		}
	}
}

// thirdLines are the third lines of a server's configurations, as they are in the
// binary.
func thirdLines(t *testing.T, name string) string {
	t.Helper()
	files, err := stack.Configs.ReadDir(name)
	if err != nil {
		t.Fatal(err)
	}
	var heads []string
	for _, f := range files {
		content, err := stack.Configs.ReadFile(name + "/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitN(string(content), "\n", 4)
		if len(lines) < 4 || !strings.HasPrefix(strings.TrimLeft(lines[2], "#/ "), "Port: ") {
			t.Errorf("%s/%s: the third line does not tell the port", name, f.Name())
			continue
		}
		heads = append(heads, lines[2])
	}
	return strings.Join(heads, "\n")
}

// cacheIn makes dir the home of this process, and returns where servers are built.
func cacheIn(t *testing.T, dir string) string {
	t.Helper()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	cache, err := stack.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestBinary(t *testing.T) {
	cache := cacheIn(t, t.TempDir())
	c, err := stack.Find(stack.Loki)
	if err != nil {
		t.Fatal(err)
	}
	path := c.Path(cache)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	const notBuilt = "loki 3.7.8: not built yet on this machine: run make stack-build in dicelab's checkout"
	if _, err := stack.Binary(stack.Loki); !errors.Is(err, stack.ErrNotBuilt) || err.Error() != notBuilt {
		t.Errorf("before it is built: %v, want %s", err, notBuilt)
	}
	if err := os.WriteFile(path, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := stack.Binary(stack.Loki); !errors.Is(err, stack.ErrNotBuilt) {
		t.Errorf("a file that cannot be run: %v, want %v", err, stack.ErrNotBuilt)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := stack.Binary(stack.Loki); err != nil || got != path {
		t.Errorf("once built: %q, %v, want %q", got, err, path)
	}
	if _, err := stack.Binary("jaeger"); err == nil || errors.Is(err, stack.ErrNotBuilt) {
		t.Errorf("a server that is not there: %v", err)
	}
}

// A server that would be built otherwise is another file.
func TestPath(t *testing.T) {
	row, err := stack.Find(stack.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{}
	for name, change := range map[string]func(*stack.Component){
		"the row":         func(*stack.Component) {},
		"another release": func(c *stack.Component) { c.Release = "3.17.0" },
		"another version": func(c *stack.Component) { c.Version = "v0.317.0" },
		"another package": func(c *stack.Component) { c.Package += "/v2" },
		"other tags":      func(c *stack.Component) { c.Tags = nil },
		"with cgo":        func(c *stack.Component) { c.CGO = true },
		"other modules":   func(c *stack.Component) { c.Sum = "0123456789ab" },
	} {
		c := row
		change(&c)
		path := c.Path("cache")
		if filepath.Base(path) != c.Name || filepath.Dir(filepath.Dir(path)) != "cache" {
			t.Errorf("%s: path %s", name, path)
		}
		if other, ok := paths[path]; ok {
			t.Errorf("%s and %s have the same path %s", name, other, path)
		}
		paths[path] = name
	}
	same := row
	same.Image, same.Tag, same.Ports = "", "", nil
	if got, want := same.Path("cache"), row.Path("cache"); got != want {
		t.Errorf("what does not touch the build changes the path: %s, want %s", got, want)
	}
}

// Grafana's files open as the configurations of the others do; JSON has no
// comments.
func TestGrafanaFiles(t *testing.T) {
	var found []string
	err := fs.WalkDir(stack.Configs, stack.Grafana, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found = append(found, path)
		if filepath.Ext(path) != ".yaml" {
			return nil
		}
		content, err := stack.Configs.ReadFile(path)
		if err != nil {
			return err
		}
		if !regexp.MustCompile(`\A# Receives from: .+\n# Sends to: .+\n# Port: ` + stack.PortGrafana + ` .+\n`).Match(content) {
			t.Errorf("%s does not say in its first lines what it receives, sends, and on which port", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"grafana/dashboards/stage2-dashboard.json", "grafana/provisioning/dashboards/dicelab.yaml", "grafana/provisioning/datasources/dicelab.yaml"}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

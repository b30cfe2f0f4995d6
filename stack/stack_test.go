package stack_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/semver"

	"dicelab/stack"
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

// Every server can be found and got: versions that compare, a name of its
// program, a page.
func TestTable(t *testing.T) {
	for _, c := range stack.Components() {
		if !semver.IsValid("v"+c.Version) || !semver.IsValid("v"+c.Oldest) || semver.Compare("v"+c.Oldest, "v"+c.Version) > 0 {
			t.Errorf("%s: oldest version %q, tested version %q", c.Name, c.Oldest, c.Version)
		}
		if len(c.Programs) == 0 || !strings.HasPrefix(c.Download, "https://") {
			t.Errorf("%s: programs %q, download %q", c.Name, c.Programs, c.Download)
		}
	}
}

// stack/README.md lists the servers as the table does.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range stack.Components() {
		row := fmt.Sprintf("\n| %s | %s | %s | ", c.Name, c.Version, c.Oldest)
		_, rest, ok := strings.Cut(string(text), row)
		rest, _, _ = strings.Cut(rest, "\n")
		if !ok || !strings.Contains(rest, "("+c.Download+")") || c.Brew != "" && !strings.Contains(rest, "`brew install "+c.Brew+"`") {
			t.Errorf("README.md lacks the row %q with %s %s", row, c.Download, c.Brew)
		}
	}
}

// An image is of the version that is tested: what was seen natively holds for
// containers.
func TestImages(t *testing.T) {
	images := stack.Images()
	if got, want := len(images), len(stack.Components())+1; got != want || images[want-1].Name != stack.Grafana {
		t.Errorf("%d images, want %d, Grafana's the last", got, want)
	}
	for _, c := range images {
		if got := strings.TrimPrefix(c.Tag, "v"); got != c.Version {
			t.Errorf("image %s:%s, want version %s", c.Image, c.Tag, c.Version)
		}
	}
}

// contradictions returns the images that a text names otherwise than the table.
func contradictions(text string) (out []string) {
	for _, c := range stack.Images() {
		for _, m := range regexp.MustCompile(regexp.QuoteMeta(c.Image+":")+`([\w.+-]*\w)`).FindAllStringSubmatch(text, -1) {
			if m[1] != c.Tag {
				out = append(out, fmt.Sprintf("%s is not %s", m[0], c.Tag))
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
		{name: "an image as in the table", text: "image: grafana/loki:3.7.6"},
		{name: "at the end of a sentence", text: "It is grafana/loki:3.7.6."},
		{name: "an old image", text: "image: grafana/loki:3.6.0\n", want: []string{"grafana/loki:3.6.0 is not 3.7.6"}},
		{name: "the latest image", text: "prom/prometheus:latest", want: []string{"prom/prometheus:latest is not v3.16.0"}},
		{name: "an old image of what runs in containers only", text: "grafana/grafana:11.0.0", want: []string{"grafana/grafana:11.0.0 is not 13.2.3"}},
		{name: "no version", text: "github.com/grafana/alloy and grafana/tempo"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, contradictions(tt.text)); diff != "" {
				t.Errorf("contradictions (-want +got):\n%s", diff)
			}
		})
	}
}

// The Makefile, the documents, Compose files and code name no other image than
// the table.
func TestNothingContradictsTheTable(t *testing.T) {
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

// thirdLines returns the third lines of a server's configurations, as they are in the
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
			t.Errorf("%s/%s: the third line does not give the port", name, f.Name())
			continue
		}
		heads = append(heads, lines[2])
	}
	return strings.Join(heads, "\n")
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

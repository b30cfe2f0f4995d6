// Package composetest tests the lab in containers: that the files agree with the
// table of the stack and with the contract and, with the build tag "compose",
// that what they describe works. "make test-compose" runs the latter; it needs
// Docker Engine and Linux.
package composetest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// root is the repository's, as seen from this package.
const root = "../.."

// The two files of the lab, which compose.yaml joins.
func stackFile() string    { return filepath.Join(root, "deploy", "compose", "stack.yaml") }
func servicesFile() string { return filepath.Join(root, "deploy", "compose", "services.yaml") }
func orderFile() string    { return filepath.Join(root, "deploy", "compose", "order.yaml") }

// file has the parts of the Compose format that this repository uses
// (https://docs.docker.com/reference/compose-file/). Any other key is an error.
type file struct {
	Name     string
	Include  []include
	Services map[string]service
	Networks map[string]network
	Volumes  map[string]struct{}
	Parts    map[string]yaml.Node `yaml:",inline"` // x-…: what services have in common
}

type include struct{ Path []string }

type network struct{ Name string }

type service struct {
	Image         string
	Build         *build
	ContainerName string `yaml:"container_name"`
	Command       words
	User          string
	Profiles      []string
	Restart       string
	NetworkMode   string `yaml:"network_mode"`
	Networks      []string
	Ports         []string
	Volumes       []mount
	Tmpfs         []string
	Environment   map[string]string
	DependsOn     map[string]dependency `yaml:"depends_on"`
	Healthcheck   *health
	ReadOnly      bool     `yaml:"read_only"`
	CapDrop       []string `yaml:"cap_drop"`
	SecurityOpt   []string `yaml:"security_opt"`
	MemLimit      string   `yaml:"mem_limit"`
	StopGrace     string   `yaml:"stop_grace_period"`
	Logging       struct {
		Driver  string
		Options map[string]string
	}
}

type build struct {
	Context string
	Network string
	Args    map[string]*string
}

type mount struct {
	Type, Source, Target string
	ReadOnly             bool `yaml:"read_only"`
	Volume               struct{ NoCopy bool }
}

type dependency struct{ Condition string }

type health struct {
	Test              []string
	Interval, Timeout string
	Retries           int
	StartPeriod       string `yaml:"start_period"`
}

// words is a command, as a list or in one string.
type words []string

func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*w = strings.Fields(n.Value)
		return nil
	}
	return n.Decode((*[]string)(w))
}

func read(t *testing.T, path string) (f file) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for key := range f.Parts {
		if !strings.HasPrefix(key, "x-") {
			t.Errorf("%s: %s is no key of a Compose file that this test knows", path, key)
		}
	}
	return f
}

// both reads the two files.
func both(t *testing.T) map[string]file {
	t.Helper()
	return map[string]file{"stack": read(t, stackFile()), "services": read(t, servicesFile())}
}

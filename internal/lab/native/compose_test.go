package native_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"dicelab/internal/lab/native"
)

// In containers the servers get the flags that they get here, but for places.
func TestSameFlagsInContainers(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "compose", "stack.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct{ Command any }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name, args := range native.Args("/config", "/data", "127.0.0.1:1") {
		var command []string
		list, ok := file.Services[name].Command.([]any)
		if !ok {
			t.Fatalf("the command of %s is no list: %v", name, file.Services[name].Command)
		}
		for _, word := range list {
			command = append(command, word.(string))
		}
		if diff := cmp.Diff(placeless(args), placeless(command)); diff != "" {
			t.Errorf("flags of %s (-native +containers):\n%s", name, diff)
		}
	}
}

// placeless returns a command line without paths and addresses.
func placeless(args []string) []string {
	out := make([]string, 0, len(args))
	for _, a := range args {
		if flag, place, ok := strings.Cut(a, "="); ok && strings.ContainsAny(place, "/:") {
			a = flag + "=<place>"
		} else if strings.HasPrefix(a, "/") {
			a = "<place>"
		}
		out = append(out, a)
	}
	return out
}

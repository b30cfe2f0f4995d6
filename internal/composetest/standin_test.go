//go:build compose

package composetest_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"dicelab/internal/lab/servers"
	"dicelab/stack"
)

// If an image cannot be pulled, a stand-in takes its name. The stand-in of a server has the program
// that was found on this machine, at the same path, with the same user and the same directories as
// the official image. The stand-in of the builder has the Go of this machine. All are removed after
// the test, so that they are not mistaken for the official images.

// standInLabel marks a stand-in.
const standInLabel = "dicelab.stand-in"

// official describes an official image, apart from its name.
type official struct {
	program string
	user    string
	dirs    []directory
}

type directory struct {
	path  string
	owner int
	mode  fs.FileMode
}

// officials returns the properties of the images, by component. They are taken from the
// Dockerfiles: github.com/prometheus/prometheus, grafana/tempo, grafana/loki, grafana/alloy (each
// in the repository's root or in cmd/NAME) and open-telemetry/opentelemetry-collector-releases
// (distributions/otelcol-contrib).
func officials() map[string]official {
	return map[string]official{
		stack.Prometheus: {program: "/bin/prometheus", user: "65534:65534", dirs: []directory{{"/prometheus", 65534, 0o775}, {"/etc/prometheus", 65534, 0o755}}},
		stack.Tempo:      {program: "/tempo", user: "10001:10001", dirs: []directory{{"/var/tempo", 10001, 0o700}}},
		stack.Loki:       {program: "/usr/bin/loki", user: "10001", dirs: []directory{{"/etc/loki", 10001, 0o755}, {"/loki", 10001, 0o755}}},
		stack.Alloy:      {program: "/bin/alloy", user: "0", dirs: []directory{{"/etc/alloy", 473, 0o755}, {"/var/lib/alloy", 473, 0o770}}},
		stack.Collector:  {program: "/otelcol-contrib", user: "10001:10001"},
	}
}

// builderImage is the name of the stand-in for the image golang.
const builderImage = "dicelab-test-builder"

// images makes the servers' images available: it uses local ones, pulls them, or builds stand-ins.
// It returns the environment for building the image of the lab, and the servers that have neither
// image nor program.
func images(t *testing.T) (env, missing []string) {
	t.Helper()
	found, err := servers.Find(t.Context(), servers.Places{Dir: *dir, Path: os.Getenv("PATH")})
	if err != nil {
		t.Fatal(err)
	}
	programs := servers.Paths(found)
	var pulled, stood []string
	for _, c := range stack.Images() {
		name := c.Image + ":" + c.Tag
		switch {
		case obtain(t, name+digest(c)):
			pulled = append(pulled, c.Name)
		case programs[c.Name] != "":
			standIn(t, c, name, programs[c.Name])
			stood = append(stood, c.Name)
			env = append(env, digestVariable(c)+"=") // it has another
		case c.Name == stack.Grafana: // the lab runs without it
			missing = append(missing, c.Name)
		default:
			t.Fatalf("the image %s can be neither had nor made here: %v", name, servers.Unusable(found))
		}
	}
	t.Logf("official images: %s; stand-ins: %s; left out: %s", list(pulled), list(stood), list(missing))
	if !obtain(t, golang(t)) {
		builder(t)
		t.Logf("the image is built in a stand-in of %s", golang(t))
		env = append(env, "BUILDER="+builderImage, "DICELAB_BUILD_NETWORK=host")
	}
	return env, missing
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// obtain reports whether an image is present or could be pulled. A stand-in that a killed test left
// behind does not count.
func obtain(t *testing.T, name string) bool {
	t.Helper()
	label, err := try(t.Context(), nil, nil, "docker", "image", "inspect", "--format", `{{index .Config.Labels "`+standInLabel+`"}}`, name)
	if err == nil {
		return label == ""
	}
	// Why it could not be pulled does not matter: the test says what it does instead.
	_, err = try(t.Context(), nil, nil, "docker", "pull", "--quiet", name)
	return err == nil
}

// standIn makes an image from a server's program.
func standIn(t *testing.T, c stack.Component, name, program string) {
	t.Helper()
	like := officials()[c.Name]
	changes := []string{"LABEL " + standInLabel + "=true", "USER " + like.user, `ENTRYPOINT ["` + like.program + `"]`}
	removeAfterwards(t, name)
	importImage(t, name, changes, func(l *layer) error {
		for _, d := range like.dirs {
			if err := l.dir(d.path, d.owner, d.mode); err != nil {
				return err
			}
		}
		return l.program(program, like.program)
	})
}

// builder makes an image that has Go, a shell and its tools, and certificates.
func builder(t *testing.T) {
	t.Helper()
	goroot, err := try(t.Context(), nil, nil, "go", "env", "GOROOT")
	if err != nil {
		t.Fatal(err)
	}
	changes := []string{"LABEL " + standInLabel + "=true", "ENV PATH=/usr/local/go/bin:/bin GOPATH=/go GOTOOLCHAIN=local"}
	removeAfterwards(t, builderImage)
	importImage(t, builderImage, changes, func(l *layer) error {
		if err := l.dir("/tmp", 0, 0o1777); err != nil {
			return err
		}
		for _, part := range []string{"bin", "lib", "pkg", "src"} {
			if err := l.tree(filepath.Join(goroot, part), path.Join("/usr/local/go", part)); err != nil {
				return err
			}
		}
		for _, file := range []string{"VERSION", "go.env", "LICENSE", "PATENTS"} {
			if err := l.file(filepath.Join(goroot, file), path.Join("/usr/local/go", file)); err != nil {
				return err
			}
		}
		for _, tool := range []string{"sh", "cp", "mkdir", "touch"} {
			found, err := exec.LookPath(tool)
			if err != nil {
				return err
			}
			if err := l.program(found, "/bin/"+tool); err != nil {
				return err
			}
		}
		const certificates = "/etc/ssl/certs/ca-certificates.crt"
		return l.file(certificates, certificates)
	})
}

func removeAfterwards(t *testing.T, image string) {
	t.Cleanup(func() {
		if _, err := try(context.WithoutCancel(t.Context()), nil, nil, "docker", "image", "rm", image); err != nil {
			t.Errorf("removing the stand-in %s: %v", image, err)
		}
	})
}

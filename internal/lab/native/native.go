// Package native runs the real stack on this machine: Prometheus, Loki, Tempo,
// Alloy and the OpenTelemetry Collector, as processes of the lab.
//
//	services ── stdout → files (Spool) → Alloy ──────→ Loki
//	        └── OTLP → Collector → Tempo ─ generated ─┐
//	        └── /metrics ←────────────────────── Prometheus
//
// The rules:
//   - The configurations are those of the folder stack, copied into the data
//     directory at every start, beside what the server stores. The servers read
//     addresses and paths from their environment (Env), so that a configuration
//     has each of them in one place only.
//   - Each server is a child of the lab behind child.Guard: it ends with the lab,
//     however that ends. It is not started again: one that dies ends the lab.
//   - Stopping loses nothing: before each is asked to end, Prometheus has read the last values,
//     Alloy has sent the last line and the Collector the last span.
//
// The package knows the servers only by their programs' flags and HTTP APIs. It
// imports nothing of theirs: some are under the AGPL.
package native

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
)

// Options configures a stack. All but Env and Notify are required.
type Options struct {
	// Dir is the directory of the stack's data: DIR/COMPONENT for each server,
	// DIR/services for what the services write to standard output.
	Dir string
	// Configs holds COMPONENT/FILE for each server.
	Configs fs.FS
	// Listeners holds the address of each of Places, bound. The stack owns them:
	// it closes each just before the server that listens on it starts. Until then
	// no other program can take it.
	Listeners lab.Listeners
	// Targets are the services that Prometheus scrapes.
	Targets []Target
	// Programs are the paths of the servers' programs by component.
	Programs map[string]string
	// Guard is the command line that runs a program behind child.Guard: the
	// path and arguments of the program are appended to its arguments.
	Guard []string
	// Env is the environment of the servers, to which theirs is added.
	Env []string
	// Notify is called at starts and ends, see child.Config.
	Notify func(child.Event)
}

// Target is a service that Prometheus scrapes.
type Target = lab.Target

// Stack is the five servers.
type Stack struct {
	o        Options
	addrs    map[string]string // host:port by place
	env      []string
	spool    *Spool
	followed int64 // lines of the spool that were written before Alloy was started
}

// New checks that everything is there, and prepares the directories. Nothing is
// started.
func New(o Options) (*Stack, error) {
	s := &Stack{o: o, addrs: map[string]string{}}
	for _, c := range components() {
		if o.Programs[c.Name] == "" {
			return nil, fmt.Errorf("preparing the stack: no program of %s is given", c.Name)
		}
	}
	for _, p := range Places() {
		l, ok := o.Listeners[p.Name]
		if !ok {
			return nil, fmt.Errorf("preparing the stack: no listener for %s (%s)", p.Owner, p.Name)
		}
		s.addrs[p.Name] = l.Addr().String()
	}
	if len(o.Guard) == 0 {
		return nil, errors.New("preparing the stack: there is no guard to run the servers behind")
	}
	services := filepath.Join(o.Dir, "services")
	s.env = append(append([]string(nil), o.Env...), Env(s.addrs, services)...)
	for _, c := range components() {
		if err := s.prepare(c); err != nil {
			return nil, fmt.Errorf("preparing %s: %w", c.Name, err)
		}
	}
	s.spool = NewSpool(services)
	return s, nil
}

// Spool takes what the services write to standard output.
func (s *Stack) Spool() *Spool { return s.spool }

// ReadLog writes a service's output to files that Alloy follows. It returns when r
// ends.
func (s *Stack) ReadLog(service string, r io.Reader) error { return s.spool.Read(service, r) }

// Parts lists the servers in the order in which they start: what takes telemetry
// before what sends it.
func (s *Stack) Parts() ([]lab.Part, error) {
	var parts []lab.Part
	for _, c := range components() {
		p, err := s.Part(c.Name)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// Part returns one server, by its component's name. It can be called again for a
// server that has ended, to run it once more.
func (s *Stack) Part(name string) (lab.Part, error) {
	for _, c := range components() {
		if c.Name == name {
			return s.part(c)
		}
	}
	return lab.Part{}, fmt.Errorf("the stack has no component %q", name)
}

// prepare makes the component's directories and writes its configuration.
func (s *Stack) prepare(c component) error {
	if err := os.MkdirAll(s.data(c), 0o700); err != nil {
		return err
	}
	if err := copyConfigs(s.o.Configs, c.Name, s.config(c)); err != nil {
		return err
	}
	if c.Name == Prometheus {
		return writeTargets(filepath.Join(s.config(c), "targets"), s.o.Targets)
	}
	return nil
}

func (s *Stack) dir(c component) string    { return filepath.Join(s.o.Dir, c.Name) }
func (s *Stack) data(c component) string   { return filepath.Join(s.dir(c), "data") }
func (s *Stack) config(c component) string { return filepath.Join(s.dir(c), "config") }

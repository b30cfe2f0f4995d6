package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report gathers the results as Markdown.
type report struct {
	plan plan
	text strings.Builder
}

func newReport(p plan) *report { return &report{plan: p} }

func (r *report) heading(title string)        { r.line("\n## %s\n", title) }
func (r *report) line(f string, args ...any)  { fmt.Fprintf(&r.text, f+"\n", args...) }
func (r *report) row(name string, c []string) { r.line("| %s | %s |", name, strings.Join(c, " | ")) }

func (r *report) progress(f string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+f+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}

// save writes the results with a description of the machine.
func (r *report) save(name string, parts []string) error {
	version, err := exec.Command(r.plan.dicelab, "version").Output()
	if err != nil {
		return fmt.Errorf("asking %s for its version: %w", r.plan.dicelab, err)
	}
	head := fmt.Sprintf(`# Results

Written by %s on %s: %d × %s, %s/%s, %s. Other work on the machine
moves times; ratios, and CPU times for each request or span, hold better.

%s
`, "`make bench`", time.Now().UTC().Format("2 January 2006"), runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		"Measured: `"+strings.Join(strings.Fields(string(version)), " ")+"`, "+r.plan.scale.name+" run, "+strings.Join(parts, " and ")+".")
	return os.WriteFile(name, []byte(head+r.text.String()), 0o644)
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor"
}

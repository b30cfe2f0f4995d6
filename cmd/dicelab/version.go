package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is the version of a release, set by the linker
// (-ldflags "-X main.release=v1.2.3").
var release string

// version returns the version that "dicelab version", the roller's API and the resource attribute
// service.version report.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0-dev"
}

type versionCommand struct{}

// Run prints version, commit and Go version.
func (versionCommand) Run(env environment) error {
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	_, err := fmt.Fprintf(env.stdout, "dicelab %s, commit %s, %s %s/%s\n",
		version(), commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// copyConfigs writes the files of a component into dir, in place of those that
// another version of the lab may have left there.
func copyConfigs(from fs.FS, component, dir string) error {
	entries, err := fs.ReadDir(from, component)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its folder %s is missing among the configurations", component)
	}
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		text, err := fs.ReadFile(from, path.Join(component, e.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// targetGroup is an entry of a file that Prometheus discovers targets from
// (https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config).
type targetGroup struct {
	Targets []string `json:"targets"`
}

// writeTargets writes one file a job.
func writeTargets(dir string, targets []Target) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, t := range targets {
		text, err := json.Marshal([]targetGroup{{Targets: []string{t.Address}}})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, t.Job+".json"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

package grafana

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// Where the files are, beneath the folder that has the component folders.
const (
	dataSourcesPath = "grafana/provisioning/datasources/dicelab.yaml"
	providersPath   = "grafana/provisioning/dashboards/dicelab.yaml"
)

// Files are the files that Grafana reads.
type Files struct {
	Dashboard   Dashboard
	DataSources DataSources
	Provider    Provider
}

// Provider names the directory in which Grafana finds dashboards.
type Provider struct {
	Name           string `yaml:"name"`
	Type           string `yaml:"type"`
	Folder         string `yaml:"folder"`
	NoDeletion     bool   `yaml:"disableDeletion"`
	AllowUIUpdates bool   `yaml:"allowUiUpdates"`
	UpdateSeconds  int    `yaml:"updateIntervalSeconds"`
	Options        struct {
		Path string `yaml:"path"` // inside the container
	} `yaml:"options"`
}

// Load reads the files beneath a folder such as stack.Configs.
func Load(from fs.FS) (Files, error) {
	text, err := fs.ReadFile(from, Stage2Path)
	if err != nil {
		return Files{}, fmt.Errorf("reading Grafana's dashboard: %w", err)
	}
	d, err := Decode(text)
	if err != nil {
		return Files{}, fmt.Errorf("reading %s: %w", Stage2Path, err)
	}
	if text, err = fs.ReadFile(from, dataSourcesPath); err != nil {
		return Files{}, fmt.Errorf("reading Grafana's data sources: %w", err)
	}
	sources, err := DecodeDataSources(text)
	if err != nil {
		return Files{}, fmt.Errorf("reading %s: %w", dataSourcesPath, err)
	}
	if text, err = fs.ReadFile(from, providersPath); err != nil {
		return Files{}, fmt.Errorf("reading Grafana's dashboard providers: %w", err)
	}
	var providers struct {
		APIVersion int        `yaml:"apiVersion"`
		Providers  []Provider `yaml:"providers"`
	}
	if err := decodeYAML(text, &providers); err != nil {
		return Files{}, fmt.Errorf("reading %s: %w", providersPath, err)
	}
	if providers.APIVersion != 1 || len(providers.Providers) != 1 {
		return Files{}, fmt.Errorf("reading %s: want one provider, and apiVersion 1", providersPath)
	}
	return Files{Dashboard: d, DataSources: sources, Provider: providers.Providers[0]}, nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

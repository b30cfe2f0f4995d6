package logline

import (
	"slices"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
)

// unknownService is the service_name of a stream without a label that names a service.
const unknownService = "unknown_service"

// serviceLabels are the labels whose value becomes the service_name of a stream, the
// first that is set (Loki, limits_config, discover_service_name).
func serviceLabels() []string {
	return []string{
		"service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container", "container_name",
		"k8s_container_name", "component", "workload", "job", "k8s_job_name",
	}
}

// Discover sets the label service_name and the structured metadata detected_level of
// lines that lack them (Loki, limits_config, discover_service_name and
// discover_log_levels).
func Discover(lines []store.Line) {
	for i := range lines {
		line := &lines[i]
		if _, ok := line.Stream[contract.StreamService]; !ok { // lines of a stream share their labels
			line.Stream[contract.StreamService] = serviceOf(line.Stream)
		}
		if line.Metadata == nil {
			line.Metadata = make(map[string]string, 1)
		}
		line.Metadata[detectedLevel] = Level(line.Stream, line.Metadata, line.Text)
	}
}

func serviceOf(labels map[string]string) string {
	names := serviceLabels()
	i := slices.IndexFunc(names, func(name string) bool { return labels[name] != "" })
	if i < 0 {
		return unknownService
	}
	return labels[names[i]]
}

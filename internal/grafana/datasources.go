package grafana

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// DataSources are data source files as Grafana provisions them.
type DataSources struct {
	Prometheus DataSource[PrometheusData]
	Loki       DataSource[LokiData]
	Tempo      DataSource[TempoData]
}

// DataSource is a data source of one type, whose own settings are T.
type DataSource[T any] struct {
	Name, UID, Type string
	URL             string
	Data            T
}

// PrometheusData is jsonData of a Prometheus data source.
type PrometheusData struct {
	HTTPMethod           string                `yaml:"httpMethod"`
	PrometheusType       string                `yaml:"prometheusType"`
	TimeInterval         string                `yaml:"timeInterval"`
	ManageAlerts         bool                  `yaml:"manageAlerts"`
	ExemplarDestinations []ExemplarDestination `yaml:"exemplarTraceIdDestinations"`
}

// ExemplarDestination names the label of an exemplar that has a trace ID, and the data source of
// its link.
type ExemplarDestination struct {
	Name            string `yaml:"name"` // of the label
	DatasourceUID   string `yaml:"datasourceUid"`
	URLDisplayLabel string `yaml:"urlDisplayLabel"`
}

// LokiData is jsonData of a Loki data source.
type LokiData struct {
	MaxLines      int            `yaml:"maxLines"`
	DerivedFields []DerivedField `yaml:"derivedFields"`
}

// DerivedField is a field that Grafana makes of a log line, with a link.
type DerivedField struct {
	Name string `yaml:"name"`
	// MatcherType is "label" (MatcherRegex finds the name of a label) or "regex",
	// the default (its first group finds the value in the line).
	MatcherType     string `yaml:"matcherType"`
	MatcherRegex    string `yaml:"matcherRegex"`
	URL             string `yaml:"url"` // for a data source: the query
	DatasourceUID   string `yaml:"datasourceUid"`
	URLDisplayLabel string `yaml:"urlDisplayLabel"`
}

// TempoData is jsonData of a Tempo data source.
type TempoData struct {
	TracesToLogs    TracesToLogs    `yaml:"tracesToLogsV2"`
	TracesToMetrics TracesToMetrics `yaml:"tracesToMetrics"`
	ServiceMap      struct {
		DatasourceUID string `yaml:"datasourceUid"`
	} `yaml:"serviceMap"`
	NodeGraph struct {
		Enabled bool `yaml:"enabled"`
	} `yaml:"nodeGraph"`
	Search struct {
		Hide bool `yaml:"hide"`
	} `yaml:"search"`
}

// TracesToLogs is the link from a span to log lines.
type TracesToLogs struct {
	DatasourceUID      string `yaml:"datasourceUid"`
	SpanStartTimeShift string `yaml:"spanStartTimeShift"`
	SpanEndTimeShift   string `yaml:"spanEndTimeShift"`
	Tags               []Tag  `yaml:"tags"`
	FilterByTraceID    bool   `yaml:"filterByTraceID"`
	FilterBySpanID     bool   `yaml:"filterBySpanID"`
	CustomQuery        bool   `yaml:"customQuery"`
	Query              string `yaml:"query"`
}

// TracesToMetrics are the links from a span to metrics.
type TracesToMetrics struct {
	DatasourceUID      string       `yaml:"datasourceUid"`
	SpanStartTimeShift string       `yaml:"spanStartTimeShift"`
	SpanEndTimeShift   string       `yaml:"spanEndTimeShift"`
	Tags               []Tag        `yaml:"tags"`
	Queries            []NamedQuery `yaml:"queries"`
}

// NamedQuery is a query with the name of its link.
type NamedQuery struct {
	Name  string `yaml:"name"`
	Query string `yaml:"query"`
}

// Tag names an attribute of a span and, if it is called otherwise there, the label
// that it becomes.
type Tag struct {
	Key   string `yaml:"key"`
	Value string `yaml:"value"`
}

// dataSourceFile is the file's own shape.
type dataSourceFile struct {
	APIVersion  int `yaml:"apiVersion"`
	Datasources []struct {
		Name      string    `yaml:"name"`
		UID       string    `yaml:"uid"`
		Type      string    `yaml:"type"`
		Access    string    `yaml:"access"`
		URL       string    `yaml:"url"`
		IsDefault bool      `yaml:"isDefault"`
		JSONData  yaml.Node `yaml:"jsonData"`
	} `yaml:"datasources"`
}

// DecodeDataSources reads a data source file, strictly: one data source of each
// type, on its fixed uid.
func DecodeDataSources(text []byte) (DataSources, error) {
	var file dataSourceFile
	var out DataSources
	if err := decodeYAML(text, &file); err != nil {
		return out, fmt.Errorf("decoding data sources: %w", err)
	}
	seen := map[string]bool{}
	for _, s := range file.Datasources {
		if seen[s.Type] {
			return out, fmt.Errorf("decoding data sources: there are two of type %s", s.Type)
		}
		if seen[s.Type] = true; s.Access != "proxy" || s.URL == "" || s.Name == "" {
			return out, fmt.Errorf("decoding data source %q: it needs a name, a url, and access: proxy", s.UID)
		}
		var err error
		switch {
		case s.Type == TypePrometheus && s.UID == UIDPrometheus:
			out.Prometheus = DataSource[PrometheusData]{Name: s.Name, UID: s.UID, Type: s.Type, URL: s.URL}
			err = decodeNode(s.JSONData, &out.Prometheus.Data)
		case s.Type == TypeLoki && s.UID == UIDLoki:
			out.Loki = DataSource[LokiData]{Name: s.Name, UID: s.UID, Type: s.Type, URL: s.URL}
			err = decodeNode(s.JSONData, &out.Loki.Data)
		case s.Type == TypeTempo && s.UID == UIDTempo:
			out.Tempo = DataSource[TempoData]{Name: s.Name, UID: s.UID, Type: s.Type, URL: s.URL}
			err = decodeNode(s.JSONData, &out.Tempo.Data)
		default:
			err = errors.New("want prometheus, loki or tempo, with a uid like its type")
		}
		if err != nil {
			return out, fmt.Errorf("decoding data source %q of type %q: %w", s.UID, s.Type, err)
		}
	}
	if len(seen) != 3 || file.APIVersion != 1 {
		return out, fmt.Errorf("decoding data sources: want one each of prometheus, loki and tempo, and apiVersion 1")
	}
	return out, nil
}

// decodeYAML reads one document after doing what Grafana does first: it puts
// variables of the environment in place of $NAME, and a dollar sign in place of
// two. The lab's files need no environment, so that a lone dollar sign is an
// error: Grafana would take it away.
func decodeYAML(text []byte, into any) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return err
	}
	if err := undouble(&doc); err != nil {
		return err
	}
	return decodeNode(doc, into)
}

func decodeNode(n yaml.Node, into any) error {
	text, err := yaml.Marshal(&n)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func undouble(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		parts := strings.Split(n.Value, "$$")
		for _, part := range parts {
			if _, name, ok := strings.Cut(part, "$"); ok {
				return fmt.Errorf("line %d: Grafana would put a variable of the environment in place of $%s: write $$", n.Line, name)
			}
		}
		n.Value = strings.Join(parts, "$")
	}
	for _, inner := range n.Content {
		if err := undouble(inner); err != nil {
			return err
		}
	}
	return nil
}

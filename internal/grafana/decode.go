package grafana

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Decode reads a dashboard, such as one that was edited and saved in Grafana. It
// leaves out the fields that this package does not use.
func Decode(text []byte) (Dashboard, error) {
	var d Dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		return Dashboard{}, fmt.Errorf("decoding a dashboard: %w", err)
	}
	if len(d.Panels) == 0 {
		return Dashboard{}, errors.New("decoding a dashboard: it has no panels: want the JSON model of a dashboard")
	}
	return d, nil
}

// Encode writes a dashboard as its file has it.
func (d Dashboard) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // queries have < and > in them
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("encoding a dashboard: %w", err)
	}
	return b.Bytes(), nil
}

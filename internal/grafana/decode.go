package grafana

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Decode reads a dashboard, strictly.
func Decode(text []byte) (Dashboard, error) {
	var d Dashboard
	if err := decodeJSON(text, &d); err != nil {
		return Dashboard{}, fmt.Errorf("decoding a dashboard: %w", err)
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

// UnmarshalJSON reads a panel, whose options depend on its type.
func (p *Panel) UnmarshalJSON(text []byte) error {
	type plain Panel // without this method
	var raw struct {
		*plain
		Options json.RawMessage `json:"options"`
	}
	raw.plain = (*plain)(p)
	if err := decodeJSON(text, &raw); err != nil {
		return fmt.Errorf("panel %d, %q: %w", p.ID, p.Title, err)
	}
	options := newOptions(p.Type)
	switch {
	case options == nil && p.Type != PanelRow:
		return fmt.Errorf("panel %d, %q: type %q is not known", p.ID, p.Title, p.Type)
	case options == nil && raw.Options != nil:
		return fmt.Errorf("panel %d, %q: a row has no options", p.ID, p.Title)
	case options == nil:
		return nil
	case raw.Options == nil:
		return fmt.Errorf("panel %d, %q: it has no options", p.ID, p.Title)
	}
	if err := decodeJSON(raw.Options, options); err != nil {
		return fmt.Errorf("panel %d, %q: options: %w", p.ID, p.Title, err)
	}
	p.Options = options
	return nil
}

// decodeJSON reads one value and nothing else.
func decodeJSON(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the end")
	}
	return nil
}

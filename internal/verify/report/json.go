package report

import (
	"bytes"
	"encoding/json"
	"fmt"

	"dicelab/internal/verify"
)

// JSON encodes a report for programs.
func JSON(r verify.Report) ([]byte, error) {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(r); err != nil {
		return nil, fmt.Errorf("encoding the report: %w", err)
	}
	return text.Bytes(), nil
}

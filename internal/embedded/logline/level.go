package logline

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/grafana/jsonparser"
	"go.opentelemetry.io/collector/pdata/plog"
)

// The structured metadata that carry a level.
const (
	detectedLevel  = "detected_level"
	severityNumber = "severity_number"
	severityText   = "severity_text"
)

// The values of detected_level, besides others that a sender has set.
const (
	levelTrace    = "trace"
	levelDebug    = "debug"
	levelInfo     = "info"
	levelWarn     = "warn"
	levelError    = "error"
	levelCritical = "critical"
	levelFatal    = "fatal"
	levelUnknown  = "unknown"
)

// levelFields are the names of labels and fields that carry a level, the first that is
// set counts (Loki, limits_config, log_level_fields).
func levelFields() []string {
	return []string{
		"level", "LEVEL", "Level", "log.level", "severity", "SEVERITY", "Severity", "SeverityText",
		"lvl", "LVL", "Lvl", severityText, "Severity_Text", "SEVERITY_TEXT",
	}
}

// maxLevelDepth is the depth of objects in a JSON line in which a level is looked for
// (Loki, limits_config, log_level_from_json_max_depth).
const maxLevelDepth = 2

// Level returns the detected_level of a line: what a label says, else structured
// metadata, else OTLP's severity number, else a field of the text, else a word in it.
// It returns "unknown" if there is none.
func Level(labels, metadata map[string]string, text string) string {
	if set, ok := metadata[detectedLevel]; ok {
		return normalise(set)
	}
	for _, from := range []map[string]string{labels, metadata} {
		for _, name := range levelFields() {
			if value, ok := from[name]; ok {
				return normalise(value)
			}
		}
	}
	if number, ok := metadata[severityNumber]; ok {
		return levelOfSeverity(number)
	}
	if level := known(levelInText(text)); level != "" {
		return level
	}
	return levelOfWords(text)
}

// normalise returns the usual name of a level, or an unknown one unchanged.
func normalise(level string) string {
	if name := known(level); name != "" {
		return name
	}
	return level
}

// known returns the usual name of a level, or "".
func known(level string) string {
	switch strings.ToLower(level) {
	case "trace", "trc":
		return levelTrace
	case "debug", "dbg":
		return levelDebug
	case "info", "inf", "information":
		return levelInfo
	case "warn", "wrn", "warning":
		return levelWarn
	case "error", "err":
		return levelError
	case "critical":
		return levelCritical
	case "fatal":
		return levelFatal
	}
	return ""
}

// levelOfSeverity returns the level of a severity number (OpenTelemetry, Logs Data
// Model, SeverityNumber).
func levelOfSeverity(text string) string {
	n, err := strconv.Atoi(text)
	switch severity := plog.SeverityNumber(n); {
	case err != nil:
		return levelInfo
	case severity <= plog.SeverityNumberUnspecified || severity > plog.SeverityNumberFatal4:
		return levelUnknown
	case severity <= plog.SeverityNumberTrace4:
		return levelTrace
	case severity <= plog.SeverityNumberDebug4:
		return levelDebug
	case severity <= plog.SeverityNumberInfo4:
		return levelInfo
	case severity <= plog.SeverityNumberWarn4:
		return levelWarn
	case severity <= plog.SeverityNumberError4:
		return levelError
	}
	return levelFatal
}

// levelInText returns the value of a field of a line in JSON or logfmt that carries a
// level, or "".
func levelInText(text string) string {
	trimmed := strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(trimmed, "{") && strings.HasSuffix(trimmed, "}"):
		return levelInJSON([]byte(trimmed), maxLevelDepth)
	case strings.Contains(text, "="):
		return levelInLogfmt(text)
	}
	return ""
}

var errFound = errors.New("found")

// levelInJSON returns the first text of an object that is at a name of a level, in it
// or in the objects in it, down to depth levels.
func levelInJSON(object []byte, depth int) (level string) {
	names := levelFields()
	_ = jsonparser.ObjectEach(object, func(key, value []byte, kind jsonparser.ValueType, _ int) error { // broken JSON has no level
		if kind == jsonparser.String && slices.Contains(names, string(key)) {
			level = string(value)
		}
		if kind == jsonparser.Object && depth > 1 {
			level = levelInJSON(value, depth-1)
		}
		if level != "" {
			return errFound
		}
		return nil
	})
	return level
}

// levelInLogfmt returns the value of the field whose name is first in the list of names,
// in upper or lower case.
func levelInLogfmt(text string) (level string) {
	names := levelFields()
	best := len(names)
	for best > 0 {
		key, rest, ok := strings.Cut(text, "=")
		if !ok {
			break
		}
		key = key[strings.LastIndexAny(key, " \t\n")+1:]
		var value string
		value, text = logfmtValue(rest)
		if i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, key) }); i >= 0 && i < best {
			level, best = value, i
		}
	}
	return level
}

// logfmtValue splits a text after "=" into the value, without its quotes, and the rest.
func logfmtValue(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		if i := strings.IndexAny(text, " \t\n"); i >= 0 {
			return text[:i], text[i:]
		}
		return text, ""
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[1:i], text[i+1:]
		}
	}
	return "", ""
}

// wordLevels lists the words that give away the level of a line without fields, in the
// order in which they are looked for.
func wordLevels() []struct {
	level string
	words []string
} {
	return []struct {
		level string
		words []string
	}{
		{levelInfo, []string{"info", "INFO"}},
		{levelError, []string{"err:", "ERR:", "[err]", "[ERR]", "[error]", "[ERROR]"}},
		{levelWarn, []string{"warn:", "WARN:", "[warn]", "[WARN]", "warning", "WARNING"}},
		{levelCritical, []string{"critical:", "CRITICAL:", "[critical]", "[CRITICAL]"}},
		{levelDebug, []string{"debug", "DEBUG"}},
	}
}

func levelOfWords(text string) string {
	line := []byte(text)
	for _, l := range wordLevels() {
		if slices.ContainsFunc(l.words, func(word string) bool { return bytes.Contains(line, []byte(word)) }) {
			return l.level
		}
	}
	return levelUnknown
}

package query

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dicelab/internal/contract"
)

// The levels of log lines, from the least to the most severe, as Level returns them
// whatever a program calls them.
const (
	LevelTrace    = "TRACE"
	LevelDebug    = "DEBUG"
	LevelInfo     = contract.LevelInfo
	LevelWarning  = contract.LevelWarning
	LevelError    = contract.LevelError
	LevelCritical = "CRITICAL"
)

// Level returns the line's level in capitals, or "". It looks into metadata, labels and
// fields, under the names that logging libraries use, and then into the text. A level
// that goes by another spelling is returned as the one of the constants that it means.
func (l LogLine) Level() string {
	for _, key := range []string{contract.StreamLevel, "severity_text", "severity", "detected_level", "lvl", "loglevel", "log.level"} {
		v := l.any(key)
		if v == "" {
			if i := slices.IndexFunc(l.Fields, func(f Field) bool { return strings.EqualFold(f.Key, key) }); i >= 0 {
				v = l.Fields[i].Value
			}
		}
		if v != "" && v != "unknown" { // which is Loki's for none
			return NormalLevel(v)
		}
	}
	return textLevel(l.Text)
}

// LevelKey reports whether a field of a line has its level.
func LevelKey(key string) bool {
	switch strings.ToLower(key) {
	case contract.FieldLevel, "severity", "severity_text", "lvl", "loglevel", "log.level":
		return true
	}
	return false
}

// NormalLevel returns the constant that a level means, or the level in capitals.
func NormalLevel(text string) string {
	if n, err := strconv.Atoi(text); err == nil {
		return numberLevel(n, text)
	}
	switch strings.ToLower(text) {
	case "trace", "trc", "verbose", "vrb", "finest", "finer":
		return LevelTrace
	case "debug", "dbg", "fine":
		return LevelDebug
	case "info", "inf", "information", "informational", "notice":
		return LevelInfo
	case "warn", "warning", "wrn":
		return LevelWarning
	case "error", "err", "eror", "severe":
		return LevelError
	case "critical", "crit", "fatal", "ftl", "panic", "dpanic", "alert", "emerg", "emergency":
		return LevelCritical
	}
	return strings.ToUpper(text)
}

// numberLevel returns the level of a number: of syslog up to 7 (RFC 5424, table 2), of
// pino and Bunyan from 10 on.
func numberLevel(n int, text string) string {
	syslog := []string{LevelCritical, LevelCritical, LevelCritical, LevelError, LevelWarning, LevelInfo, LevelInfo, LevelDebug}
	pino := []string{LevelTrace, LevelDebug, LevelInfo, LevelWarning, LevelError, LevelCritical}
	switch {
	case n >= 0 && n < len(syslog):
		return syslog[n]
	case n >= 10 && n < 70:
		return pino[n/10-1]
	}
	return text
}

var (
	// logfmtLevel finds the level of a line in the form of key=value pairs.
	logfmtLevel = regexp.MustCompile(`(?i)(?:^|\s)(?:level|lvl|severity)="?([a-z]+)`)
	// wordLevel finds the level of a plain line: a word in capitals.
	wordLevel = regexp.MustCompile(`(?:^|[\s\[(<|])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL|PANIC)(?:$|[\s\])>|:])`)
	// ansi finds the control sequences of terminals (ECMA-48, section 5.4) and the
	// titles and links that they set.
	ansi = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
)

// textLevel finds the level near the beginning of a line that is not JSON.
func textLevel(text string) string {
	const near = 200 // bytes
	head := StripANSI(Clip(text, near))
	if strings.HasPrefix(head, "{") {
		return ""
	}
	for _, form := range []*regexp.Regexp{logfmtLevel, wordLevel} {
		if m := form.FindStringSubmatch(head); m != nil {
			return NormalLevel(m[1])
		}
	}
	return ""
}

// StripANSI returns a text without the sequences that colour it in a terminal.
func StripANSI(text string) string {
	if !strings.Contains(text, "\x1b") {
		return text
	}
	return ansi.ReplaceAllString(text, "")
}

// messageKeys returns the names under which logging libraries write the message.
func messageKeys() []string {
	return []string{contract.FieldMessage, "msg", "Message", "@message", "short_message"}
}

// MessageKey reports whether a field of a line has its message.
func MessageKey(key string) bool { return slices.Contains(messageKeys(), key) }

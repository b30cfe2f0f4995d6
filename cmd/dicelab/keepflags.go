package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"dicelab/internal/pocket/store"
)

// keepFlags are the bounds of what the embedded stack's store keeps.
type keepFlags struct {
	traces, logs *time.Duration
	size         *int64
}

const (
	keepTraces = "keep-traces"
	keepLogs   = "keep-logs"
	keepSize   = "keep-size"

	leastAge  = time.Minute
	mostAge   = 10 * 365 * 24 * time.Hour
	leastSize = 16 << 20
	mostSize  = 1 << 40
)

func defineKeep(f *flags) *keepFlags {
	return &keepFlags{
		traces: f.duration(keepTraces, store.DefaultTraceAge, leastAge, mostAge, "`time` that the embedded stack keeps traces"),
		logs:   f.duration(keepLogs, store.DefaultLogAge, leastAge, mostAge, "`time` that the embedded stack keeps log lines"),
		size:   f.size(keepSize, store.DefaultMaxBytes, leastSize, mostSize, "`size` of the traces and log lines that the embedded stack keeps; of more, the oldest go"),
	}
}

// names are those of the flags.
func (k *keepFlags) names() []string { return []string{keepTraces, keepLogs, keepSize} }

func (k *keepFlags) options() store.Options {
	return store.Options{TraceAge: *k.traces, LogAge: *k.logs, MaxBytes: *k.size}
}

// size defines a flag for a number of bytes from least to most.
func (f *flags) size(name string, preset, least, most int64, usage string) *int64 {
	return define(f, name, usage, &value[int64]{at: &preset, text: sizeText, parse: func(s string) (int64, error) {
		n, err := humanize.ParseBytes(s)
		if err != nil || n < uint64(least) || n > uint64(most) {
			return 0, fmt.Errorf("want a size from %s to %s, such as %s", sizeText(least), sizeText(most), sizeText(preset))
		}
		return int64(n), nil
	}})
}

// sizeText writes a number of bytes in the largest unit that it is a multiple of.
func sizeText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return fmt.Sprint(n, units[i])
}

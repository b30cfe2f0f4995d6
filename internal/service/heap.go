package service

import (
	"runtime/debug"

	"dicelab/internal/lab"
)

// Bounds of a service's heap. Little is in use, a few megabytes, so that under
// load the runtime's own bound, twice that, means a hundred collections a second
// and a fifth of the CPU time. With gcPercent it is collected at 40 MB (4 MB is
// the runtime's least, times this), and with thousands of connections, which hold
// more, as often as memoryLimit (bytes) asks for. GOGC and GOMEMLIMIT win.
const (
	gcPercent   = 1000
	memoryLimit = 512 << 20
)

func boundHeap(getenv func(string) string) error {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	_, err := lab.LimitMemory(getenv, lab.ShareOfProcess, memoryLimit)
	return err
}

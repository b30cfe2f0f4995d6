package metrics

import (
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/tsdb"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// tsdbStats is the part of v1.TSDBAdminStats that reads. The methods for administration,
// which are not served, are nil.
type tsdbStats struct {
	v1.TSDBAdminStats
	db *tsdb.DB
}

// Stats implements v1.TSDBAdminStats.
func (s tsdbStats) Stats(label string, limit int) (*tsdb.Stats, error) {
	return s.db.Head().Stats(label, limit), nil
}

// WALReplayStatus implements v1.TSDBAdminStats: the API is served when it has been
// replayed.
func (tsdbStats) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }

// noAlertmanagers is a v1.AlertmanagerRetriever of a lab without any.
type noAlertmanagers struct{}

// Alertmanagers implements v1.AlertmanagerRetriever.
func (noAlertmanagers) Alertmanagers() []*url.URL { return nil }

// DroppedAlertmanagers implements v1.AlertmanagerRetriever.
func (noAlertmanagers) DroppedAlertmanagers() []*url.URL { return nil }

// flags are the flags of the Prometheus server that have a setting here, as status/flags
// shows them.
func flags(opts *tsdb.Options, timeout time.Duration) map[string]string {
	return map[string]string{
		"query.lookback-delta":        model.Duration(lookback).String(),
		"query.max-samples":           fmt.Sprint(querySamples),
		"query.timeout":               model.Duration(timeout).String(),
		"storage.tsdb.retention.time": model.Duration(time.Duration(opts.RetentionDuration) * time.Millisecond).String(),
		"storage.tsdb.retention.size": fmt.Sprintf("%dB", opts.MaxBytes),
		"web.enable-admin-api":        "false",
		"web.enable-lifecycle":        "false",
	}
}

// runtimeInfo returns what status/runtimeinfo shows of the process, which began at a time.
func runtimeInfo(began time.Time, opts *tsdb.Options) func() (v1.RuntimeInfo, error) {
	return func() (v1.RuntimeInfo, error) {
		dir, err := os.Getwd()
		if err != nil {
			return v1.RuntimeInfo{}, err
		}
		host, err := os.Hostname()
		return v1.RuntimeInfo{
			StartTime: began, CWD: dir, Hostname: host, ServerTime: time.Now().UTC(), ReloadConfigSuccess: true, LastConfigTime: began,
			GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0), GOMEMLIMIT: debug.SetMemoryLimit(-1),
			GOGC: os.Getenv("GOGC"), GODEBUG: os.Getenv("GODEBUG"),
			StorageRetention: fmt.Sprintf("%s or %dB", model.Duration(time.Duration(opts.RetentionDuration)*time.Millisecond), opts.MaxBytes),
		}, err
	}
}

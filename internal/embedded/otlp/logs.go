package otlp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/logline"
	"dicelab/internal/embedded/senders"
	"dicelab/internal/embedded/streams"
)

func (r *Receiver) logs() *signal {
	return &signal{
		name: senders.Logs, items: "log records", path: "/v1/logs", method: collogspb.LogsService_Export_FullMethodName,
		batch: "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", shape: newShape((&collogspb.ExportLogsServiceRequest{}).ProtoReflect().Descriptor()),
		depth: maxNested, store: r.storeLogs,
		respond: func(rejected int64, message string) response {
			resp := &collogspb.ExportLogsServiceResponse{}
			if message != "" {
				resp.PartialSuccess = &collogspb.ExportLogsPartialSuccess{RejectedLogRecords: rejected, ErrorMessage: message}
			}
			return resp
		},
	}
}

// storeLogs stores the valid records of an export as log lines.
func (r *Receiver) storeLogs(ctx context.Context, e export) (o outcome, err error) {
	if r.opts.Lines == nil {
		return o, unsupported(errors.New("log records are not stored here"))
	}
	req := plogotlp.NewExportRequest()
	if err := e.decode(req); err != nil {
		return o, err
	}
	now := time.Now()
	lines, rejected, _ := r.opts.LineLimits.Sift(logline.FromOTLP(req.Logs(), now), now)
	if r.opts.Discover {
		logline.Discover(lines)
	}
	if len(lines) > 0 {
		err = r.opts.Lines.AppendLines(ctx, lines)
	}
	refused, partly := errors.AsType[*streams.RefusedError](err)
	if err != nil && !partly {
		return o, fmt.Errorf("storing log records, send them again later: %w", err)
	}
	for i, line := range lines {
		service := line.Stream[contract.StreamService]
		if partly && contains(refused.Refused, i) {
			rejected = intake.AddRejection(rejected, service, 1, refused)
			continue
		}
		o.add(service, 1)
	}
	o.rejected = rejected
	return o, nil
}

// contains reports whether a sorted list has an element.
func contains(sorted []int, i int) bool {
	_, found := slices.BinarySearch(sorted, i)
	return found
}

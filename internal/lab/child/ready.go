package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"dicelab/internal/wait"
)

const (
	// probeTimeout bounds one look, so that one that hangs is repeated.
	probeTimeout = 2 * time.Second
	// probeBody bounds what is read of an answer, in bytes.
	probeBody = 512
)

// awaitReady returns nil when url answers 200, and an error that repeats the
// last answer when it has not done so in time or ctx ended.
func awaitReady(ctx context.Context, url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not ready within %v", limit))
	defer cancel()
	return poll(ctx, url, func(status int, _ string) bool { return status == http.StatusOK })
}

// awaitDrained returns nil when url answers that nothing is under way any more
// (Gate), or when the process has exited.
func awaitDrained(ctx context.Context, url string, exited <-chan struct{}) error {
	errExited := errors.New("it exited")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-exited:
			cancel(errExited)
		case <-ctx.Done():
		}
	}()
	err := poll(ctx, url, func(status int, body string) bool {
		return status == http.StatusServiceUnavailable && strings.TrimSpace(body) == bodyDrained
	})
	if errors.Is(err, errExited) {
		return nil
	}
	return err
}

// poll requests url until accept returns true or ctx ends. Usually the first look at
// a child that starts is the last: its connection waits in the listener's queue.
func poll(ctx context.Context, url string, accept func(status int, body string) bool) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: probeTimeout}
	err := wait.Until(ctx, func(ctx context.Context) error {
		status, body, err := look(ctx, client, url)
		if err == nil && !accept(status, body) {
			err = fmt.Errorf("%s answered %d %q", url, status, body)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return nil
}

func look(ctx context.Context, client *http.Client, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, probeBody))
	return resp.StatusCode, strings.TrimSpace(string(b)), errors.Join(err, resp.Body.Close())
}

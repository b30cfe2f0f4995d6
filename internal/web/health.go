package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Alive answers /healthz: 200 as long as the process answers at all.
func Alive(w http.ResponseWriter, _ *http.Request) {
	Respond(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
}

// Ready answers /readyz of a service that takes requests as soon as it listens. While the service
// drains, child.Gate answers instead.
func Ready(w http.ResponseWriter, _ *http.Request) {
	Respond(w, http.StatusOK, "application/json", map[string]string{"status": "ready"})
}

// AskHealth requests a URL once, and returns the status of a response that is 200.
func AskHealth(ctx context.Context, address string, timeout time.Duration) (status string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Timeout: timeout}).Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		if err = e.Err; e.Timeout() { // without the URL, which it repeats
			err = fmt.Errorf("no answer within %v", timeout)
		}
	}
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", req.URL, err)
	}
	if err := resp.Body.Close(); err != nil {
		return "", fmt.Errorf("reading %s: %w", req.URL, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s", req.URL, resp.Status)
	}
	return resp.Status, nil
}

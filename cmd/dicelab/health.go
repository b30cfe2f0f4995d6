package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// health asks one URL, for container health checks and troubleshooting. It exits
// 0 if the answer is 200, 1 if it is not, 2 if URL is no address.
func health(ctx context.Context, env environment, f *flags) error {
	timeout := f.duration("timeout", 3*time.Second, time.Millisecond, time.Minute, "`time` to wait for the answer")
	if err := f.parse("URL"); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.Arg(0), nil)
	if err != nil || req.URL.Host == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return hint(usagef("health: %q is no address", f.Arg(0)), "write it as in: dicelab health http://localhost:8102/healthz")
	}
	client := &http.Client{Timeout: *timeout}
	resp, err := client.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		if err = e.Err; e.Timeout() { // without the URL, which it repeats
			err = fmt.Errorf("no answer within %v", *timeout)
		}
	}
	if err != nil {
		return fmt.Errorf("asking %s: %w", req.URL, err)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("reading %s: %w", req.URL, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", req.URL, resp.Status)
	}
	_, err = fmt.Fprintf(env.stdout, "%s answered %s\n", req.URL, resp.Status)
	return err
}

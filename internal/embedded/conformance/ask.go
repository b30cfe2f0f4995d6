package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Answer is the response of a server.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// Ask sends a query of the list to a stack that has the data set of that base. A response
// with an error status is no error of Ask.
func Ask(ctx context.Context, to Stack, q Query, base time.Time) (Answer, error) {
	params, err := q.values(base)
	if err != nil {
		return Answer{}, err
	}
	url, form := to.url(q.Server)+q.Path, ""
	header := q.Header.Clone()
	if q.Method == http.MethodPost {
		form = params.Encode()
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else if len(params) > 0 {
		url += "?" + params.Encode()
	}
	answer, err := request(ctx, q.Method, url, header, form)
	if err != nil {
		return Answer{}, fmt.Errorf("asking %s: %w", q.Name, err)
	}
	return answer, nil
}

// request sends a request and returns the response, whatever its status is.
func request(ctx context.Context, method, url string, header http.Header, body string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	content, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return Answer{}, err
	}
	return Answer{resp.StatusCode, resp.Header.Get("Content-Type"), content}, nil
}

func (s Stack) url(server string) string {
	switch server {
	case Prometheus:
		return s.Prometheus
	case Tempo:
		return s.Tempo
	default: // the list has no other
		return s.Loki
	}
}

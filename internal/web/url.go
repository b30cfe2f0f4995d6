package web

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// CheckURL returns an error if text is not an absolute URL of http or https.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("want an address with http:// or https://")
	}
	return nil
}

// BaseURL returns the URL of a service without the slash at its end, so that a path
// can follow. A query, a fragment and a password are refused: the URL goes into spans,
// log lines and pages. example is a good one, for the error.
func BaseURL(text, example string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err == nil && u.User != nil:
		return "", fmt.Errorf("URL %q: leave user and password out", u.Redacted())
	case CheckURL(text) != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return "", fmt.Errorf("URL %q: want an address such as %s", text, example)
	}
	return strings.TrimRight(text, "/"), nil
}

package web

import (
	"errors"
	"net/url"
)

// CheckURL returns an error if text is not an absolute URL of http or https.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("want an address with http:// or https://")
	}
	return nil
}

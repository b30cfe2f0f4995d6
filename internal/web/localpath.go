package web

import (
	"net/url"
	"strings"
)

// LocalPath reports whether text is a path of this server, with parameters or without,
// to which a browser can be redirected: no other host, and no scheme.
func LocalPath(text string) bool {
	if !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || strings.ContainsAny(text, "\\\r\n\t") {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && u.Host == "" && u.Scheme == ""
}

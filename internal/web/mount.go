package web

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
)

// basePath is what CheckBasePath accepts.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// CheckBasePath returns an error if text cannot be the path below which a reverse proxy
// serves pages: one such as /lab, without a final slash.
func CheckBasePath(text string) error {
	if !basePath.MatchString(text) {
		return errors.New("want a path such as /lab, of letters, digits and . _ ~ - without a / at its end")
	}
	return nil
}

// Mount serves next below a path: it takes the path from requests that have it, as those
// of a proxy that passes them on unchanged, and puts it before the addresses of redirects.
// Requests without it are served too, because most proxies leave it out.
func Mount(base string, next http.Handler) http.Handler {
	if base == "" {
		return next
	}
	stripped := http.StripPrefix(base, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = &mounted{w, base}
		switch {
		case r.URL.Path == base:
			http.Redirect(w, r, "/", http.StatusPermanentRedirect)
		case strings.HasPrefix(r.URL.Path, base+"/"):
			stripped.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// mounted is a response whose redirects lead below a path.
type mounted struct {
	http.ResponseWriter
	base string
}

// WriteHeader implements http.ResponseWriter.
func (m *mounted) WriteHeader(status int) {
	if to := m.Header().Get("Location"); strings.HasPrefix(to, "/") {
		m.Header().Set("Location", m.base+to)
	}
	m.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what the response can do.
func (m *mounted) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// Links returns a page with its links, forms and files below a path. Only attributes are
// changed: in text, templates write quotation marks as character references.
func Links(base string, page []byte) []byte {
	if base == "" {
		return page
	}
	var pairs []string
	for _, attribute := range []string{"href", "src", "action", "formaction", "data-again", "data-tail"} {
		pairs = append(pairs, " "+attribute+`="/`, " "+attribute+`="`+base+"/")
	}
	pairs = append(pairs, ";url=/", ";url="+base+"/") // of a refresh
	return []byte(strings.NewReplacer(pairs...).Replace(string(page)))
}

package web

import (
	"net/http"
	"net/url"
	"strings"
)

// Content security policies (W3C, Content Security Policy Level 3).
const (
	// PagePolicy lets a page load its own files and post to itself, and nothing
	// else: no other host, no inline script or style, no frame.
	PagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	// DataPolicy is for what is not meant as a page. Opened as one, it can do
	// nothing.
	DataPolicy = "default-src 'none'; frame-ancestors 'none'"
)

// HTML is the media type of pages.
const HTML = "text/html; charset=utf-8"

// Page sets the headers of a page, behind Guard.
func Page(h http.Header) {
	h.Set("Content-Type", HTML)
	h.Set("Content-Security-Policy", PagePolicy)
	h.Set("Referrer-Policy", "same-origin")
}

// maxForm bounds the body of a form, in bytes. The longest that a page sends is
// a query.
const maxForm = 64 << 10

// Guard stands in front of a handler and
//   - refuses a name in the header Host that is neither localhost nor one of
//     hosts, so that a page elsewhere cannot reach the lab by pointing its own
//     name at this machine (DNS rebinding); see refuseHost for addresses,
//   - refuses requests of pages of other origins, except for a link that the user
//     opens; NoLinks refuses that too,
//   - sets the security headers of answers that are data; see Page for others.
func Guard(next http.Handler, hosts ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", DataPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		if p := refuseHost(r, hosts); p != nil {
			Fail(w, p)
			return
		}
		if p := refuseOrigin(r); p != nil {
			Fail(w, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// GuardForms is Guard for pages and APIs that take short forms: it bounds the
// body too.
func GuardForms(next http.Handler, hosts ...string) http.Handler {
	return Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		}
		next.ServeHTTP(w, r)
	}), hosts...)
}

// NoLinks refuses links from pages of other origins, which Guard lets pass. It is
// for a GET that has an effect or sends a file, because a script can follow a link
// without a click, and a page that follows links to files stays open.
func NoLinks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if foreign(r) {
			Fail(w, &Problem{Status: http.StatusForbidden,
				Detail: "This link stands on a page of another site, and would do more than show a page. Type its address into the address bar."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuseOrigin returns the problem of a request from a page of another origin,
// or nil.
func refuseOrigin(r *http.Request) *Problem {
	if !foreign(r) || opensLink(r) {
		return nil
	}
	detail := "A page of another site requested this. Open http://" + r.Host + "/ itself, by a link or in the address bar."
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		detail = "A page of another site sent this. Open http://" + r.Host + "/ and send it from there; a program can send it without the header Origin."
	}
	return &Problem{Status: http.StatusForbidden, Detail: detail}
}

// foreign reports whether a page of another origin made the request. Every port
// of a machine is an origin of its own.
//
// Browsers set the header Sec-Fetch-Site (W3C, Fetch Metadata Request Headers) if
// the address is localhost, an IP address of the loopback interface, or https. For
// other addresses, and in older browsers, there is only Origin: it is sent with
// posts, with fetch and with WebSocket, but not with images and scripts. Requests
// of programs have neither header and are never foreign.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none": // none: typed, or a bookmark
		return false
	case "":
		origin := r.Header.Get("Origin")
		if origin == "" {
			return false
		}
		u, err := url.Parse(origin)
		return err != nil || u.Host != r.Host // an opaque origin, "null", has no host
	}
	return true // cross-site, same-site, or a word that is not known yet
}

// opensLink reports whether the request opens a page in a browser's window: a link
// or a form with the method GET, in a tab of its own. A frame, an object, a
// prefetch and everything that a script loads is none.
func opensLink(r *http.Request) bool {
	h := r.Header
	return r.Method == http.MethodGet && h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document" &&
		!strings.Contains(h.Get("Sec-Purpose"), "prefetch")
}

package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
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
//   - refuses a request that came in over loopback under a name that is not a
//     loopback name or one of hosts, so that a page elsewhere cannot reach the
//     lab by pointing its own name at 127.0.0.1 (DNS rebinding),
//   - refuses posts from pages of another origin,
//   - sets the security headers of answers that are data; see Page for others.
//
// Requests that come in over another interface (a container's network, say) may
// use any name: there the address was opened to others on purpose.
func Guard(next http.Handler, hosts ...string) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Fail(w, &Problem{Status: http.StatusForbidden,
			Detail: "This form was sent by a page of another site. Open " + "http://" + r.Host + "/ and send it from there."})
	}))
	next = cross.Handler(next)
	// Answers share these values: whoever sets one of the headers puts another in
	// its place, and whoever adds to it gets a copy.
	policy, nosniff := []string{DataPolicy}, []string{"nosniff"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Security-Policy"] = policy
		h["X-Content-Type-Options"] = nosniff
		if p := refuseHost(r, hosts); p != nil {
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

// refuseHost is the problem of a request whose Host is not served, or nil.
func refuseHost(r *http.Request, hosts []string) *Problem {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return nil
	}
	name := hostname(r.Host)
	if ip, err := netip.ParseAddr(name); err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback() {
		return nil
	}
	allowed := func(host string) bool { return strings.EqualFold(host, name) }
	if allowed("localhost") || slices.ContainsFunc(hosts, allowed) {
		return nil
	}
	return &Problem{Status: http.StatusMisdirectedRequest, Parameter: "Host", Value: r.Host,
		Detail: fmt.Sprintf("This machine does not serve the host %q. Use http://localhost:%d, or allow the name with --allow-host.", r.Host, local.Port)}
}

// hostname is a Host header without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.Trim(host, "[]")
}

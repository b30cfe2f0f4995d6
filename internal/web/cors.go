package web

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// preflightAge is the time in seconds for which browsers keep the answer to a preflight.
const preflightAge = "7200"

// AnyOrigin is the origin that stands for all of them.
const AnyOrigin = "*"

// CheckOrigin returns an error if text is neither an origin nor [AnyOrigin].
func CheckOrigin(text string) error {
	u, err := url.Parse(text)
	if text == AnyOrigin || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == text {
		return nil
	}
	return errors.New("want an origin such as https://shop.example, without a path, or * for all")
}

// GuardCORS is [Guard] for an API that pages of other origins may post to (Fetch Standard,
// section 3.3): pages of this machine's own names, and of origins, in which [AnyOrigin]
// stands for all. flag is the flag that allows an origin, for the answer to others.
func GuardCORS(next http.Handler, origins []string, flag string, hosts ...string) http.Handler {
	guarded := Guard(next, hosts...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" || !foreign(r) || r.Method != http.MethodPost && r.Method != http.MethodOptions {
			guarded.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", DataPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Vary", "Origin")
		if p := refuseHost(r, hosts); p != nil {
			Fail(w, p)
			return
		}
		if !localOrigin(origin) && !slices.Contains(origins, origin) && !slices.Contains(origins, AnyOrigin) {
			Fail(w, &Problem{Status: http.StatusForbidden, Parameter: "Origin", Value: origin,
				Detail: "Pages of this origin may not send here. Allow it with " + flag + " " + origin + "."})
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", http.MethodPost)
			h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
			h.Set("Access-Control-Max-Age", preflightAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localOrigin reports whether an origin is a server of this machine: on localhost, a name
// below it, or a loopback address.
func localOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

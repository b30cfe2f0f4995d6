package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// CheckHost returns an error if name cannot be one of Guard's hosts: a name
// without scheme, port and wildcard, of at most 253 bytes (RFC 1035).
func CheckHost(name string) error {
	bad := func(r rune) bool {
		return !(r == '-' || r == '.' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	if name == "" || len(name) > 253 || strings.ContainsFunc(name, bad) {
		return errors.New("want a name such as lab.example, without scheme and port")
	}
	return nil
}

// refuseHost returns the problem of a request whose header Host is not served, or
// nil.
//
// The danger is a name that its owner points at this machine: the browser then
// takes the lab for a part of the owner's site. So a name must be localhost or
// one of hosts, on every interface, since what comes through a published port of
// a container does not come over loopback. An IP address has no owner to point it
// elsewhere. Over loopback it must be one of the loopback interface all the same,
// and nowhere may it be 0.0.0.0 or ::, which reach this machine from any page
// while browsers treat them as a foreign address.
func refuseHost(r *http.Request, hosts []string) *Problem {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	loopback := local != nil && local.IP.IsLoopback()
	name := hostname(r.Host)
	if ip, err := netip.ParseAddr(name); err == nil {
		ip = ip.Unmap()
		if ip.IsLoopback() && ip.Zone() == "" || !loopback && !ip.IsUnspecified() {
			return nil
		}
	}
	allowed := func(host string) bool { return strings.EqualFold(strings.TrimSuffix(host, "."), name) }
	if allowed("localhost") || slices.ContainsFunc(hosts, allowed) {
		return nil
	}
	use := "its IP address"
	if loopback {
		use = URL(local)
	}
	allow := "NAME"
	if CheckHost(name) == nil {
		allow = name
	}
	return &Problem{Status: http.StatusMisdirectedRequest, Parameter: "Host", Value: r.Host,
		Detail: fmt.Sprintf("This machine does not serve the host %q. Use %s, or allow the name with --allow-host %s.", r.Host, use, allow)}
}

// hostname returns a Host header without its port, brackets and final dot.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

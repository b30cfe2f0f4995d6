package logql

import (
	"net/netip"
	"strings"
)

// compileIP returns a function that reports whether a text has an address that an
// address, a range of two with "-" or a network (192.168.0.0/16) matches.
func compileIP(q *quoted) (func(text string) bool, error) {
	pattern, err := q.text()
	if err != nil {
		return nil, err
	}
	var matches func(netip.Addr) bool
	if one, err := netip.ParseAddr(pattern); err == nil {
		matches = func(a netip.Addr) bool { return a == one }
	} else if network, err := netip.ParsePrefix(pattern); err == nil {
		matches = network.Contains
	} else if from, to, ok := addressRange(pattern); ok {
		matches = func(a netip.Addr) bool { return a.Is4() == from.Is4() && from.Compare(a) <= 0 && a.Compare(to) <= 0 }
	} else {
		return nil, failAt(q.Pos, "ip: invalid pattern: %q: it is an address, a range such as 10.0.0.1-10.0.0.9, or a network such as 10.0.0.0/8", pattern)
	}
	return func(text string) bool { return hasAddress(text, matches) }, nil
}

func addressRange(pattern string) (from, to netip.Addr, ok bool) {
	a, b, ok := strings.Cut(pattern, "-")
	from, err := netip.ParseAddr(strings.TrimSpace(a))
	to, err2 := netip.ParseAddr(strings.TrimSpace(b))
	return from, to, ok && err == nil && err2 == nil && from.Is4() == to.Is4() && from.Compare(to) <= 0
}

// hasAddress reports whether an address in a text matches.
func hasAddress(text string, matches func(netip.Addr) bool) bool {
	const v4, v6 = "0123456789.", "0123456789abcdefABCDEF:."
	for at := 0; at < len(text); at++ {
		chars := v4
		if !beginsIPv4(text[at:]) {
			chars = v6
			if !beginsIPv6(text[at:]) {
				continue
			}
		}
		n := strings.IndexFunc(text[at:], func(r rune) bool { return !strings.ContainsRune(chars, r) })
		if n < 0 {
			n = len(text) - at
		}
		if a, err := netip.ParseAddr(text[at : at+n]); err == nil && matches(a) {
			return true
		}
		at += n
	}
	return false
}

// beginsIPv4 reports whether a text may begin with an address: a digit, and a dot behind
// one to three characters.
func beginsIPv4(text string) bool {
	return len(text) > 3 && text[0] >= '0' && text[0] <= '9' && strings.Contains(text[1:4], ".")
}

// beginsIPv6 reports whether a text may begin with an address: up to four hexadecimal
// digits and a colon, or two colons.
func beginsIPv6(text string) bool {
	if len(text) < 5 {
		return false
	}
	n := strings.IndexFunc(text[:5], func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
	return n > 0 && text[n] == ':' || strings.HasPrefix(text, "::") && strings.ContainsRune("0123456789abcdefABCDEF", rune(text[2]))
}

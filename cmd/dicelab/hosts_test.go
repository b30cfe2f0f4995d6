package main_test

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"dicelab/internal/contract"
)

// Every listener of a lab answers to the names that --allow-host gives, to
// localhost and to no other name.
func TestEveryListenerChecksTheHost(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil, "--allow-host", "lab.example", "--traffic")
	for part, path := range map[string]string{
		contract.ServiceFrontend: "/readyz", contract.ServiceRoller: "/readyz", "explorer": "/assets/theme.css",
		"prometheus": "/-/ready", "loki": "/ready", "tempo": "/ready",
	} {
		for host, want := range map[string]int{"": 200, "lab.example": 200, "LAB.example:80": 200, "evil.example": 421} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url(t, part)+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			resp, err := l.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if _ = resp.Body.Close(); err != nil || resp.StatusCode != want {
				t.Errorf("%s under the name %q: %d %s, %v, want %d", part, host, resp.StatusCode, body, err, want)
			}
			if want == 421 && !strings.Contains(string(body), "or allow the name with --allow-host evil.example.") {
				t.Errorf("%s does not say what to type: %s", part, body)
			}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url(t, "otlp http")+"/v1/traces", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err := l.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != 421 {
		t.Errorf("an export under the name of another site: %d, %v", resp.StatusCode, err)
	}
	l.stop(t)
}

// A service that listens on every interface is scraped all the same, and answers to
// every address of the machine.
func TestEveryInterface(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil, "--roller-addr", "0.0.0.0:0")
	l.value(t, `up{job="`+contract.ServiceRoller+`"}`, 1)
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(l.url(t, contract.ServiceRoller), "http://"), ":")
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLinkLocalUnicast() { // whose zone a URL does not say
			continue
		}
		if status, body := l.get(t, "http://"+net.JoinHostPort(prefix.Addr().String(), port)+"/readyz"); status != http.StatusOK {
			t.Errorf("at %s: %d %s", a, status, body)
		}
	}
	l.stop(t)
}

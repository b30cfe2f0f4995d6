package browsertest_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"dicelab/internal/web"
)

// TestThemeContrast checks every pair of text and background that the theme
// offers against WCAG 2.2, 1.4.3, level AA: 4.5. Pages may then use any of them.
func TestThemeContrast(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /theme.css", web.Theme())
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<link rel="icon" href="data:,"><link rel="stylesheet" href="/theme.css">`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	tab := startBrowser(t).tab(t, strings.TrimPrefix(server.URL, "http://"))
	tab.open(t, server.URL)

	pairs := map[string][]string{
		"ok": {"ok-bg"}, "warn": {"warn-bg"}, "bad": {"bad-bg"},
		"accent-text": {"accent", "accent-hover"},
	}
	for _, text := range []string{"text", "text-soft", "text-faint", "link", "ok", "warn", "bad"} {
		pairs[text] = append(pairs[text], "bg", "bg-soft", "bg-raised", "bg-hover")
	}
	for _, scheme := range []string{light, dark} {
		tab.look(t, wide, scheme)
		colour := func(token string) [3]float64 {
			return parseColour(t, eval[string](t, tab, `getComputedStyle(document.documentElement).getPropertyValue("--`+token+`").trim()`))
		}
		for text, backgrounds := range pairs {
			for _, background := range backgrounds {
				if got := contrast(colour(text), colour(background)); got < 4.5 {
					t.Errorf("%s: --%s on --%s has a contrast of %.2f, want at least 4.5", scheme, text, background, got)
				}
			}
		}
	}
}

// parseColour reads #rrggbb into parts from 0 to 1.
func parseColour(t *testing.T, s string) (c [3]float64) {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	if err != nil || len(s) != len("#rrggbb") {
		t.Fatalf("the theme has a colour %q, want #rrggbb", s)
	}
	for i := range c {
		c[i] = float64(n>>(16-8*i)&0xff) / 255
	}
	return c
}

// contrast returns the contrast ratio of WCAG 2.2, 1 to 21.
func contrast(a, b [3]float64) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// luminance returns the relative luminance of WCAG 2.2, 0 to 1.
func luminance(c [3]float64) float64 {
	for i, v := range c {
		if v <= 0.04045 {
			c[i] = v / 12.92
		} else {
			c[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]
}

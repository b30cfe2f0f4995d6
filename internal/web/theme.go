package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"
)

// ThemeCSS is the style sheet that every page of the lab starts from: colours
// for light and dark, type and controls.
//
//go:embed theme.css
var ThemeCSS []byte

// Theme serves ThemeCSS.
func Theme() http.Handler { return Asset("text/css; charset=utf-8", ThemeCSS) }

// Asset serves a file that is part of the binary. Browsers ask again each time
// (no-cache with an entity tag), so that a newer binary is never shown with an
// older style.
func Asset(contentType string, body []byte) http.Handler {
	tag := etag(body)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Type", contentType)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body)) // no time: the tag alone distinguishes versions
	})
}

// etag returns a strong entity tag (RFC 9110, section 8.8.3) made from the content.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

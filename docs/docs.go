// Package docs holds the documents that the program shows.
package docs

import "embed"

// Files are the documents of this folder.
//
//go:embed *.md
var Files embed.FS

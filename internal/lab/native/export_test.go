package native

import "io"

// Segments opens an output in bounded files.
func Segments(dir string, bytes int64, files int) (io.WriteCloser, error) {
	return openSegments(dir, bounds{bytes: bytes, files: files})
}

// Explain shortens the end of a server.
func Explain(err error) error { return explain(err) }

package telemetrytest

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// tracesPath is the path for spans over HTTP (OTLP specification, "OTLP/HTTP Request").
const tracesPath = "/v1/traces"

func (s *Sink) serveHTTP(w http.ResponseWriter, r *http.Request) {
	req, err := decode(r)
	if err != nil {
		s.t.Errorf("sink: %v", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, refusal := s.export(r.Context(), req)
	if refusal != 0 {
		http.Error(w, "refused as asked", refusal)
		return
	}
	text, err := proto.Marshal(answer)
	if err != nil {
		s.t.Errorf("sink: encoding an answer: %v", err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(text) // the exporter went away and reports it itself
}

func decode(r *http.Request) (*coltracepb.ExportTraceServiceRequest, error) {
	if r.Method != http.MethodPost || r.URL.Path != tracesPath {
		return nil, fmt.Errorf("exporter sent %s %s, want POST %s", r.Method, r.URL.Path, tracesPath)
	}
	if kind := r.Header.Get("Content-Type"); kind != "application/x-protobuf" {
		return nil, fmt.Errorf("exporter sent %q, want protobuf", kind)
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		plain, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("unpacking an export: %w", err)
		}
		body = plain
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("reading an export: %w", err)
	}
	req := new(coltracepb.ExportTraceServiceRequest)
	if err := proto.Unmarshal(text, req); err != nil {
		return nil, fmt.Errorf("decoding an export: %w", err)
	}
	return req, nil
}

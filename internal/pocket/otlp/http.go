package otlp

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// Handler serves OTLP/HTTP (OTLP 1.x, section "OTLP/HTTP").
func (r *Receiver) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", r.traces)
	mux.HandleFunc("/v1/traces", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		fail(w, req, http.StatusMethodNotAllowed, codes.Unimplemented, "traces are sent with POST, not "+req.Method)
	})
	mux.HandleFunc("/v1/metrics", func(w http.ResponseWriter, req *http.Request) {
		fail(w, req, http.StatusNotFound, codes.Unimplemented,
			"traces only: the lab scrapes metrics (Prometheus), so set OTEL_METRICS_EXPORTER=none or prometheus")
	})
	mux.HandleFunc("/v1/logs", func(w http.ResponseWriter, req *http.Request) {
		fail(w, req, http.StatusNotFound, codes.Unimplemented,
			"traces only: the lab reads logs from the services' stdout, so set OTEL_LOGS_EXPORTER=none or console")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		fail(w, req, http.StatusNotFound, codes.NotFound, "there is nothing at "+req.URL.Path+": traces are sent to /v1/traces")
	})
	return mux
}

func (r *Receiver) traces(w http.ResponseWriter, req *http.Request) {
	kind := contentType(req)
	if kind == "" {
		fail(w, req, http.StatusUnsupportedMediaType, codes.InvalidArgument,
			fmt.Sprintf("content type %q is not understood: send %s or %s", req.Header.Get("Content-Type"), typeProtobuf, typeJSON))
		return
	}
	body, code, err := r.body(w, req)
	if err != nil {
		fail(w, req, code, codes.InvalidArgument, err.Error())
		return
	}
	var export coltracepb.ExportTraceServiceRequest
	if kind == typeJSON {
		err = unmarshalJSON(body, &export)
	} else {
		err = unmarshal(body, &export)
	}
	if err != nil {
		fail(w, req, http.StatusBadRequest, codes.InvalidArgument, fmt.Sprintf("decoding the body as %s: %v", kind, err))
		return
	}
	resp, err := r.export(req.Context(), &export)
	if err != nil {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		fail(w, req, http.StatusServiceUnavailable, codes.Unavailable, err.Error())
		return
	}
	write(w, kind, http.StatusOK, resp)
}

// contentType is one of the two types that OTLP has, or "".
func contentType(req *http.Request) string {
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || (kind != typeProtobuf && kind != typeJSON) {
		return ""
	}
	return kind
}

// body reads and decompresses the body. With an error comes its HTTP status.
func (r *Receiver) body(w http.ResponseWriter, req *http.Request) (_ []byte, code int, err error) {
	raw := io.Reader(http.MaxBytesReader(w, req.Body, int64(r.opts.MaxBytes)))
	switch encoding := strings.ToLower(req.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, http.StatusBadRequest, fmt.Errorf("decompressing the body: %w", err)
		}
		defer func() { err = errors.Join(err, z.Close()) }()
		raw = z
	default:
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("content encoding %q is not understood: send gzip or none", encoding)
	}
	// Room for all of it, and for the read that finds the end.
	room := min(max(req.ContentLength, 0), int64(r.opts.MaxBytes)) + bytes.MinRead
	buffer := bytes.NewBuffer(make([]byte, 0, room))
	_, err = buffer.ReadFrom(io.LimitReader(raw, int64(r.opts.MaxBytes)+1))
	body := buffer.Bytes()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge), len(body) > r.opts.MaxBytes:
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes: send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)", r.opts.MaxBytes)
	case err != nil:
		return nil, http.StatusBadRequest, fmt.Errorf("reading the body: %w", err)
	}
	return body, http.StatusOK, nil
}

// fail answers with a google.rpc.Status in the encoding of the request (OTLP
// 1.x, section "Failures"); in JSON if that was neither of the two.
func fail(w http.ResponseWriter, req *http.Request, code int, rpc codes.Code, message string) {
	kind := contentType(req)
	if kind == "" {
		kind = typeJSON
	}
	write(w, kind, code, &status.Status{Code: int32(rpc), Message: strings.ToValidUTF8(message, "?")})
}

func write(w http.ResponseWriter, kind string, code int, m proto.Message) {
	var body []byte
	var err error
	if kind == typeJSON {
		body, err = protojson.Marshal(m)
	} else {
		body, err = proto.Marshal(m)
	}
	if err != nil {
		http.Error(w, "encoding the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	// A client that has gone cannot be told anything.
	_, _ = w.Write(body)
}

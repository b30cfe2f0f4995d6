package otlp

import (
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

	"dicelab/internal/pocket/intake"
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
	share := r.opts.Budget.Share()
	defer share.Release()
	body, code, err := r.body(w, req, share)
	if err != nil {
		refuse(w, req, code, err)
		return
	}
	weigh, decode := r.scale.protobuf, decodeProtobuf
	if kind == typeJSON {
		weigh, decode = r.scale.json, decodeJSON
	}
	if err := r.admit(share, weigh(body)); err != nil {
		refuse(w, req, http.StatusRequestEntityTooLarge, err)
		return
	}
	var export coltracepb.ExportTraceServiceRequest
	err = decode(body, &export)
	if err != nil {
		fail(w, req, http.StatusBadRequest, codes.InvalidArgument, fmt.Sprintf("decoding the body as %s: %v", kind, err))
		return
	}
	resp, err := r.export(req.Context(), &export)
	if err != nil {
		retry(w, req, err)
		return
	}
	write(w, kind, http.StatusOK, resp)
}

// refuse answers for an export that was not taken: later it may be, if there was
// too much to do, and otherwise never.
func refuse(w http.ResponseWriter, req *http.Request, code int, err error) {
	if errors.Is(err, intake.ErrBusy) {
		retry(w, req, err)
		return
	}
	fail(w, req, code, codes.InvalidArgument, err.Error())
}

// retry tells the client to send the export again (OTLP 1.x, section "OTLP/HTTP
// Throttling").
func retry(w http.ResponseWriter, req *http.Request, err error) {
	w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	fail(w, req, http.StatusServiceUnavailable, codes.Unavailable, err.Error())
}

func decodeProtobuf(body []byte, export *coltracepb.ExportTraceServiceRequest) error {
	return proto.Unmarshal(body, export)
}

// contentType is one of the two types that OTLP has, or "".
func contentType(req *http.Request) string {
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || (kind != typeProtobuf && kind != typeJSON) {
		return ""
	}
	return kind
}

// gzipBytes is what decompressing takes beside the body.
const gzipBytes = 64 << 10

// body reads and decompresses the body. With an error comes its HTTP status.
func (r *Receiver) body(w http.ResponseWriter, req *http.Request, share *intake.Share) (_ []byte, code int, err error) {
	raw := io.Reader(http.MaxBytesReader(w, req.Body, int64(r.opts.MaxBytes)))
	switch encoding := strings.ToLower(req.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		if err := share.Hold(gzipBytes); err != nil {
			return nil, http.StatusServiceUnavailable, err
		}
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, http.StatusBadRequest, fmt.Errorf("decompressing the body: %w", err)
		}
		defer func() { err = errors.Join(err, z.Close()) }()
		raw = z
	default:
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("content encoding %q is not understood: send gzip or none", encoding)
	}
	body, err := share.ReadAll(raw, r.opts.MaxBytes)
	var tooLarge *http.MaxBytesError
	var tooLong *intake.TooLargeError
	switch {
	case errors.As(err, &tooLarge), errors.As(err, &tooLong):
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

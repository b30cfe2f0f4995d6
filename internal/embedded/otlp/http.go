package otlp

import (
	"fmt"
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

// Responses to signals that the lab gets in another way.
const (
	noMetrics = "traces only: the lab scrapes metrics (Prometheus), so set OTEL_METRICS_EXPORTER=none or prometheus"
	noLogs    = "traces only: the lab reads logs from the services' stdout, so set OTEL_LOGS_EXPORTER=none or console"
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
		fail(w, req, http.StatusNotFound, codes.Unimplemented, noMetrics)
	})
	mux.HandleFunc("/v1/logs", func(w http.ResponseWriter, req *http.Request) {
		fail(w, req, http.StatusNotFound, codes.Unimplemented, noLogs)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		fail(w, req, http.StatusNotFound, codes.NotFound, "there is nothing at "+req.URL.Path+": traces are sent to /v1/traces")
	})
	return mux
}

func (r *Receiver) traces(w http.ResponseWriter, req *http.Request) {
	kind := contentType(req)
	var f format
	switch kind {
	case typeProtobuf:
		f = r.protobuf()
	case typeJSON:
		f = format{kind, r.scale.json, decodeJSON}
	default:
		refuse(w, req, unsupported(fmt.Errorf("content type %q is not understood: send %s or %s", req.Header.Get("Content-Type"), typeProtobuf, typeJSON)))
		return
	}
	reservation := r.reserve(req.Header)
	defer reservation.Release()
	raw := http.MaxBytesReader(w, req.Body, int64(r.opts.MaxBytes))
	body, err := r.read(raw, strings.ToLower(req.Header.Get("Content-Encoding")), reservation)
	if err != nil {
		refuse(w, req, err)
		return
	}
	resp, err := r.take(req.Context(), reservation, body, f)
	if err != nil {
		refuse(w, req, err)
		return
	}
	write(w, kind, http.StatusOK, resp)
}

// protobuf returns the format of gRPC and of most exports over HTTP.
func (r *Receiver) protobuf() format {
	return format{typeProtobuf, r.scale.protobuf, func(body []byte, export *coltracepb.ExportTraceServiceRequest) error {
		return proto.Unmarshal(body, export)
	}}
}

// refuse answers for an export that was not stored. If it may be sent again, the
// answer says when (OTLP 1.x, section "OTLP/HTTP Throttling").
func refuse(w http.ResponseWriter, req *http.Request, err error) {
	status, code, again := statusOf(err)
	if again {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	fail(w, req, status, code, err.Error())
}

// contentType returns one of the two types of OTLP, or "".
func contentType(req *http.Request) string {
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || (kind != typeProtobuf && kind != typeJSON) {
		return ""
	}
	return kind
}

// fail answers with a google.rpc.Status in the encoding of the request (OTLP 1.x, section
// "Failures"), or in JSON if that was neither of the two.
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
	_, _ = w.Write(body) // an error means that the client is gone
}

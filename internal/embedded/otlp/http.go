package otlp

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/senders"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// Handler serves OTLP/HTTP (OTLP 1.x, section "OTLP/HTTP"), and the list of senders at
// /api/senders.
func (r *Receiver) Handler() http.Handler {
	mux := http.NewServeMux()
	var paths []string
	for _, s := range r.signals {
		mux.Handle(s.path, r.exports(s))
		paths = append(paths, string(s.name)+" are sent to "+s.path)
	}
	if r.opts.Senders != nil {
		mux.Handle("GET /api/senders", r.opts.Senders)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		fail(w, req, http.StatusNotFound, codes.NotFound, "there is nothing at "+req.URL.Path+": "+strings.Join(paths, ", "))
	})
	return mux
}

// Logs serves OTLP/HTTP for logs alone, at any path.
func (r *Receiver) Logs() http.Handler { return r.only(senders.Logs) }

// Metrics serves OTLP/HTTP for metrics alone, at any path.
func (r *Receiver) Metrics() http.Handler { return r.only(senders.Metrics) }

func (r *Receiver) only(name senders.Signal) http.Handler {
	i := slices.IndexFunc(r.signals, func(s *signal) bool { return s.name == name })
	return r.exports(r.signals[i])
}

// exports takes the exports of a signal.
func (r *Receiver) exports(s *signal) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			fail(w, req, http.StatusMethodNotAllowed, codes.Unimplemented, string(s.name)+" are sent with POST, not "+req.Method)
			return
		}
		resp, err := r.post(w, req, s)
		if err != nil {
			r.refused(s, err)
			refuse(w, req, err)
			return
		}
		write(w, contentType(req), http.StatusOK, resp)
	})
}

// post answers a POST with an export.
func (r *Receiver) post(w http.ResponseWriter, req *http.Request, s *signal) (response, error) {
	kind := contentType(req)
	if kind == "" {
		return nil, unsupported(fmt.Errorf("content type %q is not understood: send %s or %s", req.Header.Get("Content-Type"), typeProtobuf, typeJSON))
	}
	reservation := r.reserve(req.Header)
	defer reservation.Release()
	raw := http.MaxBytesReader(w, req.Body, int64(r.opts.MaxBytes))
	body, err := r.read(raw, strings.ToLower(req.Header.Get("Content-Encoding")), s, reservation)
	if err != nil {
		return nil, err
	}
	return r.take(req.Context(), s, reservation, export{body: body, json: kind == typeJSON, forwarded: req.Header.Get(contract.HeaderForwarded) != ""})
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

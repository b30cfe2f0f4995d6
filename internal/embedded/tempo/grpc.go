package tempo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// maxCall bounds the message of a call, in bytes: a query and a few numbers.
const maxCall = 64 << 10

// prefixBytes is the length of the prefix of a gRPC message: a flag for compression
// and the message's length (gRPC, "gRPC over HTTP2", Length-Prefixed-Message).
const prefixBytes = 5

// streaming serves Tempo's service StreamingQuerier over gRPC, and all else by api. A call is
// the same as a request to api: its response, read as protobuf's JSON mapping, is the only
// message of the stream.
func streaming(api http.Handler) (http.Handler, error) {
	methods, err := streamingQuerier()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			api.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		status, message := codes.Unimplemented, fmt.Sprintf("the embedded stack has no method %.100q, only those of %s",
			r.URL.Path, streamingService)
		if m := methods[strings.TrimPrefix(r.URL.Path, "/"+streamingService+"/")]; m != nil {
			status, message = m.serve(w, r, api)
		}
		w.WriteHeader(http.StatusOK)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(int(status)))
		if status != codes.OK {
			w.Header().Set(http.TrailerPrefix+"Grpc-Message", strings.ReplaceAll(url.QueryEscape(message), "+", "%20"))
		}
	}), nil
}

// method is a method of the service.
type method struct {
	request, response protoreflect.MessageDescriptor
	path              func(values url.Values) string // of the API; it may move parameters into the path
	names             map[string]string              // of the parameters by the fields of the request
}

// serve answers a call, and returns its status.
func (m *method) serve(w http.ResponseWriter, r *http.Request, api http.Handler) (codes.Code, string) {
	values, err := m.values(r.Body)
	if err != nil {
		return codes.InvalidArgument, err.Error()
	}
	inner := r.Clone(r.Context())
	path := m.path(values)
	inner.Method, inner.Body, inner.Header = http.MethodGet, http.NoBody, http.Header{}
	inner.URL = &url.URL{Path: path, RawQuery: values.Encode()}
	answer := &recorder{header: http.Header{}, status: http.StatusOK}
	if api.ServeHTTP(answer, inner); answer.status != http.StatusOK {
		return grpcCode(answer.status), strings.TrimSpace(answer.body.String())
	}
	message := dynamicpb.NewMessage(m.response)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer.body.Bytes(), message); err != nil {
		return codes.Internal, "encoding the answer: " + err.Error()
	}
	body, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(make([]byte, prefixBytes), message)
	if err != nil {
		return codes.Internal, "encoding the answer: " + err.Error()
	}
	binary.BigEndian.PutUint32(body[1:], uint32(len(body)-prefixBytes))
	_, _ = w.Write(body) // an error means that the client is gone
	return codes.OK, ""
}

// values reads the request of a call as the parameters of the API.
func (m *method) values(body io.Reader) (url.Values, error) {
	var prefix [prefixBytes]byte
	if _, err := io.ReadFull(body, prefix[:]); err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	length := binary.BigEndian.Uint32(prefix[1:])
	if prefix[0] != 0 || length > maxCall {
		return nil, fmt.Errorf("the request is compressed, or has more than %d bytes: send it as it is", maxCall)
	}
	content := make([]byte, length)
	if _, err := io.ReadFull(body, content); err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	request := dynamicpb.NewMessage(m.request)
	if err := proto.Unmarshal(content, request); err != nil {
		return nil, fmt.Errorf("decoding the request: %w", err)
	}
	values := url.Values{}
	request.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if name, ok := m.names[string(field.Name())]; ok {
			values.Set(name, v.String())
		}
		if field.IsMap() {
			var tags []string
			v.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
				tags = append(tags, key.String()+"="+strconv.Quote(v.String()))
				return true
			})
			values.Set("tags", strings.Join(tags, " "))
		}
		return true
	})
	for name, unit := range map[string]string{"minDuration": "ms", "maxDuration": "ms", "step": "ns"} {
		if values.Has(name) {
			values.Set(name, values.Get(name)+unit)
		}
	}
	return values, nil
}

// grpcCode returns the status of a call for that of a response.
func grpcCode(status int) codes.Code {
	switch status {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusUnprocessableEntity:
		return codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	}
	return codes.Internal
}

// recorder is a response in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

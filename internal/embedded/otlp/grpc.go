package otlp

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/intake"
)

// prefixBytes is the length of the prefix of a gRPC message: a flag for compression
// and the message's length (gRPC, "gRPC over HTTP2", Length-Prefixed-Message).
const prefixBytes = 5

// maxStatusText bounds the text of a status, in bytes: clients bound the headers
// that they accept, some to 8 KiB.
const maxStatusText = 2 << 10

// GRPC serves OTLP/gRPC (OTLP 1.x, section "OTLP/gRPC"), on a server of HTTP/2.
//
// An export is a unary call: one message, answered by one. It is served here, and not
// by grpc-go, because that server reads and decompresses a whole message before its
// caller sees a byte: an export would have to be charged before it has arrived
// (docs/adr/0003-grpc-over-net-http.md).
func (r *Receiver) GRPC() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ProtoMajor != 2 || req.Method != http.MethodPost || !isGRPC(req.Header.Get("Content-Type")) {
			http.Error(w, "this port takes OTLP over gRPC; OTLP over HTTP has a port of its own, 4318 unless it was moved", http.StatusUnsupportedMediaType)
			return
		}
		header := w.Header()
		header.Set("Content-Type", "application/grpc")
		header.Set("Grpc-Accept-Encoding", "identity,gzip")
		resp, err := r.call(w, req)
		if err == nil {
			err = send(w, resp)
		}
		setStatus(header, err)
	})
}

func isGRPC(kind string) bool {
	rest, ok := strings.CutPrefix(kind, "application/grpc")
	return ok && (rest == "" || rest[0] == ';' || rest[0] == '+' && strings.HasPrefix(rest, "+proto"))
}

// call answers one call.
func (r *Receiver) call(w http.ResponseWriter, req *http.Request) (response, error) {
	var methods []string
	for _, s := range r.signals {
		if s.method == req.URL.Path {
			resp, err := r.answerCall(w, req, s)
			if err != nil {
				r.refused(s, err)
			}
			return resp, err
		}
		methods = append(methods, s.method)
	}
	return nil, unsupported(fmt.Errorf("there is no method %.100q: there are %s", req.URL.Path, strings.Join(methods, ", ")))
}

// answerCall answers a call with an export of a signal.
func (r *Receiver) answerCall(w http.ResponseWriter, req *http.Request, s *signal) (response, error) {
	ctx, cancel, err := callContext(req)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(r.opts.Receive)); err != nil {
		return nil, fmt.Errorf("setting a deadline for the export: %w", err)
	}
	reservation := r.reserve(req.Header)
	defer reservation.Release()
	body, err := r.message(req, s, reservation)
	if err != nil {
		return nil, err
	}
	return r.take(ctx, s, reservation, export{body: body, forwarded: req.Header.Get(contract.HeaderForwarded) != ""})
}

// message reads the only message of a call, and rejects a call with further ones.
func (r *Receiver) message(req *http.Request, s *signal, reservation *intake.Reservation) ([]byte, error) {
	var prefix [prefixBytes]byte
	if _, err := io.ReadFull(req.Body, prefix[:]); err != nil {
		return nil, r.readError("reading the message's length from", s, err)
	}
	length, encoding := int64(binary.BigEndian.Uint32(prefix[1:])), "identity"
	switch prefix[0] {
	case 0:
	case 1:
		encoding = req.Header.Get("Grpc-Encoding")
	default:
		return nil, malformed(fmt.Errorf("the message begins with %d: want 0, or 1 if it is compressed", prefix[0]))
	}
	if length > int64(r.opts.MaxBytes) {
		return nil, r.tooLong(s)
	}
	in := &io.LimitedReader{R: req.Body, N: length}
	body, err := r.read(in, encoding, s, reservation)
	if err == nil {
		_, err = io.Copy(io.Discard, in) // bytes that the decompressor has not read
	}
	if err == nil && in.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, r.readError("reading", s, err)
	}
	switch _, err := io.ReadFull(req.Body, prefix[:1]); {
	case errors.Is(err, io.EOF):
		return body, nil
	case err != nil:
		return nil, r.readError("reading", s, err)
	}
	return nil, malformed(errors.New("more than one message was sent: an export is one"))
}

// callContext returns a context that ends at the client's deadline (gRPC, "gRPC over
// HTTP2", Timeout).
func callContext(req *http.Request) (context.Context, context.CancelFunc, error) {
	text := req.Header.Get("Grpc-Timeout")
	if text == "" {
		return req.Context(), func() {}, nil
	}
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
	unit, known := units[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil || !known || len(text) > 9 {
		return nil, nil, malformed(fmt.Errorf("the header grpc-timeout is %.20q: want up to 8 digits and a unit, such as 5S", text))
	}
	ctx, cancel := context.WithTimeout(req.Context(), min(time.Duration(n), 1<<62/unit)*unit)
	return ctx, cancel, nil
}

// send writes the message that answers a call.
func send(w http.ResponseWriter, m proto.Message) error {
	body, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, prefixBytes), m)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	binary.BigEndian.PutUint32(body[1:], uint32(len(body)-prefixBytes))
	_, _ = w.Write(body) // an error means that the client is gone
	return nil
}

// setStatus writes the trailers that end a call (OTLP 1.x, section "OTLP/gRPC
// Response"): UNAVAILABLE with RetryInfo for an export that may be sent again.
func setStatus(header http.Header, err error) {
	set := func(name, value string) { header.Set(http.TrailerPrefix+name, value) }
	if err == nil {
		set("Grpc-Status", "0")
		return
	}
	_, code, again := statusOf(err)
	text := err.Error()
	text = strings.ToValidUTF8(text[:min(len(text), maxStatusText)], "?")
	set("Grpc-Status", strconv.Itoa(int(code)))
	set("Grpc-Message", percentEncode(text))
	if !again {
		return
	}
	st, err := status.New(code, text).WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	if err != nil {
		return // not possible; without details the client tries again, too
	}
	if details, err := proto.Marshal(st.Proto()); err == nil {
		set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
	}
}

// percentEncode encodes text for a header of gRPC: printable ASCII unchanged, other bytes
// as % and two digits.
func percentEncode(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

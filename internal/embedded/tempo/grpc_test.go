package tempo_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// wire is a message as it is on the wire. Its codec is that of protobuf for a client.
type wire []byte

type wireCodec struct{}

func (wireCodec) Name() string                  { return "proto" }
func (wireCodec) Marshal(v any) ([]byte, error) { return *v.(*wire), nil }
func (wireCodec) Unmarshal(data []byte, v any) error {
	*v.(*wire) = append(wire{}, data...)
	return nil
}

// text and number return a field of a message.
func (w wire) text(field protowire.Number, value string) wire {
	return protowire.AppendString(protowire.AppendTag(w, field, protowire.BytesType), value)
}

func (w wire) number(field protowire.Number, value uint64) wire {
	return protowire.AppendVarint(protowire.AppendTag(w, field, protowire.VarintType), value)
}

// The service StreamingQuerier, as a client of grpc-go meets it.
func TestStreaming(t *testing.T) {
	server := httptest.NewUnstartedServer(serve(t))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	client, err := grpc.NewClient(strings.TrimPrefix(server.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(wireCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	ask := func(method string, request wire) (answers []wire, err error) {
		stream, err := client.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/tempopb.StreamingQuerier/"+method)
		if err != nil {
			return nil, err
		}
		if err := stream.SendMsg(&request); err != nil {
			return nil, err
		}
		if err := stream.CloseSend(); err != nil {
			return nil, err
		}
		for {
			var answer wire
			if err := stream.RecvMsg(&answer); err == io.EOF {
				return answers, nil
			} else if err != nil {
				return answers, err
			}
			answers = append(answers, answer)
		}
	}
	start, end := uint64(epoch), uint64(epoch+4)
	within := func(w wire, unit uint64) wire { return w.number(2, start*unit).number(3, end*unit) }
	for _, tt := range []struct {
		method  string
		request wire
		want    string // in the answer
	}{
		{"Search", wire{}.text(8, `{status=error} | select(span.die.type)`).number(4, 5).number(9, 1), riskyTrace},
		{"Search", wire{}.text(1, string(wire{}.text(1, "die.type").text(2, "risky"))), riskyTrace},
		{"Search", wire{}.text(8, `{status=error} | select(span.die.type)`), string(wire{}.text(1, "die.type"))},
		{"SearchTags", wire{}.text(1, "resource"), string(wire{}.text(1, "service.name"))},
		{"SearchTagsV2", wire{}.text(1, "resource"), string(wire{}.text(1, string(wire{}.text(1, "resource").text(2, "service.name"))))},
		{"SearchTagValues", wire{}.text(1, "die.type"), string(wire{}.text(1, "fair").text(1, "risky"))},
		{"SearchTagValuesV2", wire{}.text(1, "span.die.type"), string(wire{}.text(1, string(wire{}.text(1, "string").text(2, "fair"))))},
		{"MetricsQueryRange", within(wire{}.text(1, `{status=error} | count_over_time()`), 1e9).number(4, 2e9),
			string(protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 0x3ff0000000000000))},
		{"MetricsQueryInstant", within(wire{}.text(1, `{status=error} | rate()`), 1),
			string(protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), 0x3fd0000000000000))},
	} {
		answers, err := ask(tt.method, tt.request)
		if err != nil || len(answers) != 1 || !strings.Contains(string(answers[0]), tt.want) {
			t.Errorf("%s: %q, %v; want one message with %q", tt.method, answers, err, tt.want)
		}
	}
	for _, tt := range []struct {
		method  string
		request wire
		code    codes.Code
		want    string
	}{
		{"Search", wire{}.text(8, "{.a ="), codes.InvalidArgument, "parse error at line 1, col 6"},
		{"Search", wire{0xff}, codes.InvalidArgument, "decoding the request"},
		{"Search", wire{}.text(8, fmt.Sprintf("{%70000s}", "")), codes.InvalidArgument, "more than 65536 bytes"},
		{"BackendSearch", wire{}, codes.Unimplemented, "no method"},
	} {
		_, err := ask(tt.method, tt.request)
		if got := status.Convert(err); got.Code() != tt.code || !strings.Contains(got.Message(), tt.want) {
			t.Errorf("%s: %v, want %v with %q", tt.method, err, tt.code, tt.want)
		}
	}
}

package otlp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // the compression that OTLP asks for
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"dicelab/internal/pocket/intake"
)

const (
	// admitWithin is how long an export waits for others to be answered before its
	// client is told to try again.
	admitWithin = time.Second
	// maxStreams bounds the exports under way on one connection.
	maxStreams = 100
	// windowBytes is how much of an export is in memory before it is admitted, and
	// of those of a connection together. The window does not grow, as gRPC's would.
	windowBytes = 1 << 20
	// readBytes is the buffer that a connection has to read from.
	readBytes = 8 << 10
)

// ServerOptions are what a gRPC server needs to have the receiver's bounds.
func (r *Receiver) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(r.opts.MaxBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.ReadBufferSize(readBytes),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(encodingproto.Name)}),
	}
}

// Register adds OTLP's TraceService to a gRPC server made with
// [Receiver.ServerOptions].
//
// The generated service decodes an export before it calls anybody. This one asks
// for room before the export is read, and again before it is decoded.
func (r *Receiver) Register(s grpc.ServiceRegistrar) {
	desc := coltracepb.TraceService_ServiceDesc
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: desc.ServiceName,
		HandlerType: (*any)(nil),
		Metadata:    desc.Metadata,
		Streams: []grpc.StreamDesc{{StreamName: "Export", Handler: func(_ any, stream grpc.ServerStream) error {
			return r.serve(stream)
		}}},
	}, r)
}

// serve answers one export as OTLP 1.x, section "OTLP/gRPC Response", says.
func (r *Receiver) serve(stream grpc.ServerStream) error {
	in := &incoming{receiver: r, share: r.opts.Budget.Share()}
	ctx, cancel := context.WithTimeout(stream.Context(), admitWithin)
	defer cancel()
	if err := in.share.Wait(ctx, int64(r.opts.MaxBytes)); err != nil {
		return unavailable(err)
	}
	if err := in.receive(stream); err != nil {
		return err
	}
	defer in.share.Release()
	var heavy *tooHeavyError
	switch {
	case errors.Is(in.err, intake.ErrBusy):
		return unavailable(in.err)
	case errors.As(in.err, &heavy):
		return status.Error(codes.ResourceExhausted, in.err.Error()) // without RetryInfo: it would be so again
	case in.err != nil:
		return status.Error(codes.InvalidArgument, strings.ToValidUTF8(fmt.Sprintf("decoding the export: %v", in.err), "?"))
	}
	resp, err := r.export(stream.Context(), &in.export)
	if err != nil {
		return unavailable(err)
	}
	return stream.SendMsg(resp)
}

// incoming is an export that is being received.
type incoming struct {
	receiver *Receiver
	share    *intake.Share
	export   coltracepb.ExportTraceServiceRequest
	err      error // of decoding it; what a codec returns, gRPC answers in its own words
}

// receive reads the export. On error the share is given back, as soon as nothing
// more arrives: that may be later than receive returns, which ends the stream.
func (in *incoming) receive(stream grpc.ServerStream) error {
	received := make(chan error, 1)
	go func() {
		err := stream.RecvMsg(in)
		if err != nil {
			in.share.Release()
		}
		received <- err
	}()
	late := time.NewTimer(in.receiver.opts.Receive)
	defer late.Stop()
	select {
	case err := <-received:
		return err
	case <-late.C:
		go func() { // it may just have arrived
			if <-received == nil {
				in.share.Release()
			}
		}()
		return status.Errorf(codes.DeadlineExceeded, "the export was not received within %v", in.receiver.opts.Receive)
	}
}

// decode reads the export from its bytes, which are the caller's.
func (in *incoming) decode(body []byte) error {
	if err := in.receiver.admit(in.share, in.receiver.scale.protobuf(body)); err != nil {
		return err
	}
	return proto.Unmarshal(body, &in.export)
}

// codec is gRPC's own for protobuf, but for exports that are received.
type codec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*incoming)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	in.err = in.decode(buffer.ReadOnlyData())
	return nil
}

// unavailable tells the client to send the export again.
func unavailable(err error) error {
	st, detailErr := status.New(codes.Unavailable, err.Error()).
		WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	if detailErr != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	return st.Err()
}

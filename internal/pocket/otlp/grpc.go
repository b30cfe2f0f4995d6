package otlp

import (
	"context"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // the compression that OTLP asks for
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// ServerOptions are what a gRPC server needs to have the receiver's bounds.
func (r *Receiver) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.MaxRecvMsgSize(r.opts.MaxBytes), grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(protocodec.Name)})}
}

// codec is gRPC's for protobuf, with exports decoded by unmarshal.
type codec struct{ encoding.CodecV2 }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if req, ok := v.(*coltracepb.ExportTraceServiceRequest); ok {
		return unmarshal(data.Materialize(), req)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// Register adds OTLP's TraceService to a gRPC server made with
// [Receiver.ServerOptions].
func (r *Receiver) Register(s grpc.ServiceRegistrar) {
	coltracepb.RegisterTraceServiceServer(s, &traceService{receiver: r})
}

type traceService struct {
	coltracepb.UnimplementedTraceServiceServer
	receiver *Receiver
}

// Export answers as OTLP 1.x, section "OTLP/gRPC Response", says.
func (s *traceService) Export(ctx context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	resp, err := s.receiver.export(ctx, req)
	if err == nil {
		return resp, nil
	}
	unavailable, detailErr := status.New(codes.Unavailable, err.Error()).
		WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	if detailErr != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return nil, unavailable.Err()
}

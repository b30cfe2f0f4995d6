// Package otlp receives traces, logs and metrics by OTLP 1.x, over gRPC and over HTTP with
// protobuf or JSON, and appends them to stores.
//
// Rules:
//
//   - An export is answered when it is stored. If the store cannot take it, the response
//     makes clients try again (HTTP 503 with Retry-After, gRPC UNAVAILABLE with
//     RetryInfo); it is never a success.
//   - The memory of the exports under way is bounded, for each and for all signals
//     together, and is reserved as their bytes arrive. An export that finds too little
//     gets the same response.
//   - What cannot be stored, such as a span without an ID, is rejected item by item, as
//     partial success with the number and the reason; the rest is stored.
//   - Both transports give the same reasons. Each is counted in the list of senders.
package otlp

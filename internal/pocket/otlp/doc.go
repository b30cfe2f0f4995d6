// Package otlp receives traces by OTLP 1.x, over gRPC and over HTTP with
// protobuf or JSON, and hands them to a store.
//
// Rules:
//
//   - An export is answered when its spans are stored. If the store cannot take
//     them the answer is one after which clients try again (HTTP 503 with
//     Retry-After, gRPC UNAVAILABLE with RetryInfo), never a success.
//   - What exports under way take in memory is bounded, for each and for all
//     together; who finds no room is answered in the same way.
//   - Spans whose IDs OTLP does not allow are rejected one by one, as partial
//     success with their number and the reason; the others are stored.
//   - Traces only: the services' metrics are scraped and their logs are read
//     from stdout, and who sends those here is told so.
package otlp

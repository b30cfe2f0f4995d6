// Package otlp receives traces by OTLP 1.x, over gRPC and over HTTP with
// protobuf or JSON, and hands them to a store.
//
// Rules:
//
//   - An export is answered when its spans are stored. If the store cannot take
//     them, the answer makes clients try again (HTTP 503 with Retry-After, gRPC
//     UNAVAILABLE with RetryInfo); it is never a success.
//   - The memory of the exports under way is bounded, for each and for all
//     together, and is charged as their bytes arrive. An export that finds too
//     little is answered in the same way.
//   - What is accepted can be read again. Spans whose IDs OTLP does not allow, or
//     whose attributes are nested too deep, are rejected one by one, as partial
//     success with their number and the reason; the others are stored.
//   - Traces only: the services' metrics are scraped and their logs are read
//     from stdout, which is the answer to clients that send those here.
package otlp

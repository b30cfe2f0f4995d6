// Package otlp receives traces by OTLP 1.x, over gRPC and over HTTP with
// protobuf or JSON, and appends them to a store.
//
// Rules:
//
//   - An export is answered when its spans are stored. If the store cannot take them, the
//     response makes clients try again (HTTP 503 with Retry-After, gRPC UNAVAILABLE with
//     RetryInfo); it is never a success.
//   - The memory of the exports under way is bounded, for each and for all together, and
//     is reserved as their bytes arrive. An export that finds too little gets the same
//     response.
//   - All accepted spans can be read again. Spans whose IDs OTLP does not allow, or whose
//     attributes are nested too deep, are rejected one by one, as partial success with
//     their number and the reason; the others are stored.
//   - Only traces are accepted: the services' metrics are scraped and their logs are read
//     from stdout. Clients that send those here get an error that explains it.
package otlp

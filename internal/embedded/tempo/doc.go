// Package tempo serves the API of Tempo 3.0 over HTTP and gRPC, as far as the embedded stack
// has it, over a store: traces by ID, search by TraceQL or by tags, metrics of
// spans, tag names and values.
//
// Rules:
//
//   - The JSON is Tempo's: IDs in base64 within traces (protobuf's JSON mapping)
//     and in hex within search results, 64-bit numbers as strings.
//   - Trace IDs in search results have 32 digits; Tempo drops leading zeros. In
//     requests leading zeros may be missing.
//   - A request that is not supported gets a 400 that names what is missing and
//     --stack=native, never a wrong or empty response. Errors are text, as Tempo's.
//   - The response to a search that stopped early has "status": "PARTIAL" with a
//     message, and fewer completedJobs than totalJobs; so has that for a trace that
//     is too large. Lists of tags are cut at their limit, as Tempo's are.
package tempo

// Package tempo serves the HTTP API of Tempo 3.0, as far as the embedded stack
// has it, over a store: traces by ID, search by TraceQL or by tags, counts of
// spans over time, tag names and values.
//
// Rules:
//
//   - The JSON is Tempo's: IDs in base64 within traces (protobuf's JSON mapping)
//     and in hex within search results, 64-bit numbers as strings.
//   - Trace IDs in search results have 32 digits; Tempo drops leading zeros. In
//     requests leading zeros may be missing.
//   - What is not served is a 400 that says so and names --stack=native, never a
//     wrong or empty answer. Errors are text, as Tempo's are.
//   - A search that stopped before the end says so: its answer has "status":
//     "PARTIAL" with a message, and fewer completedJobs than totalJobs. So does a
//     trace that is too large. Lists of tags end at their limit, as Tempo's do.
package tempo

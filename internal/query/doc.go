// Package query reads traces, log lines and metrics from the public HTTP APIs
// of Tempo, Loki and Prometheus.
//
// It is the only way in which the explorer and the checks look at stored
// telemetry, so they work alike on the lab's embedded servers, on the real ones
// and on somebody's own. The rules:
//
//   - Clients hold no state but their address: each method is one request (or
//     two, where it says so), bounded in time by its context and in size by
//     Config.MaxBody.
//   - What the servers spell differently (IDs in hex or base64, IDs without
//     their leading zeros, numbers as text) is levelled here and nowhere else.
//   - An error is an *Error: it names the server, the URL, the status, the
//     server's own words, and what to check.
package query

// Package query reads traces, log lines and metrics from the public HTTP APIs
// of Tempo, Loki and Prometheus.
//
// It is the only way in which the explorer and the checks look at stored
// telemetry, so they work alike on the lab's embedded servers, on the real ones
// and on the user's own. The rules:
//
//   - Clients hold no state but their address. Each method is one request, or two where its comment
//     names both; its context bounds the time and Config.MaxBody the size.
//   - What the servers spell differently (IDs in hex or base64, IDs without their leading zeros,
//     numbers as text) is normalised here and nowhere else.
//   - An error is an *Error: it names the server, the URL, the status, the
//     server's own words, and what to check.
package query

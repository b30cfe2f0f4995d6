// Package logline makes log lines of what senders push, as the ingestion of Loki 3 does
// with its default settings: from OTLP log records ([FromOTLP]), and with the label
// service_name and the structured metadata detected_level on every line ([Discover]).
//
// Rules:
//
//   - A line is stored as it came, or refused with the reason ([Limits.Sift]).
//   - What is discovered never replaces what the sender set.
package logline

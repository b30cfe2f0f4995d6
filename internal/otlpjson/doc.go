// Package otlpjson reads and writes traces in files: OTLP's JSON (OTLP 1.x,
// section "JSON Protobuf Encoding"), which is protobuf's JSON mapping with
// trace and span IDs in hex and enumerations as numbers. A document is a
// TracesData, {"resourceSpans":[…]}; an ExportTraceServiceRequest looks the same.
//
// The rules:
//
//   - What is written is one document, always the same for the same spans, so
//     that exports of a trace from two stores can be compared.
//   - What is read may be several documents in a row, as the OpenTelemetry
//     Collector's file exporter writes them, and may be an answer of Tempo's API,
//     which has the IDs in base64 and the spans under another name. The two
//     encodings of an ID differ in length, so nothing is guessed.
//   - A file is read as a whole or not at all. An error names the place and the span, and what was
//     expected. A field that this version of OTLP does not have is left out, as the specification
//     demands, and reported.
package otlpjson

package otlp

// Unmarshal is for the comparison with protobuf's.
var Unmarshal = unmarshal

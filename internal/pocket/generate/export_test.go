package generate

// Size is for the comparison with protobuf's.
var Size = size

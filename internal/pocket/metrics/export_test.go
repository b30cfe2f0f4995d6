package metrics

// Release is tested by itself: the build information of a test's binary, which
// it translates for the API, names no modules.
var Release = release

package metrics

// Release is tested by itself, because the build information of a test's binary has no
// modules.
var Release = release

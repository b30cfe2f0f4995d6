package main

// Main is the program, for TestMain to be it.
func Main() { main() }

package main

// Main is the program, for the scripts.
func Main() { main() }

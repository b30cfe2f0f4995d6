package main

import "context"

func up(context.Context, environment, *flags) error             { return nil }
func exploreCommand(context.Context, environment, *flags) error { return nil }

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// plan lists the measurements of a run and the programs that they use.
type plan struct {
	dicelab string // program
	tempo   string // program of the real Tempo; "" if there is none
	loki    string // program of the real Loki; "" if there is none
	dir     string // for data
	out     string
	parts   string
	scale   scale
}

// scale sets the length and the number of measurements.
type scale struct {
	name    string
	rounds  int           // of the services; each round measures all of them, one after another
	load    time.Duration // of one round
	sustain time.Duration // of spans, and of log lines
	sizes   []int         // stored spans at which queries are timed
	queries int           // of each kind at each size
}

func scaleOf(long bool) scale {
	if long {
		return scale{name: "long", rounds: 5, load: 10 * time.Second, sustain: time.Minute,
			sizes: []int{10_000, 100_000, 1_000_000, 5_000_000}, queries: 50}
	}
	return scale{name: "short", rounds: 3, load: 5 * time.Second, sustain: 10 * time.Second,
		sizes: []int{10_000, 100_000}, queries: 50}
}

func measure(ctx context.Context, p plan) error {
	r := newReport(p)
	parts := strings.Split(p.parts, ",")
	for _, part := range parts {
		if part != "services" && part != "store" {
			return fmt.Errorf("part %q is not known: choose from services, store", part)
		}
	}
	if slices.Contains(parts, "services") {
		if err := measureServices(ctx, p, r); err != nil {
			return fmt.Errorf("measuring the services: %w", err)
		}
	}
	if slices.Contains(parts, "store") {
		if err := measureStore(ctx, p, r); err != nil {
			return fmt.Errorf("measuring the store: %w", err)
		}
	}
	fmt.Print(r.text.String())
	return r.save(p.out, parts)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"dicelab/internal/lab"
	"dicelab/internal/traffic"
	"dicelab/internal/verify"
	"dicelab/internal/verify/report"
)

// verifyCommand checks a running lab. It exits 0 where all checks hold, 1 where
// one fails, 2 where nothing could be checked.
func verifyCommand(ctx context.Context, env environment, f *flags) error {
	v := defineVerify(f)
	if err := f.parse(); err != nil {
		return err
	}
	checks, err := v.verifier()
	if err != nil {
		return hint(err, "dicelab verify -h lists the flags")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // from then on a second signal kills

	lines := report.New(env.stdout.Raw(), report.Options{Colour: lab.Colour(env.stdout.File(), env.getenv), Verbose: *v.verbose, Version: version()})
	began, each := lines.Begin, lines.Result
	if *v.json {
		began, each = nil, nil
	}
	found, err := checks.Run(ctx, began, each)
	if _, ok := errors.AsType[*verify.UnreachableError](err); ok {
		return hint(&lab.UsageError{Err: err}, "start the lab with: dicelab up; or say where the front end is with --frontend-url")
	}
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if *v.json {
		var text []byte
		if text, err = encodeReport(found); err == nil {
			_, err = env.stdout.Write(text)
		}
	} else {
		lines.End(found)
		err = lines.Err()
	}
	if err == nil && found.Failed > 0 {
		err = statusError(lab.ExitFailed)
	}
	return err
}

// encodeReport is a report for programs.
func encodeReport(r verify.Report) ([]byte, error) {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(r); err != nil {
		return nil, fmt.Errorf("encoding the report: %w", err)
	}
	return text.Bytes(), nil
}

// How the traffic generator is run for its rows: two users, who do not think.
const (
	simulatedUsers = "2"
	simulatedRolls = "2"
	simulatedTime  = time.Minute
)

// simulate runs the traffic generator as a program of its own, as a person would:
// a few rolls of a few users, with their traces and their log. environ says where
// its spans go.
func simulate(frontendURL string, environ []string) func(context.Context) (verify.Traffic, error) {
	return func(ctx context.Context) (t verify.Traffic, err error) {
		program, err := os.Executable()
		if err != nil {
			return t, fmt.Errorf("finding this program: %w", err)
		}
		ctx, cancel := context.WithTimeout(ctx, simulatedTime)
		defer cancel()
		args := []string{"traffic", "--frontend-url", frontendURL, "--users", simulatedUsers, "--max-rolls-per-user", simulatedRolls,
			"--think", "0s..100ms", "--report", reportJSON, "--log", toStderr}
		t.Command = "dicelab " + strings.Join(args, " ")
		var out, log bytes.Buffer
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = environ, &out, &log
		if err := cmd.Run(); err != nil {
			return t, fmt.Errorf("%s: %w: %s", t.Command, err, strings.TrimSpace(log.String()))
		}
		var r traffic.Report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			return t, fmt.Errorf("reading its report: %w", err)
		}
		t.Log = log.String()
		for _, roll := range append(r.Slowest, r.Failures...) { // a roll may be among both
			if !slices.Contains(t.TraceIDs, roll.TraceID) {
				t.TraceIDs = append(t.TraceIDs, roll.TraceID)
			}
		}
		for _, n := range r.Dropped {
			t.Dropped += n
		}
		return t, nil
	}
}

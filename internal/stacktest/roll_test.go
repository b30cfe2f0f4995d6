//go:build stack

package stacktest_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/lab/native"
	"dicelab/internal/query"
	"dicelab/stack"
)

// TestLab follows one roll through the real stack, and finds it again the day
// after.
func TestLab(t *testing.T) {
	t.Parallel()
	at, data := free(t), t.TempDir()
	args := []string{"--data", data, "--error-rate", "0", "--max-delay", "0s"}
	lab := start(t, at, args...)
	lab.open(t)
	for _, line := range lab.stdout.lines() {
		t.Log(line)
	}
	t.Run("sockets", func(t *testing.T) { sockets(t, lab) })
	// Whether one span is below another, Tempo knows only in a trace that has its
	// root, so this one is begun by the front end.
	first := time.Now()
	begun, err := roll(t.Context(), at.url("frontend"), contract.DieRisky, "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "trace by search over both services", first, func(ctx context.Context) (string, error) {
		return search(ctx, at.readers(t), begun, `{resource.service.name="`+contract.ServiceFrontend+`"} >> {resource.service.name="`+contract.ServiceRoller+`"}`)
	})
	// Tempo and the exemplars drop leading zeros; whatever reads them must not.
	const id, traceparent = "00a5c0ffee00112233445566778899ab", "00-00a5c0ffee00112233445566778899ab-0123456789abcdef-01"
	since := time.Now()
	got, err := roll(t.Context(), at.url("frontend"), contract.DieRisky, traceparent)
	if err != nil || got != id {
		t.Fatalf("the roll's trace is %q, %v; want %q", got, err, id)
	}
	t.Run("arrives", func(t *testing.T) { arrives(t, at, id, since) })
	t.Run("memory", func(t *testing.T) {
		total, guards, private := 0, 0, 0
		for _, c := range stack.Components() {
			all, anonymous := resident(t, server(t, lab.cmd.Process.Pid, c.Name).pid)
			t.Logf("%-15s %4d MiB resident, %4d MiB of it anonymous", c.Name, all, anonymous)
			total += all
		}
		for _, p := range processes(t, lab.cmd.Process.Pid) {
			if len(p.args) > 1 && p.args[1] == "guard" {
				all, anonymous := resident(t, p.pid)
				guards += all
				private += anonymous
			}
		}
		t.Logf("%-15s %4d MiB resident; their guards %d MiB, %d MiB of it anonymous", "all five", total, guards, private)
	})
	if t.Failed() {
		return
	}
	if status := lab.stop(t); status != 0 {
		t.Fatalf("exit status %d\n%s\n%s", status, lab.stdout, lab.stderr)
	}
	for _, line := range lab.stdout.lines() {
		if strings.Contains(line, "stopped") {
			t.Log(line)
		}
	}
	if text := lab.stderr.String(); text != "" {
		t.Errorf("stderr:\n%s", text)
	}

	lab = start(t, at, args...)
	lab.open(t)
	t.Run("yesterday's data is found again", func(t *testing.T) { arrives(t, at, id, time.Now()) })
	t.Run("the log goes on", func(t *testing.T) {
		r := at.readers(t)
		until(t, "the line of the second start", time.Now(), func(ctx context.Context) (string, error) {
			found, err := lines(ctx, r, fmt.Sprintf(`{%s=%q} |= %q`, contract.StreamService, contract.ServiceRoller, contract.MsgRollerStarted))
			if err != nil || len(found) != 2 {
				return fmt.Sprintf("%d lines", len(found)), err
			}
			return "", nil
		})
	})
	t.Run("a server that is killed ends the lab", func(t *testing.T) {
		kill(t, server(t, lab.cmd.Process.Pid, stack.Tempo).pid)
		if status := lab.wait(t); status != 1 {
			t.Errorf("exit status %d, want 1", status)
		}
		first := "dicelab: error: tempo ended (signal: killed)"
		lines := lab.stderr.lines()
		if len(lines) == 0 || !strings.HasPrefix(lines[0], first) || strings.Count(lab.stderr.String(), "dicelab: error: ") > 4 {
			t.Errorf("stderr:\n%s\nwant first: %s", lab.stderr, first)
		}
		t.Logf("stderr:\n%s", lab.stderr)
		if left := listening(t, processes(t, lab.cmd.Process.Pid)); len(left) > 0 {
			t.Errorf("still listening: %v", left)
		}
	})
}

// sockets compares every listening socket of the lab's processes with the
// addresses that it was given.
func sockets(t *testing.T, lab *running) {
	got := listening(t, processes(t, lab.cmd.Process.Pid))
	if diff := gocmp.Diff(slices.Sorted(maps.Values(lab.addresses)), got); diff != "" {
		t.Errorf("listening sockets (-table +found):\n%s", diff)
	}
	for _, addr := range got {
		if ap, err := netip.ParseAddrPort(addr); err != nil || !ap.Addr().IsLoopback() {
			t.Errorf("%s is not on loopback (%v)", addr, err)
		}
	}
	if _, err := net.Dial("tcp", lab.addresses[native.Prometheus]); err != nil {
		t.Error(err)
	}
}

// rolls is the number of rolls that TestLab makes.
const rolls = 2

// arrives looks for everything that a successful risky roll leaves behind.
func arrives(t *testing.T, at addresses, id string, since time.Time) {
	want, err := golden.Load(golden.Success)
	if err != nil {
		t.Fatal(err)
	}
	r := at.readers(t)
	byID := query.LogFilter{TraceID: id}.LogQL()
	until(t, "trace by ID, spans of both services", since, func(ctx context.Context) (string, error) {
		trace, err := r.tempo.Trace(ctx, id)
		if err != nil {
			return "", err
		}
		return gocmp.Diff(spansOf(want), foundSpans(trace)), nil
	})
	until(t, "trace by search for the front end's span", since, func(ctx context.Context) (string, error) {
		return search(ctx, r, id, `{resource.service.name="`+contract.ServiceFrontend+`" && name="`+contract.SpanFrontendRoll+`"}`)
	})
	until(t, "trace by search for the roller's span", since, func(ctx context.Context) (string, error) {
		return search(ctx, r, id, `{resource.service.name="`+contract.ServiceRoller+`" && span.`+contract.AttrDieType+`="`+contract.DieRisky+`"}`)
	})
	until(t, "log lines by trace ID", since, func(ctx context.Context) (string, error) {
		lines, err := lines(ctx, r, byID)
		return gocmp.Diff(linesOf(want), lines), err
	})
	for _, service := range contract.Services() {
		until(t, "log lines of the container of "+service, since, func(ctx context.Context) (string, error) {
			found, err := r.loki.QueryRange(ctx, query.LogQuery{
				LogQL: fmt.Sprintf(`{%s=%q}`, contract.StreamContainer, contract.ContainerName(service)), Start: time.Now().Add(-time.Hour), End: time.Now(),
			})
			if err != nil || len(found.Lines) == 0 {
				return "no lines", err
			}
			labels := map[string]string{
				contract.StreamContainer: contract.ContainerName(service), contract.StreamService: service,
				contract.StreamJob: service, contract.StreamLevel: contract.LevelInfo,
			}
			return gocmp.Diff(labels, found.Lines[0].Labels), nil
		})
	}
	until(t, "a line of no trace has no metadata", since, func(ctx context.Context) (string, error) {
		found, err := r.loki.QueryRange(ctx, query.LogQuery{
			LogQL: fmt.Sprintf(`{%s=%q} |= %q`, contract.StreamService, contract.ServiceRoller, contract.MsgRollerStarted), Start: time.Now().Add(-time.Hour), End: time.Now(),
		})
		if err != nil || len(found.Lines) == 0 {
			return "no such line", err
		}
		if n := len(found.Lines[0].Metadata); n > 0 {
			return fmt.Sprintf("it has %v", found.Lines[0].Metadata), nil
		}
		return "", nil
	})
	until(t, "lines of a trace have its metadata and no more", since, func(ctx context.Context) (string, error) {
		found, err := r.loki.QueryRange(ctx, query.LogQuery{LogQL: byID, Start: time.Now().Add(-time.Hour), End: time.Now()})
		if err != nil {
			return "", err
		}
		for _, l := range found.Lines {
			want := map[string]string{contract.FieldTraceID: l.Field(contract.FieldTraceID), contract.FieldSpanID: l.Field(contract.FieldSpanID)}
			if diff := gocmp.Diff(want, l.Metadata); diff != "" {
				return diff, nil
			}
			if at, err := time.Parse(time.RFC3339Nano, l.Field(contract.FieldTimestamp)); err != nil || !at.Equal(l.Time) {
				return fmt.Sprintf("the line of %s is stored at %s (%v)", l.Field(contract.FieldTimestamp), l.Time, err), nil
			}
		}
		return "", nil
	})
	until(t, "both targets up", since, func(ctx context.Context) (string, error) {
		targets, err := r.prometheus.Targets(ctx)
		health := map[string]string{}
		for _, t := range targets {
			health[t.Job] = t.Health
		}
		return gocmp.Diff(map[string]string{contract.ServiceFrontend: "up", contract.ServiceRoller: "up"}, health), err
	})
	// A counter of an earlier run has gone from the instant, not from the hour.
	for _, q := range []struct{ what, promql string }{
		{"roll counted", fmt.Sprintf(`max_over_time(%s{job=%q,die_type="risky",result="success"}[1h])`, contract.MetricDiceRolls, contract.ServiceRoller)},
		{"click counted", fmt.Sprintf(`max_over_time(%s{job=%q,die_type="risky"}[1h])`, contract.MetricButtonClicks, contract.ServiceFrontend)},
		{"service graph", fmt.Sprintf(`max_over_time(%s{client=%q,server=%q}[1h])`, contract.MetricGraphRequests, contract.ServiceFrontend, contract.ServiceRoller)},
		{"span metrics", fmt.Sprintf(`max_over_time(%s{service=%q,span_name=%q}[1h])`, contract.MetricSpanCalls, contract.ServiceRoller, contract.SpanRollerRoll)},
	} {
		until(t, q.what, since, func(ctx context.Context) (string, error) {
			result, err := r.prometheus.Query(ctx, q.promql, time.Time{})
			if err != nil || len(result.Series) == 0 {
				return "no series", err
			}
			if got := result.Series[0].Last(); got != rolls {
				return fmt.Sprintf("%v, want %d", got, rolls), nil
			}
			return "", nil
		})
	}
	// Of the metrics that Tempo generates, exemplars are sent once, and those of the
	// first collections not always; TestDashboard, which rolls on, wants them.
	for _, metric := range []string{contract.MetricDiceRolls, contract.MetricBackendDuration + "_bucket"} {
		until(t, "exemplar of "+metric+" that resolves", since, func(ctx context.Context) (string, error) {
			exemplars, err := r.prometheus.Exemplars(ctx, metric, time.Now().Add(-time.Hour), time.Now())
			if err != nil {
				return "", err
			}
			for _, e := range exemplars {
				if e.TraceID == id {
					trace, err := r.tempo.Trace(ctx, e.TraceID)
					if err != nil {
						return "", err
					}
					return gocmp.Diff(spansOf(want), foundSpans(trace)), nil
				}
			}
			return fmt.Sprintf("not among %v", exemplars), nil
		})
	}
}

func search(ctx context.Context, r readers, id, traceQL string) (string, error) {
	found, err := r.tempo.Search(ctx, query.Search{TraceQL: traceQL, Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Minute)})
	if err != nil {
		return "", err
	}
	for _, f := range found.Traces {
		if f.TraceID == id {
			return "", nil
		}
	}
	return fmt.Sprintf("not among %d traces", len(found.Traces)), nil
}

// span has the compared parts of a span: service, name, kind, its parent's name.
type span struct{ Service, Name, Kind, Parent string }

func spansOf(want golden.Telemetry) (out []span) {
	for _, s := range want.Spans {
		out = append(out, span{s.Service, s.Name, strings.ToLower(s.Kind), s.Parent})
	}
	return sorted(out)
}

func foundSpans(trace *query.Trace) (out []span) {
	names := map[string]string{}
	for _, s := range trace.Spans {
		names[s.SpanID] = s.Name
	}
	for _, s := range trace.Spans {
		out = append(out, span{s.Service, s.Name, s.Kind, names[s.ParentID]})
	}
	return sorted(out)
}

// line has the compared parts of a log line.
type line struct{ Service, Level, Message string }

func linesOf(want golden.Telemetry) (out []line) {
	for _, l := range want.Lines {
		out = append(out, line{l.Service, l.Level, l.Message})
	}
	return sorted(out)
}

func lines(ctx context.Context, r readers, logQL string) (out []line, err error) {
	found, err := r.loki.QueryRange(ctx, query.LogQuery{LogQL: logQL, Start: time.Now().Add(-time.Hour), End: time.Now(), Limit: 1000})
	if err != nil {
		return nil, err
	}
	for _, l := range found.Lines {
		out = append(out, line{l.Service(), l.Level(), l.Message()})
	}
	return sorted(out), nil
}

func sorted[T any](all []T) []T {
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all
}

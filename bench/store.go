package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"dicelab/internal/contract"
)

// settle is the time without requests before the idle memory of a backend is read.
const settle = 2 * time.Second

// senders is the number of exports under way at once.
const senders = 4

// measureStore measures the embedded stack, and the real Tempo and Loki if they are
// installed.
func measureStore(ctx context.Context, p plan, r *report) error {
	if runtime.GOOS != "linux" {
		return errors.New("CPU and memory of the lab are read from Linux's /proc")
	}
	if err := sustained(ctx, p, r); err != nil {
		return err
	}
	return growth(ctx, p, r)
}

// sustained sends each request as soon as the previous one is answered.
func sustained(ctx context.Context, p plan, r *report) error {
	r.heading("Spans and log lines stored")
	r.line("%d senders at once on the same %d processors, %v each, sent as fast as answers come. Rolls are exports of %d spans of the front end and", senders, runtime.NumCPU(), p.scale.sustain, exportRolls*3)
	r.line("%d of the roller, alike but for IDs and times, and pushes of %d lines. Orders are exports of %d spans of three services, which begin within", exportRolls*2, pushLines, orderTraces*orderSpans)
	r.line("the last %v, and pushes of %d lines: random values, in no order.", orderAge, pushLines)
	r.line("dicelab answers when the spans are in the journal, Tempo when it has them in memory and in its log, Loki when it has lines in memory.")
	r.line("Memory is the proportional set size, of the lab that of its three processes.")
	r.line("")
	r.line("| | stored/s | CPU each | bytes each on disk | memory idle | at most |")
	r.line("|---|---|---|---|---|---|")
	type start func(context.Context, plan, string) (*backend, error)
	type server struct {
		name  string
		start start
	}
	lab := server{"dicelab, embedded", startLab}
	for _, of := range []struct {
		what  string
		load  func(b *backend, sender int) (loader, error)
		other server
		found string // program of the other
	}{
		{"spans of rolls", rollSpansTo, server{"Tempo", startTempo}, p.tempo},
		{"spans of orders", orderSpansTo, server{"Tempo", startTempo}, p.tempo},
		{"log lines of rolls", rollLinesTo, server{"Loki", startLoki}, p.loki},
		{"log lines of orders", orderLinesTo, server{"Loki", startLoki}, p.loki},
	} {
		list := []server{lab}
		if of.found != "" {
			list = append(list, of.other)
		}
		for _, s := range list {
			r.progress("store: %s into %s for %v", of.what, s.name, p.scale.sustain)
			if err := sustain(ctx, p, r, of.what+", "+s.name, s.start, of.load); err != nil {
				return fmt.Errorf("%s into %s: %w", of.what, s.name, err)
			}
		}
	}
	if p.tempo == "" || p.loki == "" {
		r.line("")
		r.line("Not all of the real Tempo and Loki were found here (PATH or SERVERS=DIR).")
	}
	return nil
}

// loader sends one export, or push, and returns how many spans, or lines, it had.
type loader func(ctx context.Context) (sent int, err error)

func rollSpansTo(b *backend, sender int) (loader, error) {
	s, err := newStream(uint64(sender)+1, exportRolls)
	return func(ctx context.Context) (int, error) {
		frontend, roller, _ := s.next(time.Now())
		return exportSpans, errors.Join(b.export(ctx, frontend), b.export(ctx, roller))
	}, err
}

func orderSpansTo(b *backend, sender int) (loader, error) {
	o := newOrders(uint64(sender) + 1)
	return func(ctx context.Context) (int, error) {
		body, err := o.spans(time.Now())
		if err != nil {
			return 0, err
		}
		return orderTraces * orderSpans, b.export(ctx, body)
	}, nil
}

func rollLinesTo(b *backend, sender int) (loader, error) {
	n := 0
	return func(ctx context.Context) (int, error) {
		n++
		return pushLines, b.push(ctx, pushOf(time.Now(), sender, n))
	}, nil
}

func orderLinesTo(b *backend, sender int) (loader, error) {
	o := newOrders(uint64(sender) + 1)
	return func(ctx context.Context) (int, error) {
		body, err := o.lines(time.Now())
		if err != nil {
			return 0, err
		}
		return pushLines, b.push(ctx, body)
	}, nil
}

// sustain measures a load on a server, and writes its row.
func sustain(ctx context.Context, p plan, r *report, name string, start func(context.Context, plan, string) (*backend, error), load func(*backend, int) (loader, error)) (err error) {
	data := filepath.Join(p.dir, "sustained")
	b, err := start(ctx, p, data)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, b.stop())
		}
		err = errors.Join(err, os.RemoveAll(data))
	}()
	m, err := hold(ctx, b, p.scale.sustain, func(ctx context.Context, sender int, until time.Time, sent *atomic.Int64) error {
		next, err := load(b, sender)
		for err == nil && time.Now().Before(until) {
			var n int
			n, err = next(ctx)
			sent.Add(int64(n))
		}
		return err
	})
	if err != nil {
		return err
	}
	stopped = true
	if err := b.stop(); err != nil {
		return err
	}
	size, err := b.size()
	if err != nil {
		return err
	}
	r.line("| %s | %.0f | %.1f µs | %.0f | %.0f MB | %.0f MB |", name, m.perSecond(), m.cpuEach(), float64(size)/float64(m.sent), mega(m.idle), mega(m.peak))
	return nil
}

// measured is the result of hold.
type measured struct {
	sent       int64
	took       time.Duration
	cpu        time.Duration
	idle, peak int64 // bytes
}

func (m measured) perSecond() float64 { return float64(m.sent) / m.took.Seconds() }
func (m measured) cpuEach() float64   { return m.cpu.Seconds() * 1e6 / float64(m.sent) }

func mega(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// hold lets senders send for a while and measures the backend.
func hold(ctx context.Context, b *backend, d time.Duration, load func(ctx context.Context, sender int, until time.Time, sent *atomic.Int64) error) (m measured, err error) {
	time.Sleep(settle)
	if m.idle, err = b.memory(); err != nil {
		return m, err
	}
	before, err := b.cpu()
	if err != nil {
		return m, err
	}
	start := time.Now()
	var sent atomic.Int64
	errs := make([]error, senders)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() { errs[i] = load(ctx, i, start.Add(d), &sent) })
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-tick.C:
			now, err := b.memory()
			if err != nil {
				return m, err
			}
			m.peak = max(m.peak, now)
		}
	}
	m.took, m.sent = time.Since(start), sent.Load()
	after, err := b.cpu()
	m.cpu = after - before
	return m, errors.Join(append(errs, err)...)
}

// pushLines is the number of lines in a push.
const pushLines = 500

// pushOf returns a push of lines like those of the roller.
func pushOf(now time.Time, sender, n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"streams":[{"stream":{"container_name":"dice-roller-stage2","job":"dice-roller","level":"INFO","service_name":"dice-roller"},"values":[`)
	for i := range pushLines {
		if i > 0 {
			b.WriteByte(',')
		}
		trace := fmt.Sprintf("%08x%08x%08x%08x", 0xbe000000+sender, n, i, n^i)
		at := now.Add(time.Duration(i-pushLines) * time.Microsecond)
		fmt.Fprintf(&b, `["%d","{\"timestamp\":\"%s\",\"level\":\"INFO\",\"message\":\"Roll completed\",\"logger\":\"dice-roller\",\"trace_id\":\"%s\",\"span_id\":\"00f067aa0ba902b7\",\"die_type\":\"fair\",\"status\":200,\"duration_seconds\":0.25,\"roll_value\":4}",{"trace_id":"%s","span_id":"%016x"}]`,
			at.UnixNano(), at.UTC().Format("2006-01-02T15:04:05.000000Z"), trace, trace, n*pushLines+i)
	}
	b.WriteString("]}]}")
	return b.Bytes()
}

// kind is a query that is timed.
type kind struct {
	name string
	ask  func(ctx context.Context, b *backend, id string) ([]byte, error)
	want string // a part of each correct response
}

func kinds() []kind {
	search := func(q string) func(context.Context, *backend, string) ([]byte, error) {
		return func(ctx context.Context, b *backend, _ string) ([]byte, error) { return b.search(ctx, q) }
	}
	return []kind{
		{"search: service and status", search(`{ resource.service.name = "` + contract.ServiceRoller + `" && status = error }`), "traceID"},
		{"search: name and duration, one span in 50,000", search(`{ name = "` + contract.SpanRollerRoll + `" && duration > 4s }`), `"traces"`},
		{"search: an attribute, frequent", search(`{ span.` + contract.AttrRollValue + ` = 5 }`), "traceID"},
		{"search: an attribute, one span in 100,000 of the orders", search(`{ span.user.id = "u17" }`), `"traces"`},
		{"search: an attribute, never there", search(`{ span.` + contract.AttrRollValue + ` = 99 }`), `"traces"`},
		{"trace by ID", func(ctx context.Context, b *backend, id string) ([]byte, error) { return b.trace(ctx, id) }, contract.SpanRoll},
		{"log lines of a trace", func(ctx context.Context, b *backend, id string) ([]byte, error) {
			return b.logs(ctx, `{service_name="`+contract.ServiceRoller+`"} | trace_id="`+id+`"`)
		}, id32},
		{"log lines, newest 20", func(ctx context.Context, b *backend, _ string) ([]byte, error) {
			return b.logs(ctx, `{service_name="`+contract.ServiceRoller+`"}`)
		}, "Roll completed"},
	}
}

// id32 stands for the ID of the query.
const id32 = "ID"

// maxLines limits the number of log lines, so that spans and lines together stay below the
// store's limit of 2 GiB.
const maxLines = 500_000

// ordersEvery is the number of exports of rolls between two of orders while the store
// is filled.
const ordersEvery = 10

// growth fills the store step by step and times queries at each.
func growth(ctx context.Context, p plan, r *report) (err error) {
	b, err := startLab(ctx, p, filepath.Join(p.dir, "growth"))
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, b.stop())
		}
	}()
	stream, err := newStream(99, exportRolls)
	if err != nil {
		return err
	}
	var ids []string
	shop := newOrders(99)
	stored, exports, pushes := 0, 0, 0
	table := make([][]string, len(kinds()))
	var memory, fresh []string
	for _, size := range p.scale.sizes {
		r.progress("store: filling up to %d spans", size)
		for stored < size {
			frontend, roller, first := stream.next(time.Now())
			if err := errors.Join(b.export(ctx, frontend), b.export(ctx, roller)); err != nil {
				return err
			}
			if exports++; exports%ordersEvery == 0 {
				body, err := shop.spans(time.Now())
				if err := errors.Join(err, b.export(ctx, body)); err != nil {
					return err
				}
				stored += orderTraces * orderSpans
			}
			if stored += exportSpans; len(ids) < 1000 || exports%97 == 0 {
				ids = append(ids, first)
			}
			if pushes*pushLines < min(stored*4/rollSpans, maxLines) { // a roll writes four lines
				if err := b.push(ctx, pushOf(time.Now(), 77, pushes)); err != nil {
					return err
				}
				pushes++
			}
		}
		r.progress("store: queries at %d spans", size)
		for i, k := range kinds() {
			cell, err := timeQueries(ctx, b, k, ids, pushes, p.scale.queries)
			if err != nil {
				return fmt.Errorf("%s at %d spans: %w", k.name, size, err)
			}
			table[i] = append(table[i], cell)
		}
		cell, err := timeFresh(ctx, b, p.scale.queries/5)
		if err != nil {
			return err
		}
		fresh = append(fresh, cell)
		used, err := b.memory()
		if err != nil {
			return err
		}
		memory = append(memory, fmt.Sprintf("%.0f MB", mega(used)))
	}
	stopped = true
	if err := b.stop(); err != nil {
		return err
	}
	bytes, err := b.size()
	if err != nil {
		return err
	}
	started, idle, err := timeStart(ctx, p, b.data)
	if err != nil {
		return err
	}
	r.heading("Queries as the store grows")
	r.line("p50 / p95 of %d queries each over the public APIs, one at a time; one export in %d is of orders; there are four log lines for five spans, at most %d.", p.scale.queries, ordersEvery, maxLines)
	r.line("")
	head, rule := "| ", "|---"
	for _, size := range p.scale.sizes {
		head, rule = head+fmt.Sprintf("| %d spans ", size), rule+"|---"
	}
	r.line("%s|", head)
	r.line("%s|", rule)
	for i, k := range kinds() {
		r.row(k.name, table[i])
	}
	r.row("from export to found by a search", fresh)
	r.row("memory after the queries", memory)
	r.line("")
	r.line("The files of %d spans and %d log lines have %.0f MB. The lab starts over it, up to the first answer to a search, in %.0f ms;",
		stored, pushes*pushLines, mega(bytes), started.Seconds()*1000)
	r.line("idle, its three processes then have %.0f MB.", mega(idle))
	return nil
}

func timeQueries(ctx context.Context, b *backend, k kind, ids []string, pushes, n int) (string, error) {
	var took []float64
	for i := range n {
		id, want := ids[i*7919%len(ids)], k.want
		if want == id32 {
			push, line := i%pushes, i%pushLines
			id = fmt.Sprintf("%08x%08x%08x%08x", 0xbe000000+77, push, line, push^line)
			want = id
		}
		start := time.Now()
		answer, err := k.ask(ctx, b, id)
		took = append(took, time.Since(start).Seconds()*1000)
		if err != nil {
			return "", err
		}
		if !bytes.Contains(answer, []byte(want)) {
			return "", fmt.Errorf("the answer has no %q: %.300s", want, answer)
		}
	}
	return fmt.Sprintf("%.1f / %.1f ms", quantile(took, 0.5), quantile(took, 0.95)), nil
}

// timeFresh exports a roll and searches until it is found.
func timeFresh(ctx context.Context, b *backend, n int) (string, error) {
	s, err := newStream(uint64(time.Now().UnixNano()), 1)
	if err != nil {
		return "", err
	}
	var took []float64
	for range n {
		frontend, roller, first := s.next(time.Now())
		start := time.Now()
		if err := errors.Join(b.export(ctx, frontend), b.export(ctx, roller)); err != nil {
			return "", err
		}
		for {
			answer, err := b.search(ctx, `{ resource.service.name = "`+contract.ServiceRoller+`" }`)
			if err != nil {
				return "", err
			}
			if bytes.Contains(answer, []byte(first)) {
				break
			}
			if time.Since(start) > patience {
				return "", fmt.Errorf("no search finds trace %s", first)
			}
		}
		took = append(took, time.Since(start).Seconds()*1000)
	}
	return fmt.Sprintf("%.1f / %.1f ms", quantile(took, 0.5), quantile(took, 0.95)), nil
}

// timeStart starts the lab over a directory and waits for the response to a search. It also
// returns the idle memory of the lab.
func timeStart(ctx context.Context, p plan, data string) (took time.Duration, idle int64, err error) {
	start := time.Now()
	b, err := startLab(ctx, p, data)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	if _, err = b.search(ctx, `{ resource.service.name = "`+contract.ServiceRoller+`" }`); err != nil {
		return 0, 0, err
	}
	took = time.Since(start)
	time.Sleep(settle)
	idle, err = b.memory()
	return took, idle, err
}

// Package senders keeps a list of who sends telemetry to the embedded stack: for each
// service and signal since when, how much, when last, and what was refused and why.
//
// The list is in memory and begins with the process. It is bounded: further senders
// share one entry ([Overflow]), and so do further reasons.
package senders

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Signal is a kind of telemetry.
type Signal string

// The signals.
const (
	Traces  Signal = "traces"
	Logs    Signal = "logs"
	Metrics Signal = "metrics"
)

// Bounds of the list.
const (
	maxSenders = 1000 // entries
	maxReasons = 5    // of an entry
	maxText    = 300  // bytes of a name, or of a reason
)

// Overflow is the name of the entry that senders and reasons share which have no room.
const Overflow = "(others)"

// Sender is what one service has sent of one signal.
type Sender struct {
	Service string    `json:"service"` // "" if a request could not be read
	Signal  Signal    `json:"signal"`
	Since   time.Time `json:"since"`   // of its first request
	Last    time.Time `json:"last"`    // of its latest request
	Items   int64     `json:"items"`   // spans, log lines or points that were stored
	Bytes   int64     `json:"bytes"`   // of the decompressed requests in which they came
	Refused int64     `json:"refused"` // items, or requests that could not be read
	Reasons []Reason  `json:"reasons"` // for which they were refused
}

// Reason is why something was refused.
type Reason struct {
	Text  string    `json:"text"`
	Count int64     `json:"count"` // of items, or of requests that could not be read
	Last  time.Time `json:"last"`
}

// Options are the settings of a [Table]. The zero value is valid.
type Options struct {
	Now func() time.Time // default [time.Now]
	// New is called when the first items of a service and signal have been stored. It
	// must not call the table.
	New func(service string, signal Signal)
}

// Table is the list of senders. Its methods may be called from any goroutine. A nil
// Table keeps nothing.
type Table struct {
	o Options

	mu      sync.Mutex
	senders map[key]*Sender
}

type key struct {
	service string
	signal  Signal
}

// New returns an empty table.
func New(o Options) *Table {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Table{o: o, senders: make(map[key]*Sender)}
}

// Received adds items that were stored, and the bytes of the request that they came in.
func (t *Table) Received(service string, signal Signal, items int, bytes int64) {
	if t == nil || items == 0 {
		return
	}
	if t.received(clip(service), signal, items, bytes) && t.o.New != nil {
		t.o.New(clip(service), signal)
	}
}

// received reports whether they are the first items of a sender.
func (t *Table) received(service string, signal Signal, items int, bytes int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sender(service, signal)
	first := s.Items == 0 && s.Service == service
	s.Items += int64(items)
	s.Bytes += bytes
	return first
}

// Refused adds items that were refused. A request that could not be read is one item of
// the service "".
func (t *Table) Refused(service string, signal Signal, items int, reason error) {
	if t == nil || items == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sender(clip(service), signal)
	s.Refused += int64(items)
	text := clip(reason.Error())
	i := slices.IndexFunc(s.Reasons, func(r Reason) bool { return r.Text == text })
	if i < 0 && len(s.Reasons) == maxReasons {
		i = maxReasons - 1
		s.Reasons[i].Text = Overflow
	}
	if i < 0 {
		i = len(s.Reasons)
		s.Reasons = append(s.Reasons, Reason{Text: text})
	}
	s.Reasons[i].Count += int64(items)
	s.Reasons[i].Last = s.Last
}

// sender returns the entry of a service and signal, and makes it if there is none.
func (t *Table) sender(service string, signal Signal) *Sender {
	now := t.o.Now()
	s, ok := t.senders[key{service, signal}]
	if !ok && len(t.senders) >= maxSenders {
		service = Overflow
		s, ok = t.senders[key{service, signal}]
	}
	if !ok {
		s = &Sender{Service: service, Signal: signal, Since: now, Reasons: []Reason{}}
		t.senders[key{service, signal}] = s
	}
	s.Last = now
	return s
}

// List returns all senders, by service and signal.
func (t *Table) List() []Sender {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Sender, 0, len(t.senders))
	for _, s := range t.senders {
		one := *s
		one.Reasons = slices.Clone(s.Reasons)
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Sender) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(string(a.Signal), string(b.Signal)))
	})
	return list
}

// ServeHTTP answers with the list as JSON: {"senders": [...]}.
func (t *Table) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(map[string][]Sender{"senders": t.List()})
	if err != nil {
		http.Error(w, "encoding the list of senders: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // an error means that the client is gone
}

// clip bounds a text.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

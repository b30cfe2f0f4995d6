package generate

import (
	"cmp"
	"container/list"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
)

// edgeKey names a call: the trace and the client's span. A server's span whose
// call came from outside of the trace has no parent, and zeros here.
type edgeKey struct {
	trace [16]byte
	span  [8]byte
}

func (k edgeKey) root() bool { return k.span == [8]byte{} }

// edge is a call between two services.
type edge struct {
	key                          edgeKey
	client, server               string // "": not known yet
	connection                   string // contract.Connection…; "": a plain request
	peer                         string // name of the other side in a span
	clientSeconds, serverSeconds float64
	failed                       bool // on either side
	expires                      time.Time
}

// graph pairs the two sides of calls.
type graph struct {
	wait time.Duration
	max  int

	awaited map[edgeKey]*list.Element // of order
	order   list.List                 // of *edge, the longest waiting first

	done     func(*edge) // a call whose two sides are known
	unpaired func()      // called for a call that lacks one side
}

func newGraph(wait time.Duration, limit int, done func(*edge), unpaired func()) graph {
	return graph{wait: wait, max: limit, awaited: make(map[edgeKey]*list.Element), done: done, unpaired: unpaired}
}

// side is one span's description of a call.
type side struct {
	client     bool   // the caller's side
	service    string // in which the span ran
	connection string
	peer       string // its name for the other side
	seconds    float64
	failed     bool

	database bool   // the call goes to a database, which sends no spans
	node     string // its name; "" if unknown
}

// span adds a span. Its kind decides whether it is a side of a call.
func (g *graph) span(r resource, span *tracepb.Span, now time.Time) {
	kind := span.GetKind()
	s := side{service: r.service, client: kind == tracepb.Span_SPAN_KIND_CLIENT || kind == tracepb.Span_SPAN_KIND_PRODUCER}
	if !s.client && kind != tracepb.Span_SPAN_KIND_SERVER && kind != tracepb.Span_SPAN_KIND_CONSUMER {
		return
	}
	far := readRemote(span.GetAttributes())
	s.peer, s.seconds, s.failed = far.peer(), seconds(span), failed(span)
	if kind == tracepb.Span_SPAN_KIND_PRODUCER || kind == tracepb.Span_SPAN_KIND_CONSUMER {
		s.connection = contract.ConnectionMessaging
	}
	var key edgeKey
	copy(key.trace[:], span.GetTraceId())
	if s.client {
		copy(key.span[:], span.GetSpanId())
		s.node, s.database = far.database(r.remote)
	} else {
		copy(key.span[:], span.GetParentSpanId())
	}
	g.add(key, s, now)
}

// take copies the fields of a side into the edge. If both sides have a field, the later
// one counts.
func (e *edge) take(s side) {
	e.connection = s.connection
	e.failed = e.failed || s.failed
	e.peer = cmp.Or(s.peer, e.peer)
	if !s.client {
		e.server, e.serverSeconds = s.service, s.seconds
		return
	}
	e.client, e.clientSeconds = s.service, s.seconds
	if s.database {
		e.connection, e.serverSeconds = contract.ConnectionDatabase, s.seconds
		e.server = cmp.Or(s.node, e.server)
	}
}

// add adds one side of a call. If too many calls wait, it gives up the one that has
// waited longest: pairs arrive within moments of each other, and a side that waits long
// is mostly a trace's first span, which has no other side.
func (g *graph) add(key edgeKey, s side, now time.Time) {
	at, known := g.awaited[key]
	var e *edge
	if known {
		e = at.Value.(*edge)
	} else {
		e = &edge{key: key, expires: now.Add(g.wait)}
	}
	e.take(s)
	switch {
	case e.client != "" && e.server != "":
		if known {
			g.forget(at)
		}
		g.done(e)
	case !known:
		if g.order.Len() >= g.max {
			g.end(g.order.Front())
		}
		g.awaited[key] = g.order.PushBack(e)
	}
}

func (g *graph) forget(at *list.Element) {
	delete(g.awaited, at.Value.(*edge).key)
	g.order.Remove(at)
}

// expire gives up the calls that have waited long enough.
func (g *graph) expire(now time.Time) {
	for at := g.order.Front(); at != nil && !at.Value.(*edge).expires.After(now); at = g.order.Front() {
		g.end(at)
	}
}

// endAll gives up all calls that wait.
func (g *graph) endAll() {
	for at := g.order.Front(); at != nil; at = g.order.Front() {
		g.end(at)
	}
}

// end stops waiting for the other side of a call. That side may send no spans: it may
// have begun the trace, or be the peer that a span names.
func (g *graph) end(at *list.Element) {
	e := at.Value.(*edge)
	g.forget(at)
	switch {
	case e.client == "" && e.key.root():
		e.client = e.peer
		if e.client == "" {
			e.client = contract.ClientUser
		}
	case e.server == "" && e.peer != "":
		e.server = e.peer
	default:
		g.unpaired()
		return
	}
	e.connection = contract.ConnectionVirtual
	g.done(e)
}

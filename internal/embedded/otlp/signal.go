package otlp

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/senders"
)

// serviceKey is the resource attribute that names the sender.
const serviceKey = "service.name"

// response is the message that answers an export.
type response = proto.Message

// signal is one of the three kinds of exports, as both transports serve it.
type signal struct {
	name   senders.Signal
	items  string // what it consists of, in the plural
	path   string // of OTLP/HTTP
	method string // of OTLP/gRPC
	batch  string // the variable with which SDKs send smaller batches
	shape  *shape
	depth  int // to which messages may be nested
	// store decodes an export and stores it. Its error is a *refusal, or means that
	// nothing of the export is known to be stored.
	store func(ctx context.Context, e export) (outcome, error)
	// respond returns the response to an export of which some items were rejected. A
	// message without rejected items is a warning (OTLP 1.x, "Partial Success").
	respond func(rejected int64, message string) response
}

// outcome is the result of an export.
type outcome struct {
	received []part
	rejected []intake.Rejection
	note     string // a warning; "" if there is none
}

// part holds the items of one service in an export.
type part struct {
	service string
	items   int
}

// add adds items of a service.
func (o *outcome) add(service string, items int) {
	for i := range o.received {
		if o.received[i].service == service {
			o.received[i].items += items
			return
		}
	}
	o.received = append(o.received, part{service, items})
}

// reject moves the rejected items from those that were received.
func (o *outcome) reject(list []intake.Rejection) {
	o.rejected = list
	for _, r := range list {
		for i := range o.received {
			if o.received[i].service == r.Service {
				o.received[i].items = max(o.received[i].items-r.Items, 0)
			}
		}
	}
}

// message returns the text of a partial success, or "".
func (o *outcome) message(s *signal) string {
	n := intake.Rejected(o.rejected)
	if n == 0 {
		return o.note
	}
	text := fmt.Sprintf("%d %s were rejected, the first because %v", n, s.items, o.rejected[0].Reason)
	if o.note != "" {
		text += "; besides, " + o.note
	}
	return text
}

package intake

import "slices"

// Rejection is a part of a request that is not stored and must not be sent again.
type Rejection struct {
	Service string // the sender's name; "" if unknown
	Items   int    // number of spans, log records, points, …
	Reason  error  // of the first item
}

// AddRejection adds n items of a service to a list that has one entry a service.
func AddRejection(list []Rejection, service string, n int, reason error) []Rejection {
	if i := slices.IndexFunc(list, func(r Rejection) bool { return r.Service == service }); i >= 0 {
		list[i].Items += n
		return list
	}
	return append(list, Rejection{Service: service, Items: n, Reason: reason})
}

// Rejected returns the number of items in a list.
func Rejected(list []Rejection) (n int) {
	for _, r := range list {
		n += r.Items
	}
	return n
}

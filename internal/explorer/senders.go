package explorer

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/dustin/go-humanize"

	"dicelab/internal/query"
)

type sendersView struct {
	Failure *failure
	Senders []senderRow
	URL     string
}

type senderRow struct {
	query.Sender
	ServiceClass string
	Stored, Size string
	Since, Last  moment
	Ago          string
	Link         string // to what was sent
}

func (e *explorer) senders(w http.ResponseWriter, r *http.Request) {
	v := sendersView{URL: e.Senders.URL()}
	list, err := e.Senders.List(r.Context())
	v.Failure = newFailure(err)
	for _, s := range list {
		v.Senders = append(v.Senders, senderRow{
			Sender: s, ServiceClass: e.class(s.Service), Stored: humanize.Comma(s.Items), Size: humanize.IBytes(uint64(max(s.Bytes, 0))),
			Since: e.moment(s.Since), Last: e.moment(s.Last), Ago: e.ago(s.Last), Link: senderLink(s),
		})
	}
	e.render(w, v.Failure.status(), "senders", page{Title: "Senders", Section: "Senders", Live: true, Data: v})
}

// senderLink returns the page with what a sender has sent, or "".
func senderLink(s query.Sender) string {
	if s.Service == "" || s.Items == 0 {
		return ""
	}
	switch s.Signal {
	case "traces":
		return "/traces?" + url.Values{"service": {s.Service}}.Encode()
	case "logs":
		return "/logs?" + url.Values{"q": {"{service_name=" + strconv.Quote(s.Service) + "}"}}.Encode()
	case "metrics":
		return "/metrics?" + url.Values{"q": {"{job=~" + strconv.Quote("(.+/)?"+regexp.QuoteMeta(s.Service)) + "}"}}.Encode()
	}
	return ""
}

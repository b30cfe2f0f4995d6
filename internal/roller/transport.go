package roller

import (
	"net/http"

	"dicelab/internal/web"
)

// NewTransport returns a transport for a client of one roller.
func NewTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 100 // one host gets all the traffic; the default of 2 would reconnect for most of it
	t.MaxResponseHeaderBytes = web.MaxHeaderBytes
	return t
}

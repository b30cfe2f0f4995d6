package fault

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Lab is the services of a lab, which can be asked for the faults that are on. It may
// be used by several goroutines.
type Lab struct {
	services map[string]string // base URLs by name
	client   *http.Client

	mu    sync.Mutex // held while the services are asked
	asked time.Time
	on    []string
}

const (
	// labTimeout bounds the time for which a page waits for what is on.
	labTimeout = 500 * time.Millisecond
	// labFresh is the time for which an answer is used again.
	labFresh = time.Second
)

// NewLab returns a lab of services, base URLs by name.
func NewLab(services map[string]string, client *http.Client) *Lab {
	return &Lab{services: services, client: client}
}

// On lists the faults that are on, as "up --fault" takes them: dice-roller:slow=2s. A
// service that does not answer, or is none of the lab's, adds none: pages and checks
// show what is wrong with it. [Quest] stands for those that a quest hides.
func (l *Lab) On(ctx context.Context) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.asked) < labFresh {
		return l.on
	}
	ctx, cancel := context.WithTimeout(ctx, labTimeout)
	defer cancel()
	answers := make(chan []string, len(l.services))
	for service, url := range l.services {
		go func() {
			on, err := Remote{URL: url, Client: l.client}.On(ctx)
			if err != nil {
				on = nil
			}
			for i := range on {
				if on[i] != Quest { // it is of the lab
					on[i] = service + ":" + on[i]
				}
			}
			answers <- on
		}()
	}
	var on []string
	for range l.services {
		on = append(on, <-answers...)
	}
	slices.SortStableFunc(on, func(a, b string) int {
		service := func(s string) string { name, _, _ := strings.Cut(s, ":"); return name }
		return strings.Compare(service(a), service(b))
	})
	on = slices.Compact(on)
	l.on, l.asked = on, time.Now()
	return on
}

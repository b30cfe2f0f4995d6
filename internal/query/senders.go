package query

import (
	"context"
	"time"
)

// Senders is a client of the list of senders that the embedded stack serves beside OTLP
// over HTTP.
type Senders struct{ api }

// NewSenders makes a client.
func NewSenders(cfg Config) (*Senders, error) {
	a, err := newAPI("the list of senders", cfg)
	if err != nil {
		return nil, err
	}
	return &Senders{a}, nil
}

// Sender is what one service has sent of one signal since the stack started.
type Sender struct {
	Service string    `json:"service"` // "" if a request could not be read
	Signal  string    `json:"signal"`  // traces, logs or metrics
	Since   time.Time `json:"since"`   // of its first request
	Last    time.Time `json:"last"`    // of its latest request
	Items   int64     `json:"items"`   // that were stored
	Bytes   int64     `json:"bytes"`   // of the decompressed requests
	Refused int64     `json:"refused"` // items, or requests that could not be read
	Reasons []Refusal `json:"reasons"`
}

// Refusal is why something was refused.
type Refusal struct {
	Text  string    `json:"text"`
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
}

// List lists all senders, by service and signal.
func (s *Senders) List(ctx context.Context) ([]Sender, error) {
	var w struct {
		Senders []Sender `json:"senders"`
	}
	err := s.getJSON(ctx, "/api/senders", nil, nil, &w)
	return w.Senders, err
}

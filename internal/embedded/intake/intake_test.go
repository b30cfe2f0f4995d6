package intake_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"dicelab/internal/embedded/intake"
)

func TestReadAll(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		size   int
		most   int
		others int64 // bytes that other requests have reserved of the budget of 1 MiB
		tail   error
		want   error
	}{
		{name: "nothing", most: 10},
		{name: "as much as may be", size: 100_000, most: 100_000},
		{name: "one byte too much", size: 100_001, most: 100_000, want: &intake.TooLargeError{Limit: 100_000}},
		{name: "smaller than the first buffer, too much", size: 11, most: 10, want: &intake.TooLargeError{Limit: 10}},
		{name: "others leave enough", size: 100_000, most: 1 << 20, others: 800_000},
		{name: "others leave too little", size: 100_000, most: 1 << 20, others: 1_000_000, want: intake.ErrBusy},
		{name: "others leave nothing", size: 1, most: 1 << 20, others: 1 << 20, want: intake.ErrBusy},
		{name: "larger than everything", size: 2 << 20, most: 4 << 20, want: intake.ErrBusy},
		{name: "broken", size: 10, most: 100, tail: broken, want: broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			budget := intake.NewBudget(1 << 20)
			others := budget.Reserve(true)
			if err := others.Resize(tt.others); err != nil {
				t.Fatal(err)
			}
			body := bytes.Repeat([]byte("x"), tt.size)
			var r io.Reader = bytes.NewReader(body)
			if tt.tail != nil {
				r = io.MultiReader(r, iotest.ErrReader(tt.tail))
			}
			reservation := budget.Reserve(true)
			got, err := reservation.ReadAll(r, tt.most)
			var large, wantLarge *intake.TooLargeError
			if errors.As(tt.want, &wantLarge) {
				if !errors.As(err, &large) || *large != *wantLarge {
					t.Errorf("error %v, want %v", err, tt.want)
				}
			} else if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if tt.want == nil && !bytes.Equal(got, body) {
				t.Errorf("%d bytes, want %d", len(got), len(body))
			}
			reservation.Release()
			others.Release()
			if err := budget.Reserve(true).Resize(1 << 20); err != nil {
				t.Errorf("something is still reserved: %v", err)
			}
		})
	}
}

// Only the lab's own services may use the last 16th of a budget.
func TestReserve(t *testing.T) {
	budget := intake.NewBudget(1600)
	others, own := budget.Reserve(false), budget.Reserve(true)
	if err := others.Resize(1501); !errors.Is(err, intake.ErrBusy) {
		t.Errorf("others may use what is kept for the lab's own services: %v", err)
	}
	if err := others.Resize(1500); err != nil {
		t.Fatal(err)
	}
	if err := own.Resize(100); err != nil {
		t.Errorf("the lab's own services may not use what is kept for them: %v", err)
	}
	if err := own.Resize(101); !errors.Is(err, intake.ErrBusy) {
		t.Errorf("more than there is: %v", err)
	}
	others.Release()
	if err := own.Resize(1600); err != nil {
		t.Errorf("the lab's own services may not use what is free: %v", err)
	}
	if err := others.Resize(1); !errors.Is(err, intake.ErrBusy) {
		t.Errorf("more than there is: %v", err)
	}
	own.Release()
	if err := others.Resize(1500); err != nil {
		t.Errorf("something is still reserved: %v", err)
	}
}

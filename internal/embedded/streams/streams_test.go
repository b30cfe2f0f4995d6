package streams_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
)

// stream returns a line of stream n.
func line(n int) store.Line {
	return store.Line{Time: time.Unix(int64(n), 0), Stream: map[string]string{"n": fmt.Sprint(n)}, Text: fmt.Sprint(n)}
}

func lines(from, to int) (list []store.Line) {
	for n := from; n < to; n++ {
		list = append(list, line(n))
	}
	return list
}

// Only those lines of other senders are refused that would make too many streams. The lab's
// own lines still have streams.
func TestRefused(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir(), store.Options{LogAge: 1 << 62})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const most = 200
	table := streams.New(s, most, nil)
	if err := table.Others().AppendLines(t.Context(), lines(0, 60)); err != nil {
		t.Fatal(err)
	}
	// 60 exist. Of 140 more there is room for 40; two lines of one stream count once.
	mixed := append(lines(50, 110), line(109), line(105), line(0), line(110))
	err = table.Others().AppendLines(t.Context(), mixed)
	var refused *streams.RefusedError
	want := &streams.RefusedError{Refused: []int{50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 63}, Lines: 64, Streams: 100, Max: 100}
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if got, want := err.Error(), "13 of 64 lines were refused and the others are stored: there are 100 streams of log lines, and at most 100 are kept; "+
		"send what differs from line to line as structured metadata, not as labels"; got != want {
		t.Errorf("error %q", got)
	}
	if err := table.Own().AppendLines(t.Context(), lines(1000, 1000+streams.Reserve)); err != nil {
		t.Errorf("the lab's own lines: %v", err)
	}
	if err := table.Others().AppendLines(t.Context(), lines(0, 100)); err != nil {
		t.Errorf("lines of streams that exist: %v", err)
	}
	if err := table.Own().AppendLines(t.Context(), lines(5000, 5001)); !errors.As(err, &refused) || len(refused.Refused) != 1 {
		t.Errorf("more than all: %v", err)
	}
	list, err := s.Streams(t.Context(), time.Time{}, time.Time{})
	if err != nil || len(list) != most {
		t.Errorf("%d streams are stored, %v; want %d", len(list), err, most)
	}
	// What is stored counts after a restart, too.
	if err := streams.New(s, most, nil).Others().AppendLines(t.Context(), append(lines(0, 10), line(7777))); !errors.As(err, &refused) || len(refused.Refused) != 1 {
		t.Errorf("after a restart: %v", err)
	}
}

// Streams that the store has deleted make room.
func TestDeletedStreamsMakeRoom(t *testing.T) {
	now := time.Unix(1000, 0)
	s := &fake{}
	table := streams.New(s, streams.Reserve+2, func() time.Time { return now })
	if err := table.Others().AppendLines(t.Context(), lines(0, 2)); err != nil {
		t.Fatal(err)
	}
	s.lines = s.lines[1:]
	var refused *streams.RefusedError
	if err := table.Others().AppendLines(t.Context(), lines(2, 3)); !errors.As(err, &refused) {
		t.Errorf("at once: %v", err)
	}
	now = now.Add(time.Minute)
	if err := table.Others().AppendLines(t.Context(), lines(2, 3)); err != nil {
		t.Errorf("after a minute: %v", err)
	}
}

// If the store cannot store lines, its error is returned, and they make no streams.
func TestStoreFails(t *testing.T) {
	s := &fake{err: errors.New("disk full")}
	table := streams.New(s, streams.Reserve+2, nil)
	if err := table.Others().AppendLines(t.Context(), lines(0, 2)); !errors.Is(err, s.err) {
		t.Errorf("a store that fails: %v", err)
	}
	s.err = nil
	if err := table.Others().AppendLines(t.Context(), lines(2, 4)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// fake is a store in memory.
type fake struct {
	lines []store.Line
	err   error
}

func (f *fake) streams(lines []store.Line) map[string]map[string]string {
	found := map[string]map[string]string{}
	for _, l := range lines {
		found[l.Stream["n"]] = l.Stream
	}
	return found
}

func (f *fake) AppendLines(_ context.Context, lines []store.Line) error {
	if f.err != nil {
		return f.err
	}
	f.lines = append(f.lines, lines...)
	return nil
}

func (f *fake) Streams(context.Context, time.Time, time.Time) (list []map[string]string, err error) {
	for _, labels := range f.streams(f.lines) {
		list = append(list, labels)
	}
	return list, nil
}

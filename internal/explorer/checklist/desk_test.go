package checklist_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/explorer/checklist"
)

// fake is a checker whose results are the test's to give.
type fake struct {
	groups  []string // of the runs so far
	results chan checklist.Result
	end     chan error
}

func newFake() *fake { return &fake{results: make(chan checklist.Result), end: make(chan error)} }

func (f *fake) Rows() []checklist.Row       { return nil }
func (f *fake) Servers() []checklist.Server { return nil }

func (f *fake) Run(ctx context.Context, group string, began func(checklist.Start), each func(checklist.Result)) (report checklist.Report, err error) {
	f.groups = append(f.groups, group)
	began(checklist.Start{Mode: fmt.Sprintf("run %d", len(f.groups))})
	for {
		select {
		case r := <-f.results:
			report.Passed++
			each(r)
		case err := <-f.end:
			return report, err
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
}

func (f *fake) give(name string) { f.results <- checklist.Result{Row: checklist.Row{Name: name}} }

// clock is that of the bubble that a test runs in.
func desk(f *fake) *checklist.Desk { return checklist.NewDesk(f, time.Now) }

func start(t *testing.T, d *checklist.Desk, group string) *checklist.Run {
	t.Helper()
	run, err := d.Start(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// names reads a run to its end.
func names(t *testing.T, r *checklist.Run) (names []string) {
	for result := range r.Results(t.Context(), func() {}) {
		names = append(names, result.Name)
	}
	return names
}

func TestAllWhoWatchSeeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := desk(f)
		began := time.Now()
		start(t, d, "a")
		first, leave := d.Watch()
		seen := make(chan []string, 2)
		go func() { seen <- names(t, first) }()
		f.give("one")
		if again := start(t, d, "b"); again != first || again.Group != "a" {
			t.Errorf("a second run, of %q, began beside the first", again.Group)
		}
		second, leaveToo := d.Watch()
		go func() { seen <- names(t, second) }()
		f.give("two")
		f.end <- nil
		for range 2 {
			if diff := cmp.Diff([]string{"one", "two"}, <-seen); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
		}
		leave(false)
		leaveToo(true)
		last, failure := d.Last()
		if last != first || failure != nil || !last.Began.Equal(began) {
			t.Fatalf("the last run is %p, not %p; failure %v, began %v", last, first, failure, last.Began)
		}
		if report, err := last.Report(); report.Passed != 2 || err != nil {
			t.Errorf("report %+v, %v", report, err)
		}
		if diff := cmp.Diff([]string{"one", "two"}, names(t, last)); diff != "" {
			t.Errorf("results afterwards (-want +got):\n%s", diff)
		}
		if run, _ := d.Watch(); run != nil {
			t.Error("a run that has ended is given out to watch")
		}
		if diff := cmp.Diff([]string{"a"}, f.groups); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
	})
}

// A run that nobody watches goes on for the grace, and no longer.
func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := desk(f)
		run := start(t, d, "")
		for range 3 { // each comes back in time
			time.Sleep(checklist.Grace - 1)
			watched, leave := d.Watch()
			if watched != run {
				t.Fatal("the run was given up too early")
			}
			time.Sleep(time.Hour)
			leave(false)
		}
		time.Sleep(checklist.Grace - 1)
		start(t, d, "") // who asks is about to watch
		time.Sleep(checklist.Grace - 1)
		synctest.Wait()
		if run.Ended() {
			t.Error("the run was given up before the grace was over")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if _, err := run.Report(); !run.Ended() || !errors.Is(err, checklist.ErrUnwatched) {
			t.Errorf("ended %v, error %v", run.Ended(), err)
		}
		if last, failure := d.Last(); last != nil || !errors.Is(failure, checklist.ErrUnwatched) {
			t.Errorf("last %v, failure %v", last, failure)
		}
	})
}

// Where nobody will come back the run ends at once, unless others watch it.
func TestLeavingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := desk(newFake())
		run := start(t, d, "")
		_, leave := d.Watch()
		_, leaveToo := d.Watch()
		leave(true)
		if run.Ended() {
			t.Error("the run ended while somebody watched it")
		}
		leaveToo(true)
		if !run.Ended() {
			t.Error("leaving did not wait for the end")
		}
	})
}

// slow is a checker that does not end as soon as it is told to.
type slow struct{ *fake }

func (s slow) Run(ctx context.Context, group string, began func(checklist.Start), each func(checklist.Result)) (checklist.Report, error) {
	report, err := s.fake.Run(ctx, group, began, each)
	if err != nil {
		time.Sleep(time.Minute)
	}
	return report, err
}

// Who asks while a run is being given up gets the next one, and an earlier report
// stays.
func TestStartAfterOneThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := checklist.NewDesk(slow{f}, time.Now)
		first := start(t, d, "a")
		f.end <- nil
		synctest.Wait()
		second := start(t, d, "b")
		time.Sleep(checklist.Grace + 1)
		synctest.Wait()
		if run, _ := d.Watch(); run != nil {
			t.Error("a run that is being given up is given out to watch")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if run, err := d.Start(ctx, "c"); run != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("run %v, %v; want to wait for the end of the one before", run, err)
		}
		third := start(t, d, "c")
		if third == second || !second.Ended() || third.Group != "c" {
			t.Errorf("the next run is of %q, the one before has ended: %v", third.Group, second.Ended())
		}
		if last, failure := d.Last(); last != first || !errors.Is(failure, checklist.ErrUnwatched) {
			t.Errorf("last %v, failure %v", last, failure)
		}
		f.end <- nil
		synctest.Wait()
		if last, failure := d.Last(); last != third || failure != nil {
			t.Errorf("last %v, failure %v", last, failure)
		}
	})
}

func TestWhoGoesSeesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := desk(f)
		start(t, d, "")
		run, leave := d.Watch()
		ctx, cancel := context.WithCancel(t.Context())
		seen, pauses := make(chan string), 0
		go func() {
			defer close(seen)
			if s := run.Start(ctx, func() {}); s == nil || s.Mode != "run 1" {
				t.Errorf("start %+v", s)
			}
			for r := range run.Results(ctx, func() { pauses++ }) {
				seen <- r.Name
			}
		}()
		f.give("one")
		if got := <-seen; got != "one" {
			t.Errorf("seen %s", got)
		}
		synctest.Wait()
		cancel()
		if got, more := <-seen; more || pauses == 0 {
			t.Errorf("seen %q after going; %d pauses", got, pauses)
		}
		leave(true)
	})
}

func TestARunThatCannotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := checklist.NewDesk(unable{newFake()}, time.Now)
		run := start(t, d, "")
		if s := run.Start(t.Context(), func() {}); s != nil {
			t.Errorf("start %+v", s)
		}
		_, failure := d.Last()
		if e, ok := errors.AsType[*checklist.BeginError](failure); !ok || e.Error() != "nobody answers" || e.Hint != "start it" {
			t.Errorf("failure %v", failure)
		}
	})
}

type unable struct{ *fake }

func (unable) Run(context.Context, string, func(checklist.Start), func(checklist.Result)) (checklist.Report, error) {
	return checklist.Report{}, &checklist.BeginError{Err: errors.New("nobody answers"), Hint: "start it"}
}

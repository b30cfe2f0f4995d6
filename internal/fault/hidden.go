package fault

import "time"

// hidden is the faults of a quest.
type hidden struct {
	State
	lease *time.Timer // switches them off
}

// Hide makes specs the hidden faults of the service for the time of lease, in place of
// those that it had, which may be none: a quest is under way in both services and breaks
// one. A lease of 0 ends the quest. After an error nothing has changed.
func (s *Set) Hide(lease time.Duration, specs ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &hidden{}
	for _, spec := range specs {
		if err := s.enable(&next.State, spec); err != nil {
			return err
		}
	}
	if s.hidden != nil {
		s.hidden.lease.Stop()
	}
	s.hidden = nil
	if lease > 0 {
		s.hidden = next
		next.lease = time.AfterFunc(lease, func() { s.lapse(next) })
	}
	s.store()
	return nil
}

// lapse ends a quest whose lease was not renewed.
func (s *Set) lapse(ended *hidden) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden == ended {
		s.hidden = nil
		s.store()
	}
}

// store publishes the open faults and the hidden ones, which win.
func (s *Set) store() {
	both := s.open
	if s.hidden != nil {
		for _, f := range Catalogue() {
			if value, on := f.get(s.hidden.State); on {
				_ = f.set(&both, value) // it was accepted before
				both.Hidden = true
			}
		}
	}
	s.state.Store(&both)
}

package quest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Journal is the record of a quest. It is also the report, as JSON.
type Journal struct {
	Quest    string    `json:"quest"`
	Title    string    `json:"title"`
	Seed     uint64    `json:"seed"`
	State    string    `json:"state"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended,omitzero"`
	Why      string    `json:"why,omitempty"` // it ended
	Score    int       `json:"score"`         // 0 to 100
	Hints    int       `json:"hints"`
	Answers  []Answer  `json:"answers"`
	Mends    []Mend    `json:"mends,omitempty"`
	Incident *Incident `json:"incident,omitempty"`
	From     time.Time `json:"from,omitzero"` // the first roll of the incident
	To       time.Time `json:"to,omitzero"`   // the end of its last roll
	Faults   []Switch  `json:"faults,omitempty"`
	Rolls    []Roll    `json:"rolls,omitempty"`
	Failure  string    `json:"failure,omitempty"` // why the incident could not be made

	mu    *sync.Mutex
	dir   string
	quest Quest
}

// Answer is an answer of the learner.
type Answer struct {
	Time     time.Time `json:"time"`
	Question string    `json:"question"`
	Text     string    `json:"text"`
	Right    bool      `json:"right"`
	Why      string    `json:"why,omitempty"` // it is wrong
}

// Mend is an attempt to repair.
type Mend struct {
	Time    time.Time `json:"time"`
	Setting string    `json:"setting"`
	Right   bool      `json:"right"`
	Passed  int       `json:"passed,omitempty"` // checks of the checklist
	Failed  []string  `json:"failed,omitempty"` // names of those that failed
	Error   string    `json:"error,omitempty"`  // why the checklist could not run
}

// Switch is a moment at which faults were switched.
type Switch struct {
	Time time.Time           `json:"time"`
	On   map[string][]string `json:"on"` // from then on, by service
}

// Roll is a roll that the quest made.
type Roll struct {
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	Part     int       `json:"part"` // before, in, after the incident
	Die      string    `json:"die"`
	User     string    `json:"user"`
	Status   int       `json:"status"` // of the answer; 0: none came
	Detail   string    `json:"detail,omitempty"`
	TraceID  string    `json:"trace_id,omitempty"`
	Harmless bool      `json:"harmless,omitempty"` // an oddity that is no part of the incident
}

// The parts of an incident.
const (
	before = iota
	within
	after
)

// openName is the file of the journal of the quest that is under way.
const openName = "open.json"

func newJournal(dir string, q Quest, seed uint64, now time.Time) *Journal {
	j := &Journal{Quest: q.Name, Title: q.Title, Seed: seed, State: StateAsking, Began: now, Answers: []Answer{}, mu: &sync.Mutex{}, dir: dir, quest: q}
	if q.incident() {
		j.State = StateRunning
	}
	return j
}

func (j *Journal) change(change func(*Journal)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(j)
	j.Score = j.score()
}

func (j *Journal) state() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.State
}

// copy returns the journal as it is now.
func (j *Journal) copy() Journal {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := *j
	c.Answers, c.Mends, c.Rolls = slices.Clone(j.Answers), slices.Clone(j.Mends), slices.Clone(j.Rolls)
	return c
}

// right returns the right answer to a question, or "".
func (j *Journal) right(id string) string {
	for _, a := range j.copy().Answers {
		if a.Question == id && a.Right {
			return a.Text
		}
	}
	return ""
}

// open lists the questions that have no right answer.
func (j *Journal) open(q Quest) (ids []string) {
	for _, question := range q.Questions {
		if j.right(question.ID) == "" {
			ids = append(ids, question.ID)
		}
	}
	return ids
}

// score returns the points: each question has its share, the repair its own, and each hint
// costs.
func (j *Journal) score() int {
	most, repaired := fullScore, false
	if j.quest.incident() {
		most -= mendPoints
		repaired = slices.ContainsFunc(j.Mends, func(m Mend) bool { return m.Right && m.Error == "" && m.Passed > 0 && len(m.Failed) == 0 })
	}
	right := 0
	for _, q := range j.quest.Questions {
		if slices.ContainsFunc(j.Answers, func(a Answer) bool { return a.Question == q.ID && a.Right }) {
			right++
		}
	}
	score := most * right / max(1, len(j.quest.Questions))
	if repaired {
		score += mendPoints
	}
	return max(0, score-hintPrice*j.Hints)
}

// save writes the journal of a quest that is under way.
func (j *Journal) save() error {
	c := j.copy()
	if c.State == StateEnded {
		return nil // it has its own file by now
	}
	return writeJSON(filepath.Join(j.dir, openName), c)
}

// finish writes the journal into a file of its own.
func (j *Journal) finish() error {
	c := j.copy()
	if err := writeJSON(filepath.Join(j.dir, c.fileName()), c); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(j.dir, openName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("closing the journal of the quest: %w", err)
	}
	return nil
}

func (j *Journal) fileName() string {
	return fmt.Sprintf("%s-%s-%d.json", j.Began.UTC().Format("20060102T150405.000Z"), j.Quest, j.Seed)
}

// writeJSON writes a file for its owner alone, whole or not at all.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the journal of a quest: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing the journal of a quest: %w", err)
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the journal of a quest: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the journal of a quest: %w", err)
	}
	return nil
}

// closeLeftOpen closes the journal of a quest that ended with its process.
func closeLeftOpen(dir string) error {
	path := filepath.Join(dir, openName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the journal of the last quest: %w", err)
	}
	j := &Journal{mu: &sync.Mutex{}, dir: dir}
	if err := json.Unmarshal(text, j); err != nil {
		return os.Rename(path, path+".damaged") // written whole, so this was not us
	}
	j.State, j.Ended, j.Why = StateEnded, time.Now(), "the lab was killed"
	return j.finish()
}

// Journals returns the quests that have ended, the oldest first.
func Journals(dir string) (list []Journal, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths { // in the order of their names, which begin with the time
		if strings.HasSuffix(path, openName) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the journal of a quest: %w", err)
		}
		j := Journal{mu: &sync.Mutex{}}
		if err := json.Unmarshal(text, &j); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		list = append(list, j)
	}
	return list, nil
}

package quest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

// View is the content of the page and of the command's output.
type View struct {
	Quests  []Listed `json:"quests"`
	Current *Current `json:"current,omitempty"` // nil: none was started
}

// Listed is a quest in the list.
type Listed struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Level string `json:"level"`
	Path  int    `json:"path,omitempty"`
	Learn string `json:"learn"`
	Best  int    `json:"best"` // score; -1: it was never solved
}

// Current is the quest that is under way, or the last one.
type Current struct {
	Name      string    `json:"name"`
	Title     string    `json:"title"`
	Seed      uint64    `json:"seed"`
	Incident  bool      `json:"incident"`
	State     string    `json:"state"`
	Story     string    `json:"story"`
	Assume    string    `json:"assume"`
	Learn     string    `json:"learn"`
	Began     time.Time `json:"began"`
	Rolls     int       `json:"rolls"`               // made by the quest
	FirstRoll time.Time `json:"first_roll,omitzero"` // of the quest
	LastRoll  time.Time `json:"last_roll,omitzero"`  // the same
	Questions []Asked   `json:"questions"`
	Hints     []string  `json:"hints"`      // that were taken
	HintsLeft int       `json:"hints_left"` //
	Score     int       `json:"score"`
	Why       string    `json:"why,omitempty"` // it ended
	Settings  []string  `json:"settings,omitempty"`
	Mends     []Mend    `json:"mends,omitempty"`
	Explained []string  `json:"explained,omitempty"` // once it has ended
	Trace     string    `json:"trace,omitempty"`     // the learner's, with Explained
	Healthy   string    `json:"healthy,omitempty"`   // a trace of before, to compare
}

// Asked is a question with the latest answer.
type Asked struct {
	ID      string   `json:"id"`
	Ask     string   `json:"ask"`
	Form    string   `json:"form"`
	Choices []Choice `json:"choices,omitempty"`
	Answer  string   `json:"answer,omitempty"`
	Right   bool     `json:"right"`
	Why     string   `json:"why,omitempty"` // it is wrong
}

// View returns what is to be shown now.
func (e *Engine) View() (v View, err error) {
	best := map[string]int{}
	ended, err := Journals(e.Dir)
	if err != nil {
		return v, err
	}
	for _, j := range ended {
		if j.Why == "solved" {
			best[j.Quest] = max(best[j.Quest], j.Score+1)
		}
	}
	for _, q := range Quests() {
		v.Quests = append(v.Quests, Listed{q.Name, q.Title, q.Level, q.Path, q.Learn, best[q.Name] - 1})
	}
	if r := e.current(); r != nil {
		v.Current = r.view()
	}
	return v, nil
}

func (r *run) view() *Current {
	j, q := r.journal.copy(), r.quest
	c := &Current{Name: q.Name, Title: q.Title, Seed: j.Seed, Incident: q.incident(), State: j.State, Story: q.Story, Assume: q.Assume, Learn: q.Learn,
		Began: j.Began, Rolls: len(j.Rolls), Hints: q.Hints[:min(j.Hints, len(q.Hints))], HintsLeft: len(q.Hints) - j.Hints, Score: j.Score, Why: j.Why, Mends: j.Mends}
	for _, roll := range j.Rolls {
		if c.FirstRoll.IsZero() || roll.Start.Before(c.FirstRoll) {
			c.FirstRoll = roll.Start
		}
		if roll.End.After(c.LastRoll) {
			c.LastRoll = roll.End
		}
	}
	for _, question := range q.Questions {
		a := Asked{ID: question.ID, Ask: question.Ask, Form: question.Form, Choices: question.Choices}
		for _, answer := range j.Answers {
			if answer.Question == question.ID {
				a.Answer, a.Right, a.Why = answer.Text, answer.Right, answer.Why
			}
		}
		c.Questions = append(c.Questions, a)
	}
	if j.State == StateMending {
		c.Settings = settings()
	}
	if j.State == StateEnded {
		r.explain(c, j)
	}
	return c
}

// explain adds what happened, on the learner's own traces.
func (r *run) explain(c *Current, j Journal) {
	c.Trace = r.journal.right("trace")
	if !r.quest.incident() {
		if j.Why == "solved" {
			c.Explained = []string{r.quest.After}
		}
		return
	}
	in := r.incident
	cause := causes()[in.Cause]
	c.Explained = []string{cause.says + " It was " + in.Fault() + ", in " + in.Service + ".", cause.explain(in)}
	if !j.From.IsZero() {
		c.Explained = append(c.Explained, fmt.Sprintf("It began with the roll at %s and ended with the one that was answered at %s.",
			j.From.Format("15:04:05.0"), j.To.Format("15:04:05.0")))
	}
	if in.Stranger != "" {
		c.Explained = append(c.Explained, in.Stranger+", who asked for a golden die, was harmless: it went on before and after.")
	}
	if in.Blip != "" {
		c.Explained = append(c.Explained, "A slow roll right at the beginning had nothing to do with it.")
	}
	if i := slices.IndexFunc(j.Rolls, func(roll Roll) bool { return roll.Part == before && !roll.Harmless && roll.Status == 200 }); i >= 0 && cause.shows != nil {
		c.Healthy = j.Rolls[i].TraceID
		if c.Trace == "" {
			if i := slices.IndexFunc(j.Rolls, func(roll Roll) bool { return roll.Part == within && !roll.Harmless }); i >= 0 {
				c.Trace = j.Rolls[i].TraceID
			}
		}
	}
}

// settings lists what can be switched off to mend an incident, SERVICE:FAULT.
func settings() (list []string) {
	for _, spec := range fault.Examples(contract.Services()...) {
		name, _, _ := strings.Cut(spec, "=")
		list = append(list, name)
	}
	return list
}

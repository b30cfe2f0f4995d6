package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dicelab/internal/cli"
	"dicelab/internal/lab"
	"dicelab/internal/quest"
	"dicelab/internal/terminal"
	"dicelab/internal/wait"
	"dicelab/internal/web"
)

type questCommand struct {
	Action      string   `arg:"" optional:"" name:"ACTION" enum:"list,start,status,answer,hint,mend,stop,report" default:"list" help:"One of list, start NAME, status, answer ID=TEXT…, hint, mend SERVICE:FAULT, stop, report."`
	Words       []string `arg:"" optional:"" name:"WORD" help:"What the action needs: a name, answers, a setting."`
	Seed        string   `placeholder:"NUMBER" help:"With start: number from which the incident is made; the same seed, the same incident. Random if not given."`
	Format      string   `enum:"text,json,html" default:"text" help:"Form of what is printed: text, json, or html for a report."`
	ExplorerURL cli.URL  `default:"http://localhost:${explorer}" help:"URL of the lab's explorer."`
	Data        string   `default:".dicelab" help:"Data directory of the lab, which has the token for its quests."`
}

// Check refuses words that the action does not take.
func (c *questCommand) Check(given cli.Given) error {
	words := map[string]string{"start": "the name of a quest", "mend": "a setting, SERVICE:FAULT", "answer": "answers, such as what=slow"}
	what, takes := words[c.Action]
	switch {
	case given["seed"] && c.Action != "start":
		return errors.New("--seed has no effect without start")
	case c.Format == "html" && c.Action != "report":
		return errors.New("--format=html has no effect without report")
	case takes && len(c.Words) == 0:
		return fmt.Errorf("%s needs %s", c.Action, what)
	case !takes && len(c.Words) > 0, takes && c.Action != "answer" && len(c.Words) > 1:
		return fmt.Errorf("unexpected argument %s", c.Words[len(c.Words)-1])
	}
	for _, w := range c.Words {
		if id, _, ok := strings.Cut(w, "="); c.Action == "answer" && (!ok || id == "") {
			return fmt.Errorf("%s is no answer: write it as ID=TEXT, such as what=slow", w)
		}
	}
	return nil
}

// Run performs an action of a quest in the running lab, and prints what is to be seen. It
// exits 1 if an answer that was given is wrong.
func (c *questCommand) Run(ctx context.Context, env environment) error {
	token, err := os.ReadFile(filepath.Join(c.Data, quest.TokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return lab.Refuse(fmt.Errorf("no lab runs with the data directory %s", c.Data), "start it with: dicelab up; or say where it is with --data")
	}
	if err != nil {
		return lab.Refuse(fmt.Errorf("reading the token of the lab: %w", err), "")
	}
	client := questClient{base: strings.TrimSuffix(string(c.ExplorerURL), "/"), token: strings.TrimSpace(string(token))}
	if c.Action == "report" {
		return c.report(ctx, env, client)
	}
	form := url.Values{}
	switch c.Action {
	case "start":
		form.Set("name", c.Words[0])
		form.Set("seed", c.Seed)
	case "mend":
		form.Set("setting", c.Words[0])
	case "answer":
		for _, w := range c.Words {
			id, text, _ := strings.Cut(w, "=")
			form.Set(id, text)
		}
	}
	var view quest.View
	if c.Action == "list" || c.Action == "status" {
		view, err = client.view(ctx, http.MethodGet, "", nil)
	} else {
		view, err = client.view(ctx, http.MethodPost, "/"+c.Action, form)
	}
	if err == nil && c.Action == "mend" { // the checklist takes some seconds
		view, err = client.until(ctx, view, quest.StateChecking)
	}
	if err != nil {
		return err
	}
	if c.Format == "json" {
		out := json.NewEncoder(env.stdout)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		err = out.Encode(view)
	} else {
		out := terminal.NewPrinter(env.stdout.Raw(), lab.Colour(env.stdout.File(), env.getenv))
		if c.Action == "list" {
			printQuests(out, view)
		} else {
			printQuest(out, view.Current)
		}
		err = out.Err()
	}
	if err == nil && c.Action == "answer" {
		for _, q := range view.Current.Questions {
			if form.Has(q.ID) && !q.Right {
				return statusError(lab.ExitFailed)
			}
		}
	}
	return err
}

func (c *questCommand) report(ctx context.Context, env environment, client questClient) error {
	accept := "application/json"
	if c.Format == "html" {
		accept = quest.ReportHTML
	}
	body, err := client.call(ctx, http.MethodGet, "/report", nil, accept)
	if err != nil {
		return err
	}
	if c.Format != "text" {
		_, err = env.stdout.Write(body)
		return err
	}
	var list []quest.Journal
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("reading the report: %w", err)
	}
	out := terminal.NewPrinter(env.stdout.Raw(), lab.Colour(env.stdout.File(), env.getenv))
	for _, j := range list {
		out.Line("%s  %-18s seed %-7d %3d of 100, %d hints, %v: %s", j.Began.Local().Format(time.DateTime), j.Quest, j.Seed, j.Score, j.Hints,
			j.Ended.Sub(j.Began).Round(time.Second), j.Why)
	}
	if len(list) == 0 {
		out.Line("No quest has ended yet.")
	}
	return out.Err()
}

// questClient is a client of the quests' API.
type questClient struct{ base, token string }

// view calls the API and returns what is to be seen.
func (q questClient) view(ctx context.Context, method, path string, form url.Values) (v quest.View, err error) {
	body, err := q.call(ctx, method, path, form, "application/json")
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	return v, err
}

// until waits until the quest has left a state.
func (q questClient) until(ctx context.Context, v quest.View, state string) (quest.View, error) {
	err := wait.Until(ctx, func(ctx context.Context) (err error) {
		if v.Current.State != state {
			return nil
		}
		if v, err = q.view(ctx, http.MethodGet, "", nil); err != nil {
			return wait.Final(err)
		}
		return errors.New("the quest is " + state)
	})
	return v, err
}

func (q questClient) call(ctx context.Context, method, path string, form url.Values, accept string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, q.base+quest.Path+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", accept)
	req.Header.Set("Authorization", "Bearer "+q.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, lab.Refuse(fmt.Errorf("asking the lab: %w", err), "start it with: dicelab up; or say where its explorer is with --explorer-url")
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode == http.StatusOK {
		return body, err
	}
	var p web.Problem
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return nil, lab.Refuse(fmt.Errorf("%s answered %s", req.URL, resp.Status), "is that the explorer of a lab? give its address with --explorer-url")
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return nil, lab.Refuse(errors.New("this lab has another token"), "give the data directory of the lab with --data")
	}
	return nil, lab.Refuse(errors.New(p.Detail), "dicelab quest status shows where you are")
}

func printQuests(out *terminal.Printer, v quest.View) {
	line := func(q quest.Listed) {
		best := ""
		if q.Best >= 0 {
			best = string(out.Paint(terminal.Green, fmt.Sprintf("  ✓ %d", q.Best)))
		}
		out.Line("  %-18s %-9s %s%s", q.Name, q.Level, q.Learn, terminal.Painted(best))
	}
	out.Line("%s", out.Paint(terminal.Bold, "The path of the first hour"))
	for n := range len(v.Quests) {
		for _, q := range v.Quests {
			if q.Path == n+1 {
				line(q)
			}
		}
	}
	out.Line("%s", out.Paint(terminal.Bold, "Further quests"))
	for _, q := range v.Quests {
		if q.Path == 0 {
			line(q)
		}
	}
	out.Line("")
	out.Line("Start one with: dicelab quest start NAME")
}

func printQuest(out *terminal.Printer, c *quest.Current) {
	if c == nil {
		out.Line("No quest was started yet. dicelab quest lists them.")
		return
	}
	out.Line("%s  (%s, seed %d, %d of 100)", out.Paint(terminal.Bold, c.Title), c.Name, c.Seed, c.Score)
	for text := range strings.SplitSeq(c.Story+"\n"+c.Assume, "\n") {
		out.Line("%s", text)
	}
	if c.Rolls > 0 {
		out.Line("Its %d rolls were made from %s to %s.", c.Rolls, c.FirstRoll.Local().Format("15:04:05"), c.LastRoll.Local().Format("15:04:05"))
	}
	out.Line("")
	switch c.State {
	case quest.StateRunning:
		out.Line("The incident is going on. Look around; the questions open when it has ended: dicelab quest status")
	case quest.StateMending:
		out.Line("All answers are right. The cause is back: switch it off with: dicelab quest mend SERVICE:FAULT")
	case quest.StateEnded:
		out.Line("%s", out.Paint(terminal.Bold, "Ended: "+c.Why+"."))
	}
	for _, q := range c.Questions {
		mark, answer := "•", q.Answer
		if q.Right {
			mark = string(out.Paint(terminal.Green, "✓"))
		} else if q.Why != "" {
			mark = string(out.Paint(terminal.Red, "✗"))
		}
		out.Line("%s %-8s %s", terminal.Painted(mark), q.ID, q.Ask)
		for _, choice := range q.Choices {
			switch {
			case q.Right || c.State != quest.StateAsking:
			case choice.Says == choice.Value:
				out.Line("             %s", choice.Value)
			default:
				out.Line("             %-20s %s", choice.Value, choice.Says)
			}
		}
		switch {
		case q.Right:
			out.Line("             %s", answer)
		case q.Why != "":
			out.Line("             %s: %s", answer, q.Why)
		case len(q.Choices) == 0:
			out.Line("             %s", out.Paint(terminal.Dim, q.Form))
		}
	}
	for i, hint := range c.Hints {
		out.Line("Hint %d: %s", i+1, hint)
	}
	for _, m := range c.Mends {
		switch {
		case !m.Right:
			out.Line("%s was not on.", m.Setting)
		case m.Error != "":
			out.Line("%s is off. The checklist could not run: %s", m.Setting, m.Error)
		default:
			out.Line("%s is off. The checklist: %d passed, %d failed %s", m.Setting, m.Passed, len(m.Failed), strings.Join(m.Failed, ", "))
		}
	}
	for _, text := range c.Explained {
		out.Line("%s", text)
	}
	if c.Trace != "" {
		out.Line("Your trace: /traces/%s", c.Trace)
	}
	if c.Healthy != "" {
		out.Line("A roll before it: /traces/%s", c.Healthy)
	}
	if c.State == quest.StateAsking {
		out.Line("")
		out.Line("Answer with: dicelab quest answer ID=TEXT…   A hint costs 10 points: dicelab quest hint (%d left)", c.HintsLeft)
	}
}

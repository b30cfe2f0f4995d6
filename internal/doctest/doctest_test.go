package doctest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/doctest"
)

// page is a document with one block of one command.
const page = "A page.\n\n<!-- test embedded native: fault dice-roller:slow=2s -->\n```console\n$ dicelab health http://localhost:8102/readyz\nhttp://localhost:8102/readyz answered 200 OK\n```\n"

func TestParse(t *testing.T) {
	blocks, err := doctest.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []doctest.Block{{Line: 4, Modes: []doctest.Mode{doctest.Embedded, doctest.Native}, State: "fault dice-roller:slow=2s", Steps: []doctest.Step{
		{Line: 5, Command: "dicelab health http://localhost:8102/readyz", Shown: []string{"http://localhost:8102/readyz answered 200 OK"}},
	}}}
	if diff := cmp.Diff(want, blocks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What no test would run is refused, with the line where it stands.
func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"no comment", "```console\n$ true\n```\n", "line 1: a block that is not run"},
		{"another language", "<!-- test embedded: healthy -->\n```sh\n$ true\n```\n", "line 2: a block that is not run"},
		{"no such mode", "<!-- test docker: healthy -->\n```console\n$ true\n```\n", `line 1: <!-- test docker: healthy -->: there is no mode "docker"`},
		{"no state", "<!-- test embedded -->\n```console\n$ true\n```\n", "line 1: <!-- test embedded -->: want <!-- test MODE…: STATE -->"},
		{"a comment without a block", "<!-- test embedded: healthy -->\n\n```console\n$ true\n```\n", "line 2: want the block"},
		{"no command", "<!-- test embedded: healthy -->\n```console\n```\n", "line 2: the block has no command"},
		{"output first", "<!-- test embedded: healthy -->\n```console\ntrue\n```\n", "line 3: output without a command"},
		{"no end", "<!-- test embedded: healthy -->\n```console\n$ true\n", "the last block does not end"},
		{"in running text", "Run `curl -s localhost:8102/metrics` twice.\n", "line 1: the command `curl -s localhost:8102/metrics` stands in running text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := doctest.Parse(test.text); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("error %v, want %s…", err, test.want)
			}
		})
	}
}

func TestScenes(t *testing.T) {
	block := func(line int, state string, modes ...doctest.Mode) doctest.Block {
		return doctest.Block{Line: line, State: state, Modes: modes}
	}
	got := doctest.Scenes([]doctest.Block{
		block(1, doctest.Healthy, doctest.Embedded, doctest.Native), block(2, "broken", doctest.Embedded),
		block(3, doctest.Healthy, doctest.Native), block(4, doctest.Healthy, doctest.Embedded),
	}, doctest.Embedded)
	want := []doctest.Scene{
		{State: doctest.Healthy, Blocks: []doctest.Block{block(1, doctest.Healthy, doctest.Embedded, doctest.Native), block(4, doctest.Healthy, doctest.Embedded)}},
		{State: "broken", Blocks: []doctest.Block{block(2, "broken", doctest.Embedded)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// patience bounds the wait for a command that prints what is shown at once.
const patience = time.Minute

const (
	one     = "0123456789abcdef0123456789abcdef"
	other   = "ffffffffffffffff0123456789abcdef"
	printed = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	second  = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		name, shown, printed string
		ok                   bool
	}{
		{"the same", "a\nb", "a\nb\n", true},
		{"no last line end", "a", "a", true},
		{"nothing", "", "", true},
		{"nothing, but something is printed", "", "a\n", false},
		{"another word", "a 1", "a 2\n", false},
		{"a line too many", "a", "a\nb\n", false},
		{"a line too few", "a\nb", "a\n", false},
		{"text left out", "a … c", "a b c\n", true},
		{"text left out, another end", "a … c", "a b d\n", false},
		{"lines left out", "…\nb\n…", "a\nb\nc\nd\n", true},
		{"no lines left out", "…\nb\n…", "b\n", true},
		{"lines left out, not those", "…\nb\n…", "a\nc\n", false},
		{"an ID", "id " + one, "id " + printed + "\n", true},
		{"an ID of another length", "id " + one, "id " + printed[:16] + "\n", false},
		{"the same ID again", one + " " + one, printed + " " + printed + "\n", true},
		{"not the same ID again", one + " " + one, printed + " " + second + "\n", false},
		{"two IDs", one + " " + other, printed + " " + second + "\n", true},
		{"two IDs, but one is printed", one + " " + other, printed + " " + printed + "\n", false},
		{"a duration", "took 1.5 s", "took 30 ms\n", true},
		{"a duration, but a word is printed", "took 1.5 s", "took long\n", false},
		{"a time", "at 2026-01-02T03:04:05.000006Z", "at 2027-11-12T13:14:15.161718Z\n", true},
		{"seconds since 1970", "at=1795558707", "at=1800000000.25\n", true},
		{"a status is no duration", "500", "502\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var shown []string
			if test.shown != "" {
				shown = strings.Split(test.shown, "\n")
			}
			if err := doctest.Match(shown, test.printed); (err == nil) != test.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

// What was printed goes into the next command, and ports and names go both ways.
func TestRun(t *testing.T) {
	const text = "<!-- test embedded: healthy -->\n```console\n" +
		"$ echo id " + "$ID" + "\nid " + one + "\n" +
		"$ echo again " + one + "\nagain " + one + "\n" +
		"$ echo localhost:8102 127.0.0.1:8101 $PLACE; false\nlocalhost:8102 127.0.0.1:8101 here\n" +
		"```\n"
	blocks, err := doctest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	lab := doctest.Lab{
		Ports: map[string]string{"8102": "40001", "8101": "40002"}, Names: map[string]string{"/some/where": "here"},
		Flags: map[string][]string{"up": {"--data", "x"}},
		Dir:   t.TempDir(), Env: []string{"ID=" + printed, "PLACE=/some/where"}, Patience: patience,
	}
	if err := lab.Run(t.Context(), blocks[0]); err != nil {
		t.Error(err)
	}
	lab.Patience = time.Millisecond
	wrong := doctest.Block{Steps: []doctest.Step{{Line: 7, Command: "echo a", Shown: []string{"b"}}}}
	if err := lab.Run(t.Context(), wrong); err == nil || !strings.HasPrefix(err.Error(), "line 7: echo a: ") {
		t.Errorf("error %v, want one that names line and command", err)
	}
	got := lab.There("dicelab up --traffic; curl -s localhost:8102/metrics")
	if want := "dicelab up --data x --traffic; curl -s localhost:40001/metrics"; got != want {
		t.Errorf("the command becomes %q, want %q", got, want)
	}
}

// Package doctest runs the commands that a document shows, and compares their
// output with the document. It is for tests.
//
// A command stands in a block of the language "console", after "$ "; its output, errors included,
// follows. A comment above the block, which readers do not see, gives the labs on which it runs and
// the faults of those labs:
//
//	<!-- test embedded native: fault dice-roller:no-export -->
//
// The output must match what is shown to the letter, with these exceptions: "…" matches any text of
// a line, or any lines if it stands alone. A trace or span ID matches any ID, but equal IDs must be
// equal in the output, and different ones different. A time, a duration and a number of seconds or
// nanoseconds since 1970 match any. In later commands of the block, an ID that was printed takes
// the place of the shown one.
//
// A block without a comment, and a command in running text, is an error: a
// command that no test runs may be wrong.
package doctest

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Mode names a way of running the lab on which a block is tested.
type Mode string

// The modes. Each has one test that runs all its blocks.
const (
	Embedded Mode = "embedded" // dicelab up
	Native   Mode = "native"   // dicelab up --stack=native
	Compose  Mode = "compose"  // containers
	Alone    Mode = "alone"    // the services one by one, as the blocks start them
)

// Modes lists them.
func Modes() []Mode { return []Mode{Embedded, Native, Compose, Alone} }

// Healthy is the state of a lab with which nothing is the matter.
const Healthy = "healthy"

// Block is a block of commands.
type Block struct {
	Line  int // of the document
	Modes []Mode
	State string // what is the matter with the lab: Healthy, or words that the tests know
	Steps []Step
}

// Step is a command and what it prints.
type Step struct {
	Line    int // of the document
	Command string
	Shown   []string // lines
}

// Scene is the commands that run on one lab, in the order of the document.
type Scene struct {
	State  string
	Blocks []Block
}

// Read reads a document.
func Read(path string) ([]Block, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a document: %w", err)
	}
	blocks, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return blocks, nil
}

// Scenes returns the blocks of a mode, by state.
func Scenes(blocks []Block, m Mode) (scenes []Scene) {
	for _, b := range blocks {
		if !slices.Contains(b.Modes, m) {
			continue
		}
		i := slices.IndexFunc(scenes, func(s Scene) bool { return s.State == b.State })
		if i < 0 {
			i, scenes = len(scenes), append(scenes, Scene{State: b.State})
		}
		scenes[i].Blocks = append(scenes[i].Blocks, b)
	}
	return scenes
}

var (
	comment = regexp.MustCompile(`^<!-- test ([a-z ]+): (.+) -->$`)
	// spoken is a command in running text: a program of the commands, and more than
	// a subcommand.
	spoken = regexp.MustCompile("`(?:curl|docker|dicelab) [^` ]+ [^`]+`")
)

const (
	fence   = "```"
	opening = fence + "console"
	prompt  = "$ "
)

// Parse reads the text of a document. Its error names the line.
func Parse(text string) (blocks []Block, err error) {
	var next *Block // announced by a comment
	inside := false
	for i, line := range strings.Split(text, "\n") {
		at := i + 1
		switch {
		case inside && line == fence:
			if b := blocks[len(blocks)-1]; len(b.Steps) == 0 {
				return nil, fmt.Errorf("line %d: the block has no command", b.Line)
			}
			inside = false
		case inside:
			b := &blocks[len(blocks)-1]
			if command, ok := strings.CutPrefix(line, prompt); ok {
				b.Steps = append(b.Steps, Step{Line: at, Command: command})
				continue
			}
			if len(b.Steps) == 0 {
				return nil, fmt.Errorf("line %d: output without a command before it", at)
			}
			last := &b.Steps[len(b.Steps)-1]
			last.Shown = append(last.Shown, line)
		case strings.HasPrefix(line, fence):
			if line != opening || next == nil {
				return nil, fmt.Errorf("line %d: a block that is not run: want %q, and above it a comment such as <!-- test embedded: healthy -->", at, opening)
			}
			next.Line, inside = at, true
			blocks, next = append(blocks, *next), nil
		case next != nil:
			return nil, fmt.Errorf("line %d: want the block that the comment above announces", at)
		case strings.HasPrefix(line, "<!-- test"):
			if next, err = announced(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", at, err)
			}
		default:
			if command := spoken.FindString(line); command != "" {
				return nil, fmt.Errorf("line %d: the command %s stands in running text, where no test runs it", at, command)
			}
		}
	}
	if inside || next != nil {
		return nil, fmt.Errorf("the last block does not end")
	}
	return blocks, nil
}

// announced reads the comment above a block.
func announced(line string) (*Block, error) {
	m := comment.FindStringSubmatch(line)
	if m == nil {
		return nil, fmt.Errorf("%s: want <!-- test MODE…: STATE -->", line)
	}
	b := &Block{State: m[2]}
	for _, word := range strings.Fields(m[1]) {
		if !slices.Contains(Modes(), Mode(word)) {
			return nil, fmt.Errorf("%s: there is no mode %q; there are %v", line, word, Modes())
		}
		b.Modes = append(b.Modes, Mode(word))
	}
	return b, nil
}

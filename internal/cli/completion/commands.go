package completion

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Command prints the script of a shell.
type Command struct {
	Shell string `arg:"" name:"SHELL" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help explains how a shell loads the script.
func (Command) Help() string {
	return "bash: eval \"$(dicelab completion bash)\" in ~/.bashrc\n\n" +
		"zsh: source <(dicelab completion zsh) in ~/.zshrc, after compinit\n\n" +
		"fish: dicelab completion fish | source in ~/.config/fish/config.fish"
}

// Run prints the script.
func (c *Command) Run(k *kong.Kong) error {
	script, err := scripts.ReadFile("dicelab." + c.Shell)
	if err != nil {
		return fmt.Errorf("reading the completion script: %w", err)
	}
	if _, err := k.Stdout.Write(script); err != nil {
		return fmt.Errorf("writing the completion script: %w", err)
	}
	return nil
}

// Complete prints the candidates for the last of Words. The scripts run it.
type Complete struct {
	Words []string `arg:"" optional:""`
}

// Run prints each candidate as a line: its value, a tab, its help.
func (c *Complete) Run(k *kong.Kong, vars kong.Vars) error {
	for _, candidate := range Candidates(k.Model.Node, vars, c.Words) {
		help, _, _ := strings.Cut(candidate.Help, "\n")
		if _, err := fmt.Fprintf(k.Stdout, "%s\t%s\n", candidate.Value, help); err != nil {
			return fmt.Errorf("writing completions: %w", err)
		}
	}
	return nil
}

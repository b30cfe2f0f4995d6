// Package completion completes a command line of Kong's in a shell.
//
// The script of a shell does not know the program's commands and flags. It asks the
// program, which prints one candidate a line: its value, a tab, its help. If there is
// none, the shell completes names of files.
package completion

import (
	"cmp"
	"embed"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

//go:embed dicelab.bash dicelab.zsh dicelab.fish
var scripts embed.FS

// Candidate is a word that can stand at the cursor.
type Candidate struct{ Value, Help string }

// Candidates returns the candidates for the last of words, which are the command line
// up to the cursor, without the program's name.
func Candidates(app *kong.Node, vars kong.Vars, words []string) []Candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	at := read(app, words[:len(words)-1])
	at.vars = vars
	return slices.DeleteFunc(at.candidates(last), func(c Candidate) bool { return !strings.HasPrefix(c.Value, last) })
}

// cursor is a place on a command line.
type cursor struct {
	node      *kong.Node
	vars      kong.Vars
	flag      *kong.Flag // whose value stands here; nil if none
	arguments int        // that stand before
}

// read returns the cursor behind words.
func read(app *kong.Node, words []string) cursor {
	at := cursor{node: app}
	for _, word := range words {
		child := slices.IndexFunc(at.node.Children, func(n *kong.Node) bool { return n.Name == word })
		switch {
		case at.flag != nil:
			at.flag = nil
		case strings.HasPrefix(word, "-"):
			name, _, valued := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if f := at.find(name); f != nil && !valued && !f.IsBool() {
				at.flag = f
			}
		case child >= 0:
			at.node = at.node.Children[child]
		default:
			at.arguments++
		}
	}
	return at
}

func (at cursor) flags() []*kong.Flag { return slices.Concat(at.node.AllFlags(true)...) }

func (at cursor) find(name string) *kong.Flag {
	for _, f := range at.flags() {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// candidates lists what can stand at the cursor; last is the beginning of it.
func (at cursor) candidates(last string) []Candidate {
	if at.flag != nil {
		return at.values("", at.flag.Value)
	}
	if name, _, valued := strings.Cut(last, "="); valued {
		if f := at.find(strings.TrimLeft(name, "-")); f != nil {
			return at.values(name+"=", f.Value)
		}
		return nil
	}
	if len(at.node.Children) > 0 && at.arguments > 0 {
		return nil // of a command that does not exist
	}
	var list []Candidate
	for _, n := range at.node.Children {
		if !n.Hidden {
			list = append(list, Candidate{n.Name, n.Help})
		}
	}
	takesArgument := at.arguments < len(at.node.Positional)
	if takesArgument && !strings.HasPrefix(last, "-") {
		return at.values("", at.node.Positional[at.arguments])
	}
	if len(list) == 0 || strings.HasPrefix(last, "-") {
		for _, f := range at.flags() {
			list = append(list, Candidate{"--" + f.Name, f.Help})
		}
	}
	return list
}

// values lists known values of a flag or an argument: those of its enum or of the
// variable that its tag "complete" names, or its default.
func (at cursor) values(prefix string, v *kong.Value) (list []Candidate) {
	for text := range strings.SplitSeq(cmp.Or(v.Enum, at.vars[v.Tag.Get("complete")], v.Default), ",") {
		if text != "" {
			list = append(list, Candidate{prefix + text, ""})
		}
	}
	return list
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// text is a licence text and the modules that have it.
type text struct {
	body string
	of   []string // "module version: file"
}

// collect reads the texts of all modules and fills in the names of their licences.
func collect(modules []module) (map[string]*text, error) {
	texts := map[string]*text{}
	var errs []error
	for i := range modules {
		m := &modules[i]
		files, err := m.files()
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading the licence of %s: %w", m.Path, err)
			}
			name, err := nameOf(filepath.Base(file), string(body))
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", m.Path, file, err))
			}
			if name != "" && !slices.Contains(m.licences, name) {
				m.licences = append(m.licences, name)
			}
			key := strings.Join(strings.Fields(string(body)), " ")
			if texts[key] == nil {
				texts[key] = &text{body: string(body)}
			}
			at, err := filepath.Rel(m.Dir, file)
			if err != nil {
				return nil, fmt.Errorf("naming the licence of %s: %w", m.Path, err)
			}
			texts[key].of = append(texts[key].of, m.Path+" "+m.Version+": "+at)
		}
		if len(m.licences) == 0 {
			errs = append(errs, fmt.Errorf("%s: no licence text in %s", m.Path, m.Dir))
		}
	}
	return texts, errors.Join(errs...)
}

// known returns the licences that dicelab may be linked with, and a phrase of each
// that no other one has. The first that fits counts: the texts quote each other.
func known() []struct{ name, phrase string } {
	return []struct{ name, phrase string }{
		{"MPL-2.0", "mozilla public license version 2.0"},
		{"Apache-2.0", "apache license version 2.0"},
		{"BSD-3-Clause", "may be used to endorse or promote products"},
		{"BSD-2-Clause", "redistributions in binary form must reproduce"},
		{"MIT", "permission is hereby granted, free of charge"},
		{"ISC", "permission to use, copy, modify, and/or distribute this software"},
		{"ISC", "permission to use, copy, modify, and distribute this software"},
		{"Unlicense", "this is free and unencumbered software"},
		{"Public domain", "dedicated to the public domain by the authors"},
	}
}

// nameOf returns the name of a licence. Notices and grants of patents come beside
// one and have none.
func nameOf(file, body string) (string, error) {
	words := strings.NewReplacer(",", " ").Replace(strings.ToLower(body))
	words = strings.Join(strings.Fields(words), " ")
	// A heading of the GNU licences; other texts name them further down.
	if strings.Contains(words[:min(len(words), 300)], "gnu ") {
		return "", errors.New("it is one of the GNU licences, which dicelab may not be linked with")
	}
	for _, k := range known() {
		if strings.Contains(words, strings.ReplaceAll(k.phrase, ",", "")) {
			return k.name, nil
		}
	}
	for _, beside := range []string{"NOTICE", "PATENTS", "COPYRIGHT"} {
		if strings.HasPrefix(strings.ToUpper(file), beside) {
			return "", nil
		}
	}
	return "", errors.New("it is no licence that is known: read it, and add it to known in internal/licences/text.go if dicelab may be linked with it")
}

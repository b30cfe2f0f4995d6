package main

import (
	"os/exec"
	"strings"
	"testing"
)

// Every module that is linked has its line in the table and its text below, and no
// licence is one of the GNU licences: run fails for those.
func TestEveryModuleHasALicence(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, "dicelab/cmd/dicelab"); err != nil {
		t.Fatal(err)
	}
	table, texts, _ := strings.Cut(strings.SplitN(out.String(), "\n\n", 2)[1], "\n\n")
	list, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "dicelab/cmd/dicelab").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]bool{standardLibrary: true}
	for _, m := range strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(list)), " ", "@")) {
		modules[strings.ReplaceAll(m, "@", " ")] = true
	}
	if len(modules) < 100 {
		t.Fatalf("%d modules are linked, which cannot be", len(modules))
	}
	for m := range modules {
		if !strings.Contains("\n"+table, "\n"+m) {
			t.Errorf("%s is not in the table", m)
		}
		if !strings.Contains(texts, "\n"+m) {
			t.Errorf("the licence of %s is missing", m)
		}
	}
	for _, want := range []string{"github.com/prometheus/prometheus v", "Apache-2.0\n", "Copyright (c) 2009 The Go Authors"} {
		if !strings.Contains(out.String(), want) && !strings.Contains(out.String(), strings.ReplaceAll(want, "(c) ", "")) {
			t.Errorf("there is no %q", want)
		}
	}
}

func TestNameOf(t *testing.T) {
	const gnu, unknown = "it is one of the GNU licences", "it is no licence that is known"
	for _, tt := range []struct{ file, body, name, err string }{
		{file: "LICENSE", body: "                   Apache License\n             Version 2.0, January 2004\n", name: "Apache-2.0"},
		{file: "LICENSE", body: "MIT License\n\nPermission is hereby granted,\nfree of charge, to any person", name: "MIT"},
		{file: "LICENSE", body: "Neither the name of Google Inc. nor the names of its contributors may be used to endorse\nor promote products", name: "BSD-3-Clause"},
		{file: "LICENSE", body: "Mozilla Public License Version 2.0\n" + strings.Repeat("text ", 100) + "the GNU General Public License", name: "MPL-2.0"},
		{file: "LICENSE", body: "                    GNU AFFERO GENERAL PUBLIC LICENSE\n  Version 3, 19 November 2007", err: gnu},
		{file: "COPYING", body: "GNU LESSER GENERAL PUBLIC LICENSE", err: gnu},
		{file: "COPYING", body: "  GNU GENERAL PUBLIC LICENSE\n Version 2, June 1991", err: gnu},
		{file: "LICENSE", body: "All rights reserved. Business Source License 1.1", err: unknown},
		{file: "LICENSE", body: "", err: unknown},
		{file: "NOTICE", body: "This product includes software developed at Example."},
		{file: "PATENTS", body: "Additional IP Rights Grant"},
	} {
		name, err := nameOf(tt.file, tt.body)
		if name != tt.name || (err == nil) != (tt.err == "") || err != nil && !strings.HasPrefix(err.Error(), tt.err) {
			t.Errorf("%s %.30q: %q, %v, want %q, %q", tt.file, tt.body, name, err, tt.name, tt.err)
		}
	}
}

// A program that cannot be listed is an error that says why.
func TestNoProgram(t *testing.T) {
	if err := run(t.Context(), new(strings.Builder), "dicelab/cmd/nothing"); err == nil || !strings.Contains(err.Error(), "dicelab/cmd/nothing") {
		t.Errorf("got %v", err)
	}
}

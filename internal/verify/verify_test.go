package verify_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"dicelab/internal/checklist"
	"dicelab/internal/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// boxes are the boxes of the checklist, by group, in its words.
func boxes(t *testing.T) (out [][2]string) {
	t.Helper()
	text, err := os.ReadFile("checklist.md")
	if err != nil {
		t.Fatal(err)
	}
	group := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if g, ok := strings.CutPrefix(line, "## "); ok {
			group = g
		}
		if box, ok := strings.CutPrefix(line, "- [ ] "); ok {
			out = append(out, [2]string{group, box})
		}
	}
	return out
}

// Every box has its row, in its group, in the order of the checklist.
func TestEveryBoxHasARow(t *testing.T) {
	want := boxes(t)
	if len(want) != 42 {
		t.Fatalf("the checklist has %d boxes, want 42", len(want))
	}
	var got [][2]string
	for _, r := range verify.Table() {
		if r.Box != "" {
			got = append(got, [2]string{r.Group, r.Box})
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("boxes with a row (-checklist +table):\n%s", diff)
	}
}

func TestRowsAreNamedAndDescribed(t *testing.T) {
	seen := map[string]bool{}
	slug := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, r := range verify.Table() {
		if seen[r.Name] || !slug.MatchString(r.Name) {
			t.Errorf("the name %q is not a word of its own", r.Name)
		}
		seen[r.Name] = true
		if r.Group == "" || r.Does == "" || r.Expects == "" {
			t.Errorf("%+v does not say what it does and expects", r)
		}
	}
	for _, r := range verify.Table() {
		if seen[checklist.Slug(r.Group)] {
			t.Errorf("%s is a row and a group", r.Name)
		}
	}
}

// options are of servers that are not asked anything.
func options() verify.Options {
	const nobody = "http://127.0.0.1:1"
	return verify.Options{Frontend: nobody, Roller: nobody, Prometheus: nobody, Loki: nobody, Tempo: nobody}
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*verify.Options)
		want   string
	}{
		{"no URL", func(o *verify.Options) { o.Tempo = "" }, `the URL of Tempo, "", is not like http://localhost:8102`},
		{"not a URL", func(o *verify.Options) { o.Alloy = "localhost:12345" }, `the URL of Alloy, "localhost:12345", is not like http://localhost:8102`},
		{"unknown mode", func(o *verify.Options) { o.Mode = "docker" }, `there is no mode "docker": choose embedded, native, compose or own`},
		{"timeout", func(o *verify.Options) { o.Timeout = -1 }, `the timeout -1ns is below zero`},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			test.change(&o)
			if _, err := verify.New(o); err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}

// A wrong name of a check is answered with all that exist.
func TestUnknownNames(t *testing.T) {
	o := options()
	o.Only = []string{"targets-up", "target"}
	_, err := verify.New(o)
	if err == nil || !strings.Contains(err.Error(), `there is no check "target"; there are`) {
		t.Fatalf("error %v", err)
	}
	for _, r := range verify.Table() {
		if !strings.Contains(err.Error(), " "+r.Name) || !strings.Contains(err.Error(), checklist.Slug(r.Group)+":") {
			t.Errorf("the error does not list %s of %s:\n%v", r.Name, r.Group, err)
		}
	}
}

// Without a front end nothing can be verified.
func TestNoFrontend(t *testing.T) {
	v, err := verify.New(options())
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Run(t.Context(), nil, nil)
	if e, ok := errors.AsType[*checklist.UnreachableError](err); !ok || e.URL != "http://127.0.0.1:1" {
		t.Errorf("error %v", err)
	}
}

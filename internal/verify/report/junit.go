package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"dicelab/internal/checklist"
)

// The elements of JUnit's XML that CI servers read.
type (
	suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Time     string   `xml:"time,attr"`
		Suites   []*suite `xml:"testsuite"`
	}
	suite struct {
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"timestamp,attr"`
		Cases    []kase `xml:"testcase"`
	}
	kase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    string   `xml:"time,attr"`
		Failure *problem `xml:"failure"`
		Skipped *problem `xml:"skipped"`
		Out     string   `xml:"system-out,omitempty"`
	}
	problem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a suite for each group and a case for each check.
func writeJUnit(w io.Writer, r checklist.Report) error {
	out := suites{Name: "dicelab verify", Tests: len(r.Results), Failures: r.Failed, Skipped: r.NotApplicable,
		Time: seconds(r.Took)}
	for _, res := range r.Results {
		if n := len(out.Suites); n == 0 || out.Suites[n-1].Name != res.Group {
			out.Suites = append(out.Suites, &suite{Name: res.Group, Time: r.Began.UTC().Format("2006-01-02T15:04:05")})
		}
		s := out.Suites[len(out.Suites)-1]
		c := kase{Name: res.Name, Class: "dicelab." + checklist.Slug(res.Group), Time: seconds(res.Took), Out: res.Evidence}
		s.Tests++
		switch res.Outcome {
		case checklist.Fail:
			s.Failures++
			c.Failure = &problem{Message: res.Why, Type: "cause", Text: details(res)}
			if res.BlockedBy != "" {
				c.Failure.Type = "see " + res.BlockedBy
			}
		case checklist.NotApplicable:
			s.Skipped++
			c.Skipped = &problem{Message: res.Why}
		}
		s.Cases = append(s.Cases, c)
	}
	text, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	_, err = io.WriteString(w, xml.Header+string(text)+"\n")
	return err
}

func details(r checklist.Result) string {
	lines := []string{r.Why, "does: " + r.Does, "expected: " + r.Expects}
	if r.Reproduce != "" {
		lines = append(lines, "to see it: "+r.Reproduce)
	}
	return strings.Join(append(lines, "what to do: "+document+"#"+r.Help), "\n")
}

func seconds(s checklist.Seconds) string { return fmt.Sprintf("%.3f", time.Duration(s).Seconds()) }

package logql

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"

	"github.com/alecthomas/participle/v2/lexer"
)

// Bounds of the execution of a template for one line.
const (
	MaxFormatted  = 512 << 10 // bytes of its result, and of each text that a function makes
	MaxFormatWork = 8 << 20   // bytes that all its functions read and make
	MaxSteps      = 10_000    // passes of its loops, and calls of the templates in it
)

var (
	errFormatted  = fmt.Errorf("the result of the template has more than %d bytes", MaxFormatted)
	errFormatWork = fmt.Errorf("the functions of the template read and make more than %d bytes", MaxFormatWork)
	errWidth      = errors.New("a width or precision in printf has at most 3 digits") // more make long texts of short ones
	errSteps      = fmt.Errorf("the loops of the template have more than %d passes", MaxSteps)
)

// formatter executes a template for one line at a time, within the bounds.
type formatter struct {
	template *template.Template
	names    []string // of the labels that it reads

	mu    sync.Mutex
	entry *entry // the line
	steps int
	work  int
	out   strings.Builder
}

// compileTemplate parses a template of Go's language with Loki's functions.
func compileTemplate(at lexer.Position, kind, text string) (*formatter, error) {
	f := &formatter{}
	functions := f.functions()
	functions[stepName] = f.step
	t, err := template.New("line").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return nil, failAt(at, "invalid %s: %v", kind, err)
	}
	step := template.Must(template.New("step").Funcs(functions).Parse("{{" + stepName + "}}")).Root.Nodes[0]
	for _, part := range t.Templates() {
		visit(part.Root, func(n parse.Node) {
			switch n := n.(type) {
			case *parse.RangeNode:
				n.List.Nodes = append([]parse.Node{step}, n.List.Nodes...)
			case *parse.FieldNode:
				f.names = append(f.names, n.Ident...)
			}
		})
		part.Root.Nodes = append([]parse.Node{step}, part.Root.Nodes...)
	}
	f.template = t
	return f, nil
}

// stepName is the function that each pass of a loop and each call of a template begins with.
const stepName = "__step__"

func (f *formatter) step() (string, error) {
	if f.entry.ended = f.entry.ctx.Err(); f.entry.ended != nil {
		return "", f.entry.ended
	}
	if f.steps++; f.steps > MaxSteps {
		return "", errSteps
	}
	return "", nil
}

// visit calls yield for a node of a template and the nodes below it.
func visit(n parse.Node, yield func(parse.Node)) {
	branch := func(b *parse.BranchNode) {
		visit(b.Pipe, yield)
		visit(b.List, yield)
		if b.ElseList != nil {
			visit(b.ElseList, yield)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, below := range n.Nodes {
			visit(below, yield)
		}
	case *parse.ActionNode:
		visit(n.Pipe, yield)
	case *parse.PipeNode:
		for _, below := range n.Cmds {
			visit(below, yield)
		}
	case *parse.CommandNode:
		for _, below := range n.Args {
			visit(below, yield)
		}
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	}
	yield(n)
}

// Write implements io.Writer for the result of the template.
func (f *formatter) Write(text []byte) (int, error) {
	if f.out.Len()+len(text) > MaxFormatted {
		return 0, errFormatted
	}
	return f.out.Write(text)
}

// format returns the text that the template makes of a line with the given labels.
func (f *formatter) format(e *entry, labels map[string]string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entry, f.steps, f.work = e, 0, 0
	f.out.Reset()
	err := f.template.Execute(f, labels)
	return f.out.String(), err
}

// labels returns the labels of a line as templates see them.
func (e *entry) labels() map[string]string {
	all := e.All()
	if e.err != "" {
		all[LabelError] = e.err
	}
	if e.errDetails != "" {
		all[LabelErrorDetails] = e.errDetails
	}
	return all
}

// compileLineFormat returns a stage that replaces the text of a line.
func (c *compiler) compileLineFormat(q *quoted) (stageFunc, error) {
	text, err := q.text()
	if err != nil {
		return nil, err
	}
	f, err := compileTemplate(q.Pos, "line template", text)
	if err != nil {
		return nil, err
	}
	c.needs.addNames(f.names...)
	return func(e *entry) bool {
		if text, err := f.format(e, e.labels()); err != nil {
			e.err, e.errDetails = ErrorTemplate, err.Error()
		} else {
			e.Text = text
		}
		return true
	}, nil
}

// compileLabelFormat returns a stage that renames labels and sets labels to templates.
func (c *compiler) compileLabelFormat(formats []*format) (stageFunc, error) {
	seen := map[string]bool{}
	templates := make([]*formatter, len(formats))
	for i, f := range formats {
		switch {
		case f.Name == LabelError:
			return nil, failAt(f.Pos, "%s cannot be formatted", f.Name)
		case seen[f.Name]:
			return nil, failAt(f.Pos, "multiple label name '%s' not allowed in a single format operation", f.Name)
		}
		seen[f.Name] = true
		if f.Template == nil {
			c.needs.addNames(f.From)
			continue
		}
		text, err := f.Template.text()
		if err != nil {
			return nil, err
		}
		if templates[i], err = compileTemplate(f.Template.Pos, fmt.Sprintf("template for label '%s'", f.Name), text); err != nil {
			return nil, err
		}
		c.needs.addNames(templates[i].names...)
	}
	return func(e *entry) bool {
		var labels map[string]string // as they were before the first template
		for i, f := range formats {
			if templates[i] == nil {
				if value, ok := e.get(f.From); ok {
					e.set(f.Name, value)
					e.remove(f.From)
				}
				continue
			}
			if len(labels) == 0 {
				labels = maps.Clone(e.labels())
			}
			text, err := templates[i].format(e, labels)
			if err != nil {
				e.err, e.errDetails = ErrorTemplate, err.Error()
				continue
			}
			e.set(f.Name, text)
		}
		return true
	}, nil
}

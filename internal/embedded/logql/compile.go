package logql

import (
	"slices"
	"strings"

	"dicelab/internal/embedded/pattern"
)

// compiler compiles the syntax tree of one query.
type compiler struct {
	patterns pattern.Set // its regular expressions
	needs    *needs      // what the pipeline that is being compiled needs
	metric   *Metric     // nil until there is one
}

// log returns the log query that an expression is, or nil.
func (e *expr) log() *logExpr {
	switch {
	case len(e.Rest) > 0:
		return nil
	case e.Left.Paren != nil:
		return e.Left.Paren.log()
	default:
		return e.Left.Log
	}
}

func (c *compiler) compile(e *expr) (*Query, error) {
	if log := e.log(); log != nil {
		c.needs = &needs{all: true}
		selector, err := c.compileSelector(log.Selector)
		if err != nil {
			return nil, err
		}
		for _, s := range log.Stages {
			if s.Unwrap != nil {
				return nil, failAt(s.Pos, "unwrap is for metric queries, such as sum_over_time(... | unwrap label [5m])")
			}
		}
		pipeline, err := c.compilePipeline(log.Stages)
		return &Query{Selector: selector, Pipeline: pipeline}, err
	}
	m, err := c.compileMetric(e)
	return &Query{Metric: m}, err
}

func (c *compiler) compilePipeline(stages []*stage) (Pipeline, error) {
	if len(stages) > MaxStages {
		return Pipeline{}, failAt(stages[MaxStages].Pos, "the query has %d stages: at most %d are allowed", len(stages), MaxStages)
	}
	p := Pipeline{complete: true, needs: c.needs}
	for _, s := range stages {
		f, err := c.compileStage(s)
		if err != nil {
			return Pipeline{}, err
		}
		p.stages = append(p.stages, f)
	}
	p.require(stages)
	return p, nil
}

func (c *compiler) compileStage(s *stage) (stageFunc, error) {
	switch {
	case s.Line != nil:
		return c.compileLine(s.Line)
	case s.JSON != nil:
		if len(s.JSON.Flags) > 0 {
			return nil, failAt(s.Pos, "json has no flags")
		}
		if len(s.JSON.Only) > 0 {
			return compileJSONPaths(s.JSON.Only)
		}
		return parseJSON, nil
	case s.Logfmt != nil:
		return compileLogfmt(s.Logfmt)
	case s.Regexp != nil:
		return c.compileRegexp(s.Regexp)
	case s.Pattern != nil:
		return compilePattern(s.Pattern)
	case s.Unpack:
		return parseUnpack, nil
	case s.Color:
		return compileDecolorize(), nil
	case s.Format != nil:
		return c.compileLineFormat(s.Format)
	case s.Labels != nil:
		return c.compileLabelFormat(s.Labels)
	case s.Drop != nil:
		return c.compileDrop(s.Drop)
	case s.Keep != nil:
		return c.compileKeep(s.Keep)
	case s.Unwrap != nil:
		return compileUnwrap(s.Unwrap)
	default:
		return c.compileOr(s.Filter)
	}
}

// parses reports whether a stage extracts labels.
func (s *stage) parses() bool {
	return s.JSON != nil || s.Logfmt != nil || s.Regexp != nil || s.Pattern != nil || s.Unpack
}

// withoutParsers leaves out the parsers that cannot matter, where no label is needed. Loki
// does not run them, so that a line which they could not parse counts like any other.
func withoutParsers(stages []*stage) []*stage {
	return slices.DeleteFunc(slices.Clone(stages), (*stage).parses)
}

// withoutFormats leaves out line_format where no later stage reads the text.
func withoutFormats(stages []*stage) []*stage {
	var kept []*stage
	for i, s := range stages {
		if s.Format == nil || slices.ContainsFunc(stages[i:], func(s *stage) bool { return s.parses() || s.Line != nil }) {
			kept = append(kept, s)
		}
	}
	return kept
}

// names returns the names of the labels of a grouping, quoted for PromQL.
func quotedNames(names []string) string {
	var out []string
	for _, name := range names {
		out = append(out, `"`+name+`"`)
	}
	return "(" + strings.Join(out, ", ") + ")"
}

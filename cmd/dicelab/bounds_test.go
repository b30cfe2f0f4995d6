package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// bounds returns the rows of the table of bounds in ARCHITECTURE.md, by their first
// cell without links, and for each number in their second cell where it stands in
// the code: a folder, and there a constant, or what a default is assigned to. A
// number that follows from others and has no constant is derived.
func bounds() map[string][]string {
	const otlp, intake, loki, tempo, store, metrics = "internal/embedded/otlp ", "internal/embedded/intake ", "internal/embedded/loki ",
		"internal/embedded/tempo ", "internal/embedded/store ", "internal/embedded/metrics "
	const logql, traceql, pattern = "internal/embedded/logql ", "internal/embedded/traceql ", "internal/embedded/pattern "
	const explorer, logline, forward, senders = "internal/explorer ", "internal/embedded/logline ", "internal/embedded/forward ", "internal/embedded/senders "
	return map[string][]string{
		"one OTLP export, before and after decompression":                                                           {otlp + "opts.MaxBytes"},
		"one push to Loki, the same":                                                                                {loki + "maxPushBody"},
		"a span with its resource and scope; lists and maps in an attribute":                                        {otlp + "MaxSpanBytes", otlp + "MaxDepth"},
		"everything that is being taken in, as it is in memory once decoded, charged as it arrives":                 {intake + "DefaultBytes", derived},
		"one remote write, the same":                                                                                {metrics + "maxWrite"},
		"nesting of lists and maps in log records and metrics":                                                      {otlp + "MaxDepth"},
		"series that senders and targets of `--scrape` may add: in all, with labels of; labels of one, of together": {metrics + "maxSeries", metrics + "maxSeriesBytes", metrics + "maxSeriesLabels", metrics + "maxLabelBytes"},
		"samples before the newest of their series, and in the future":                                              {metrics + "lateness", metrics + "maxEarly"},
		"series whose deltas are added up":                                                                          {metrics + "maxDeltas"},
		"copies of OTLP that wait for the backend of `--forward`; copies under way":                                 {forward + "maxQueue", forward + "senders"},
		"tries to send a copy; the longest pause between two; time of one":                                          {forward + "maxTries", forward + "maxPause", forward + "timeout"},
		"senders in the list; reasons of one":                                                                       {senders + "maxSenders", senders + "maxReasons"},
		"a silent gRPC connection; one without a call":                                                              {"internal/web readTimeout", "internal/web idleHTTP2"},
		"resets, and frames without content, on one gRPC connection":                                                {"internal/web/calm burst", "internal/web/calm perSecond"},
		"time of the store to take an export, of an export to arrive":                                               {otlp + "opts.Timeout", otlp + "opts.Receive"},
		"exports under way on one gRPC connection":                                                                  {"internal/web maxStreams"},
		"a log line; its structured metadata":                                                                       {logline + "maxLine", logline + "maxMetadataBytes", logline + "maxMetadata"},
		"labels of a stream; streams":                                                                               {logline + "maxLabels", logline + "maxLabelBytes", logline + "maxLabelName", "internal/embedded/streams Max", "internal/embedded/streams Reserve"},
		"a form of a page; headers of a request, or of an answer to a service":                                      {"internal/web maxForm", "internal/web MaxHeaderBytes"},
		"an answer of the dice roller":                                                                              {"internal/roll MaxAnswer"},
		"pages of the explorer that are made at once; large ones, of which one is made and the others wait":         {explorer + "maxPages", explorer + "maxLarge"},
		"what makes a page of the explorer a large one; what one may read":                                          {explorer + "largeAnswer", explorer + "maxAnswers"},
		"pages of the explorer that clients have not read yet, compressed":                                          {explorer + "maxUnsent"},
		"a file that the explorer shows":                                                                            {explorer + "maxFile"},
		"what a page of a trace shows: attributes of a list; events, and links, of a span; a value; all values":     {explorer + "maxFields", explorer + "maxSpanRecords", explorer + "maxValue", explorer + "maxSheet"},
		"rows of a waterfall; of one saved as HTML; rows with details, where spans are over 200":                    {explorer + "maxRows", explorer + "maxOffline", explorer + "maxDetails"},
		"log lines on the page of a trace; of a span; marks in a row":                                               {explorer + "maxLines", explorer + "maxSpanLines", explorer + "maxRowMarks"},
		"frames of a flame graph; rows of a comparison":                                                             {explorer + "maxFrames", explorer + "maxCompared"},
		"hops of a trace; spans around the one that a link names, on each side":                                     {explorer + "maxHops", explorer + "aroundTarget"},
		"services on the overview: as cards, in its table; calls on its map, services in a column of it":            {explorer + "maxCards", explorer + "maxServices", explorer + "mostEdges", "internal/explorer/chart maxColumn"},
		"notes on the overview; services that one names; lines, and traces, that are looked for ahead of the clock, and how far": {
			explorer + "maxNotes", explorer + "maxNamed", explorer + "maxAheadLooked", explorer + "maxAhead"},
		"lines on a page; their fields as filters; values of one; a value; conditions": {
			explorer + "logLimit", explorer + "maxFacets", explorer + "maxFacetValues", explorer + "maxFacetText", explorer + "maxFieldConds"},
		"pages that follow log lines; lines of an event; time to read one":                                          {explorer + "maxTails", explorer + "maxTailLines", explorer + "tailWrite"},
		"choices of a list on the page of traces; conditions on attributes; values that are offered for one":        {explorer + "maxOptions", explorer + "maxConditions", explorer + "maxListedValues"},
		"metrics that are found; series whose labels are read; labels; series in a chart of a query":                {explorer + "maxFound", explorer + "maxMetricSeries", explorer + "maxLabels", explorer + "maxDrawn"},
		"named moments of the explorer; a name; the form":                                                           {explorer + "maxMarks", explorer + "maxMarkName", explorer + "maxMarkForm"},
		"a log line that the explorer reads":                                                                        {"internal/query MaxLineBytes"},
		"connections of one listener, every server of the lab":                                                      {"internal/web MaxConnections"},
		"free space of the file system":                                                                             {store + "minFree"},
		"queries at once, on each of the three APIs":                                                                {intake + "MaxQueries", derived, intake + "memoryOfQuery", intake + "memoryOfRest", derived},
		"one answer; all answers under way, of the three APIs together":                                             {"internal/embedded/answer DefaultMost", "internal/embedded/answer DefaultBytes"},
		"text of a query: TraceQL, LogQL, PromQL and its form":                                                      {traceql + "MaxLength", logql + "MaxQueryLength", metrics + "maxForm"},
		"parentheses, or signs of a TraceQL query, within each other":                                               {metrics + "maxNesting"},
		"stages of a LogQL query; spansets of a TraceQL query; operators, ranges and selectors of a PromQL request": {logql + "MaxStages", traceql + "MaxSpansets", metrics + "maxOperators"},
		"a regular expression; all of a query":                                                                      {pattern + "MaxSize", pattern + "MaxWithGroups", pattern + "MaxTotal"},
		"one that repeats something, in PromQL, times its groups and one: in a matcher, in `label_replace`":         {metrics + "maxMatcher", metrics + "maxReplace"},
		"time of a query: Prometheus, Tempo, Loki":                                                                  {metrics + "DefaultTimeout", tempo + "opts.Timeout", loki + "opts.Timeout"},
		"a trace that is read": {store + "MaxTraceBytes", derived},
		"a search for traces":  {tempo + "maxLimit", store + "maxSearchBytes", store + "maxSearchTraces", store + "maxSearchRows"},
		"spans that a query for metrics reads; its series; traces, if it needs whole ones":             {store + "maxCountedReads", tempo + "maxSeries"},
		"points of a series of one; of all its series; steps, where there are several":                 {tempo + "maxPoints", tempo + "maxSeriesPoints", store + "MaxStep"},
		"names, or values, of attributes; traces that are read for those that the index does not have": {tempo + "maxTags", store + "maxTagBytes", tempo + "sampledTraces"},
		"a request over gRPC to the Tempo API":                                                         {tempo + "maxCall"},
		"exemplars of a query for metrics":                                                             {tempo + "maxExemplars"},
		"lines of an answer":                                                                           {loki + "maxLimit", loki + "maxAnswer", loki + "labelBytes"},
		"a PromQL query: parts of the expression times steps; series times steps; steps times samples in a range, of one series; samples in memory": {metrics + "queryPoints", metrics + "queryPoints", metrics + "queryWork", metrics + "querySamples"},

		"what the parsers of a LogQL query take from a line: JSON objects within each other, labels, names and values": {
			logql + "MaxJSONDepth", logql + "MaxExtractedLabels", logql + "MaxExtracted"},
		"a template of a LogQL query, for a line: its result; what its functions read and make; passes of its loops": {
			logql + "MaxFormatted", logql + "MaxFormatWork", logql + "MaxSteps"},
		"range aggregations of a LogQL query; operators between them, in one pair of parentheses": {logql + "MaxRanges", logql + "MaxOperators"},
		"points of a series; of all series of a LogQL query; series of its answer":                {logql + "MaxPoints", logql + "MaxTotal", logql + "MaxSeries"},
		"values that a range aggregation of LogQL unwraps; those of the ranges of all its points": {logql + "MaxValues", logql + "MaxWork"},
		"clients that follow log lines; the queue of one; how long it may take to read a message": {"internal/embedded/tail MaxTails", "internal/embedded/tail MaxQueue", loki + "writeTimeout"},
		"a remote read from Prometheus, decompressed; a frame of its answer":                      {metrics + "maxRead", metrics + "maxReadFrame"},
	}
}

const derived = "derived"

// The table of bounds says what the code does. A new row needs a line above.
func TestBounds(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| what | bound | beyond it |\n|---|---|---|\n")
	if !found {
		t.Fatal("ARCHITECTURE.md has no table | what | bound | beyond it |")
	}
	missing := bounds()
	link := regexp.MustCompile(` \(\[[^\]]*\]\([^)]*\)\)`)
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		if len(cells) != 3 {
			break // the end of the table
		}
		row := link.ReplaceAllString(cells[0], "")
		constants, known := missing[row]
		if !known {
			t.Errorf("the row %q is new: add it to bounds in cmd/dicelab/bounds_test.go, with the constant of each number in %q", row, cells[1])
			continue
		}
		delete(missing, row)
		numbers := numbersOf(cells[1])
		if len(numbers) != len(constants) {
			t.Errorf("the row %q has the numbers %v, and bounds in cmd/dicelab/bounds_test.go names %d constants for it: %v", row, numbers, len(constants), constants)
			continue
		}
		for i, at := range constants {
			if at == derived {
				continue
			}
			got, err := valueOf(at)
			if err != nil {
				t.Errorf("the row %q: %v", row, err)
			} else if want, _ := constant.Int64Val(constant.ToInt(got)); want != numbers[i] {
				t.Errorf("the row %q says %d in %q; %s is %d: correct the table", row, numbers[i], cells[1], at, want)
			}
		}
	}
	for _, row := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("the row %q is gone from ARCHITECTURE.md: take it out of bounds in cmd/dicelab/bounds_test.go, or correct its first cell", row)
	}
}

// numbersOf returns the numbers of a text: bytes, nanoseconds, or a count.
func numbersOf(text string) (numbers []int64) {
	units := map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "million": 1e6,
		"ms": int64(time.Millisecond), "s": int64(time.Second), "min": int64(time.Minute), "h": int64(time.Hour)}
	for _, m := range regexp.MustCompile(`(\d+(?:,\d{3})*)(?: (KiB|MiB|GiB|million|ms|s|min|h)\b)?`).FindAllStringSubmatch(text, -1) {
		var n int64
		_, _ = fmt.Sscan(strings.ReplaceAll(m[1], ",", ""), &n) // digits
		numbers = append(numbers, n*units[m[2]])
	}
	return numbers
}

// valueOf returns the value of a constant, "FOLDER NAME".
func valueOf(at string) (constant.Value, error) {
	dir, name, _ := strings.Cut(at, " ")
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return nil, err
		}
		if expr := assigned(set, file, name); expr != nil {
			return eval(dir, file, expr)
		}
	}
	return nil, fmt.Errorf("no constant %s in %s: correct bounds in cmd/dicelab/bounds_test.go", name, dir)
}

// assigned returns what a file gives a constant, or assigns to a field.
func assigned(set *token.FileSet, file *ast.File, name string) (expr ast.Expr) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, id := range n.Names {
				if id.Name == name && i < len(n.Values) {
					expr = n.Values[i]
				}
			}
		case *ast.AssignStmt:
			var to strings.Builder
			if len(n.Lhs) == 1 && printer.Fprint(&to, set, n.Lhs[0]) == nil && to.String() == name && expr == nil {
				expr = n.Rhs[0]
			}
		}
		return true
	})
	return expr
}

var errNotConstant = errors.New("not a constant that this test can evaluate")

// eval evaluates an expression of a file in dir.
func eval(dir string, file *ast.File, expr ast.Expr) (constant.Value, error) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0), nil
	case *ast.ParenExpr:
		return eval(dir, file, e.X)
	case *ast.Ident:
		return valueOf(dir + " " + e.Name)
	case *ast.BinaryExpr:
		x, err1 := eval(dir, file, e.X)
		y, err2 := eval(dir, file, e.Y)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if e.Op == token.SHL || e.Op == token.SHR {
			n, _ := constant.Uint64Val(y)
			return constant.Shift(x, e.Op, uint(n)), nil
		}
		return constant.BinaryOp(x, e.Op, y), nil
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		if !ok {
			break
		}
		units := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}
		if unit, ok := units[e.Sel.Name]; ok && pkg.Name == "time" {
			return constant.MakeInt64(int64(unit)), nil
		}
		for _, i := range file.Imports {
			if path, ok := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), "dicelab/"); ok && filepath.Base(path) == pkg.Name {
				return valueOf(path + " " + e.Sel.Name)
			}
		}
	}
	return nil, fmt.Errorf("%T in %s: %w", expr, dir, errNotConstant)
}

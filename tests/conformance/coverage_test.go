package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"winnow/internal/graph"
)

// The columns of COVERAGE.md: every suite on the embedded executor, all suites on ONNX Runtime.
const (
	suiteNode     = "node"
	suiteExpanded = "expanded"
	suiteModels   = "models"
	suiteOnnxGo   = "onnx-go"
)

var columns = []string{suiteNode, suiteExpanded, suiteModels, suiteOnnxGo, onnxruntime}

// recordedFile keeps the outcomes that a plain test run cannot repeat: cases whose data are not in the repository, and
// executors that need a library. -update rewrites what it could run.
const recordedFile = "testdata/recorded.json"

// recordedVersion is the release of ONNX Runtime on record.
const recordedVersion = "1.32.0"

// recorded is, by executor, case → outcome.reason, for ONNX Runtime outcome.brief. A case that is not there passed.
type recorded map[string]map[string]string

func readRecorded() (recorded, error) {
	data, err := os.ReadFile(recordedFile)
	if err != nil {
		return nil, err
	}
	var r recorded
	return r, json.Unmarshal(data, &r)
}

// update takes in what was run. For the embedded executor only large cases need a record.
func (r recorded) update(all map[string][]outcome) {
	for executor, outcomes := range all {
		if r[executor] == nil {
			r[executor] = map[string]string{}
		}
		for _, o := range outcomes {
			if executor == embedded && o.size() <= maxCommitted {
				continue
			}
			delete(r[executor], o.key())
			why := o.reason()
			if executor != embedded {
				why = o.brief()
			}
			if why != "" {
				r[executor][o.key()] = why
			}
		}
	}
}

func (r recorded) write() error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(recordedFile, append(data, '\n'), 0o644)
}

// row is one line of the first table.
type row struct {
	op    string
	opset int
}

// tally counts the cases of one cell.
type tally struct{ passed, fixed, total int }

func (t tally) String() string {
	if t.total == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", t.passed, t.total)
}

// coverage is what COVERAGE.md shows.
type coverage struct {
	rows    map[row]map[string]*tally
	refused map[string]map[string][]string // operator → reason → cases, implemented operators on the embedded executor
	totals  map[string]*tally              // by column
	known   map[string]bool                // operators that the embedded executor implements, without domain ""
}

func newCoverage() *coverage {
	c := &coverage{
		rows: map[row]map[string]*tally{}, refused: map[string]map[string][]string{}, totals: map[string]*tally{},
		known: map[string]bool{},
	}
	for _, name := range graph.Operators() {
		op, _, _ := strings.Cut(name, "/")
		c.known[op] = op != "Bernoulli" // entered in order to be refused with the reason
	}
	return c
}

// add counts one case; reason is that of outcome.reason.
func (c *coverage) add(t *testCase, executor, reason string) {
	fixed := reason == passedFixed
	if fixed {
		reason = ""
	}
	column := t.column()
	if executor != embedded {
		column = executor
	}
	key := row{t.operator(), t.Opset}
	if c.rows[key] == nil {
		c.rows[key] = map[string]*tally{}
	}
	for _, cell := range []map[string]*tally{c.rows[key], c.totals} {
		if cell[column] == nil {
			cell[column] = &tally{}
		}
		cell[column].total++
		if reason == "" {
			cell[column].passed++
		}
		if fixed {
			cell[column].fixed++
		}
	}
	if reason != "" && executor == embedded {
		if c.refused[key.op] == nil {
			c.refused[key.op] = map[string][]string{}
		}
		c.refused[key.op][reason] = append(c.refused[key.op][reason], t.Name)
	}
}

// column is the suite that a case counts for.
func (t *testCase) column() string {
	switch t.Suite {
	case suiteNode, suiteExpanded, suiteOnnxGo:
		return t.Suite
	}
	return suiteModels
}

func (t *testCase) operator() string {
	if t.Domain != "" {
		return t.Domain + "." + t.Op
	}
	return t.Op
}

func (t *testCase) key() string { return t.Suite + "/" + t.Name }

// markdown writes COVERAGE.md.
func (c *coverage) markdown() string {
	var b strings.Builder
	b.WriteString(intro)
	c.totalsTable(&b)
	b.WriteString("\n## Implemented operators\n\n" + tableHead)
	keys := slices.SortedFunc(maps.Keys(c.rows), func(a, b row) int {
		return cmp.Or(cmp.Compare(a.op, b.op), cmp.Compare(a.opset, b.opset))
	})
	for _, k := range keys {
		if c.known[k.op] {
			c.line(&b, k)
		}
	}
	b.WriteString("\n## Refused variants of implemented operators\n\n| operator | why | cases |\n|---|---|---|\n")
	c.refusals(&b, true)
	b.WriteString("\n## Where ONNX Runtime " + recordedVersion + " differs\n\nOther cases that it does not pass it refuses when " +
		"they are compiled.\n\n| case | what it does |\n|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(deviations)) {
		fmt.Fprintf(&b, "| %s | %s |\n", key, deviations[key])
	}
	b.WriteString("\n## Operators that are not implemented\n\nTheir graphs are refused when they are compiled. Where an " +
		"operator is defined as a function, the expanded model may still run.\n\n" + tableHead)
	for _, k := range keys {
		if !c.known[k.op] {
			c.line(&b, k)
		}
	}
	return b.String()
}

const intro = `# Coverage

Generated by ` + "`go generate ./tests/conformance`" + `; a test fails when this page is out of date. Do not edit.

Cells are cases passed/total. **node**: the node tests of the ONNX project, one operator each. **expanded**: the same with
the operator replaced by its function body. **models**: the simple, PyTorch and light models that the ONNX project ships,
counted for their last operator. **onnx-go**: the backend suite of onnx-go 0.5.0. Those four ran on the embedded executor,
the last column is all four on ONNX Runtime. The opset is the one that the model imports.

Passed means: type, shape and every value agree (float32 to 1e-5, float64 to 1e-7, half types to one unit in the last
place, integers, NaN and infinities exactly), with every input computed, with the inputs after the first constant, and with
all inputs constant. Operators whose result has a shape that depends on contents need the latter two (**fixed** counts the
cases where they do). Every case that does not pass is refused before anything runs: by the compiler, with an error that names
operator, attribute, node and opset, or by the reader, with one that names file and place, when the model needs values that
are neither tensors nor sequences or optionals of tensors. Nothing else is refused by an operator that is listed as
implemented.

`

const tableHead = "| operator | opset | node | expanded | models | onnx-go | ONNX Runtime |\n|---|---|---|---|---|---|---|\n"

func (c *coverage) totalsTable(b *strings.Builder) {
	b.WriteString("| suite | passed | of which fixed | total |\n|---|---|---|---|\n")
	for _, col := range columns {
		if t := c.totals[col]; t != nil {
			fmt.Fprintf(b, "| %s | %d | %d | %d |\n", col, t.passed, t.fixed, t.total)
		}
	}
	var t tally
	for k, cells := range c.rows {
		if cell := cells[suiteNode]; c.known[k.op] && cell != nil {
			t.passed, t.fixed, t.total = t.passed+cell.passed, t.fixed+cell.fixed, t.total+cell.total
		}
	}
	fmt.Fprintf(b, "| node, implemented operators | %d | %d | %d |\n", t.passed, t.fixed, t.total)
}

func (c *coverage) line(b *strings.Builder, k row) {
	fmt.Fprintf(b, "| %s | %d |", k.op, k.opset)
	for _, col := range columns {
		cell := tally{}
		if t := c.rows[k][col]; t != nil {
			cell = *t
		}
		fmt.Fprintf(b, " %s |", cell)
	}
	b.WriteString("\n")
}

func (c *coverage) refusals(b *strings.Builder, known bool) {
	for _, op := range slices.Sorted(maps.Keys(c.refused)) {
		if c.known[op] != known {
			continue
		}
		for _, why := range slices.Sorted(maps.Keys(c.refused[op])) {
			names := c.refused[op][why]
			shown := strings.Join(names[:min(len(names), 6)], ", ")
			if len(names) > 6 {
				shown += fmt.Sprintf(" and %d more", len(names)-6)
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", op, strings.ReplaceAll(why, "|", "\\|"), shown)
		}
	}
}

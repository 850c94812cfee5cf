package graph

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// poisonByte fills memory that holds nothing: four of them are a float32 NaN.
const poisonByte = 0xFF

// guardByte fills the space behind each block.
const guardByte = 0xA5

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// guard returns the bytes behind the contents of a buffer.
func (g *Program) guard(b int) []byte {
	buf := &g.buffers[b]
	return g.arena[buf.off+buf.used : buf.off+buf.size]
}

// armGuards writes the guards of the blocks that a step defines.
func (g *Program) armGuards(st *step) {
	for _, b := range st.outputs {
		fill(g.guard(b), guardByte)
	}
	if st.scratch >= 0 {
		fill(g.guard(st.scratch), guardByte)
		b := &g.buffers[st.scratch]
		fill(g.arena[b.off:b.off+b.used], poisonByte)
	}
}

// checkGuards verifies the guards that a step could have damaged and poisons the blocks that die with it.
func (g *Program) checkGuards(s int) error {
	st := &g.steps[s]
	touched := slices.Concat(st.inputs, st.outputs)
	if st.scratch >= 0 {
		touched = append(touched, st.scratch)
	}
	for _, b := range touched {
		if g.buffers[b].first < 0 {
			continue
		}
		guard := g.guard(b)
		if len(bytes.Trim(guard, string([]byte{guardByte}))) > 0 {
			return &RunError{
				Source: g.ir.src.Source, Node: st.node.Label(),
				Err: fmt.Errorf("internal fault: the kernel wrote beyond a block of %d bytes", g.buffers[b].used),
			}
		}
	}
	for _, b := range touched {
		if buf := &g.buffers[b]; buf.last == s {
			fill(g.arena[buf.off:buf.off+buf.used], poisonByte)
		}
	}
	return nil
}

// profile gathers times for WINNOW_DEBUG=2.
type profile struct {
	on     bool
	spent  []time.Duration
	sawNaN bool
}

func (pr *profile) start(on bool, steps int) {
	pr.on, pr.sawNaN = on, false
	if on {
		pr.spent = make([]time.Duration, steps)
	}
}

// opTotal is the time of all calls of one operator.
type opTotal struct {
	op    string
	calls int
	spent time.Duration
	bytes int
	flops float64
}

// printProfile writes time, traffic and rate by operator, and the slowest steps.
func (g *Program) printProfile() {
	totals := map[string]*opTotal{}
	var sum time.Duration
	order := make([]int, len(g.steps))
	for s := range g.steps {
		order[s] = s
		n := g.steps[s].node
		t := totals[n.Op]
		if t == nil {
			t = &opTotal{op: n.Op}
			totals[n.Op] = t
		}
		t.calls++
		t.spent += g.prof.spent[s]
		t.bytes += g.traffic(s)
		t.flops += g.steps[s].kernel.Flops
		sum += g.prof.spent[s]
	}
	fmt.Fprintf(g.opt.Log, "%-24s %6s %10s %6s %9s %9s\n", "operator", "calls", "ms", "%", "MB", "GFLOP/s")
	rows := make([]*opTotal, 0, len(totals))
	for _, t := range totals {
		rows = append(rows, t)
	}
	slices.SortFunc(rows, func(a, b *opTotal) int { return cmp.Compare(b.spent, a.spent) })
	for _, t := range rows {
		fmt.Fprintf(g.opt.Log, "%-24s %6d %10.2f %6.1f %9.1f %9s\n", t.op, t.calls, ms(t.spent),
			100*float64(t.spent)/float64(max(sum, 1)), float64(t.bytes)/1e6, rate(t.flops, t.spent))
	}
	fmt.Fprintf(g.opt.Log, "%-24s %6d %10.2f\n", "total", len(g.steps), ms(sum))
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(g.prof.spent[b], g.prof.spent[a]) })
	for _, s := range order[:min(len(order), 24)] {
		fmt.Fprintf(g.opt.Log, "%10.2f ms %9s GFLOP/s  %s\n", ms(g.prof.spent[s]),
			rate(g.steps[s].kernel.Flops, g.prof.spent[s]), g.describe(s))
	}
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func rate(flops float64, d time.Duration) string {
	if flops == 0 || d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", flops/float64(d))
}

// traffic is the number of bytes that a step reads and writes.
func (g *Program) traffic(s int) int {
	n := 0
	for _, t := range g.steps[s].frame.In {
		n += len(t.Data)
	}
	for _, t := range g.steps[s].frame.Out {
		n += len(t.Data)
	}
	return n
}

// describe prints a step as "Op types → types (name)".
func (g *Program) describe(s int) string {
	n := g.steps[s].node
	var b strings.Builder
	b.WriteString(n.Op)
	if act := n.attrString("act", ""); act != "" {
		b.WriteString("+" + act)
	}
	for _, id := range n.Inputs {
		if id == None {
			b.WriteString(" -")
			continue
		}
		fmt.Fprintf(&b, " %s", shapeString(g.ir.shape(id)))
	}
	fmt.Fprintf(&b, " → %s (%s)", shapeString(g.ir.shape(n.Outputs[0])), n.Name)
	return b.String()
}

// WritePlan lists every step with operator, shapes and name, and for each output its block of the arena: offset, bytes,
// and the last step that reads it. A line of totals follows.
func (g *Program) WritePlan(w io.Writer) error {
	var b bytes.Buffer
	for s := range g.steps {
		fmt.Fprintf(&b, "%4d %s", s, g.describe(s))
		for _, i := range g.steps[s].outputs {
			fmt.Fprintf(&b, " @%d+%d until %d", g.buffers[i].off, g.buffers[i].used, g.buffers[i].last)
		}
		b.WriteByte('\n')
	}
	st := g.stats
	fmt.Fprintf(&b, "%d nodes in file, %d after folding, %d steps, %d views, arena %.1f MB, packed %.1f MB\n",
		st.FileNodes, st.FoldedNodes, st.Steps, st.Views, float64(st.ArenaBytes)/1e6, float64(st.PackedBytes)/1e6)
	_, err := w.Write(b.Bytes())
	return err
}

package lora

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
)

// The middle is found in the files of all exporters, and the part up to it computes what the whole network computes there.
func TestMidBlock(t *testing.T) {
	for _, kind := range []string{"sd15", "sd2", "sdxl", "mini"} {
		g := network(t, kind)
		middle, nodes, outputs := 0, len(g.Nodes), slices.Clone(g.Outputs)
		part, name, err := MidBlock(g)
		if err != nil {
			t.Fatal(kind, err)
		}
		if len(g.Nodes) != nodes || !slices.Equal(g.Outputs, outputs) {
			t.Errorf("%s: the network was changed", kind)
		}
		for _, m := range List(part) {
			if strings.HasPrefix(m.Name, "up_blocks.") || strings.HasPrefix(m.Name, "conv_out") {
				t.Errorf("%s: %s is behind the middle", kind, m.Name)
			}
			if strings.HasPrefix(m.Name, "mid_block.") {
				middle++
			}
		}
		if middle < 5 || len(part.Nodes) >= nodes {
			t.Errorf("%s: %d modules of the middle, %d of %d nodes", kind, middle, len(part.Nodes), nodes)
		}
		in := values(types(g, 2), 1)
		whole := *g
		whole.Outputs = append(slices.Clone(part.Outputs), g.Outputs...)
		want, got := run(t, &whole, in), run(t, part, in)
		if !slices.Equal(got.Shape, want.Shape) || !slices.Equal(got.Data, want.Data) || got.Elems() == 0 || name != g.Value(part.Outputs[0]).Name {
			t.Errorf("%s: %v of %s, the whole network has %v", kind, got.Shape, name, want.Shape)
		}
	}
}

// Networks without a middle, and files that hide it, are told apart.
func TestMidBlock_refused(t *testing.T) {
	g := network(t, "mini")
	rename := func(change func(name string) string) *graph.Graph {
		out := *g
		out.Values, out.Nodes = slices.Clone(g.Values), slices.Clone(g.Nodes)
		for i := range out.Values {
			out.Values[i].Name = change(out.Values[i].Name)
		}
		for i := range out.Nodes {
			out.Nodes[i].Name = change(out.Nodes[i].Name)
		}
		return &out
	}
	without := rename(func(name string) string { return strings.ReplaceAll(name, "mid_block", "down_blocks.9") })
	if _, _, err := MidBlock(without); !errors.Is(err, ErrNoMidBlock) {
		t.Errorf("without a middle: %v", err)
	}
	count := 0
	nameless := rename(func(string) string { count++; return fmt.Sprint("v", count) })
	if _, _, err := MidBlock(nameless); err == nil || !strings.Contains(err.Error(), "lost their module's name") {
		t.Errorf("without names: %v", err)
	}
	// A network whose middle is followed by something else.
	apart := *g
	apart.Nodes = slices.Clone(g.Nodes)
	for i, n := range apart.Nodes {
		if n.Op == "Concat" && strings.HasPrefix(n.Name, "/up_blocks.0") {
			apart.Nodes[i].Op = "Max"
			break
		}
	}
	if _, _, err := MidBlock(&apart); err == nil || !strings.Contains(err.Error(), "straight") {
		t.Errorf("without a way up: %v", err)
	}
}

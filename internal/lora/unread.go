package lora

import "winnow/internal/graph"

// Unread names the modules that none of the outputs depends on: an adapter there has a derivative of zero, and changes nothing that is
// read. Outputs that the graph has not got are passed over. A graph with subgraphs, which read values by name, has none.
func Unread(g *graph.Graph, outputs []string) []string {
	needed := map[graph.ValueID]bool{}
	for _, name := range outputs {
		if id, ok := g.Lookup(name); ok {
			needed[id] = true
		}
	}
	read := make([]bool, len(g.Nodes))
	for i := len(g.Nodes) - 1; i >= 0; i-- { // readers stand behind what they read
		n := &g.Nodes[i]
		for _, a := range n.Attrs {
			if a.G != nil {
				return nil
			}
		}
		for _, id := range n.Outputs {
			read[i] = read[i] || needed[id]
		}
		if read[i] {
			for _, id := range n.Inputs {
				needed[id] = true
			}
		}
	}
	var out []string
	for _, m := range List(g) {
		used := false
		for _, at := range m.nodes {
			used = used || read[at]
		}
		if !used {
			out = append(out, m.Name)
		}
	}
	return out
}

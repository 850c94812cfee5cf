package lora

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// Weights are an adapter read from a file, for the modules of one network.
type Weights struct {
	File    string
	Network string   // UNet, TextEncoder, …
	Layout  string   // one of Layouts; of the file's first network
	Modules []string // in the network's order
	MaxRank int

	ranks   map[string]int
	alphas  map[string]float64
	factors map[string][2]tensor.Tensor // A and B, float32, by module
}

// KeyError says that tensors of a file belong to nothing that can be adapted.
type KeyError struct {
	File    string
	Network string
	Keys    []string // the first ten
	Count   int      // of all such tensors
	Total   int      // tensors in the file
	Why     string
}

// Error names the file, the first ten tensors and the likely cause.
func (e *KeyError) Error() string {
	more := ""
	if e.Count > len(e.Keys) {
		more = fmt.Sprintf(" and %d more", e.Count-len(e.Keys))
	}
	return fmt.Sprintf("%s: %d of %d tensors fit no module of %s: %s%s; %s", e.File, e.Count, e.Total, e.Network,
		strings.Join(e.Keys, ", "), more, e.Why)
}

// names of files in a folder that a training script wrote.
var folderNames = []string{"pytorch_lora_weights.safetensors", "adapter_model.safetensors"}

// Read reads the adapter at path, a safetensors file or a folder with one under diffusers' or PEFT's name, for a U-Net. Every
// tensor must belong to a module: otherwise a *KeyError lists them. A module's alpha comes from its own tensor, else from the
// file's lora_adapter_metadata, else from PEFT's adapter_config.json beside it; without any it is the rank.
func Read(path string, g *graph.Graph) (*Weights, error) {
	all, err := ReadNetworks(path, map[string]*graph.Graph{UNet: g})
	if err != nil {
		return nil, err
	}
	return all[UNet], nil
}

// ReadNetworks is Read for several networks, by UNet, TextEncoder and so on. Networks that the file says nothing about are missing
// from the result.
func ReadNetworks(path string, graphs map[string]*graph.Graph) (map[string]*Weights, error) {
	looks := map[string]*surveyed{}
	fd := &finder{tables: map[string]resolver{}, closed: true}
	for network, g := range graphs {
		looks[network] = look(g)
		fd.tables[network] = newResolver(network, looks[network].modules)
	}
	c, err := openContents(path, fd)
	if err != nil {
		return nil, err
	}
	defer c.file.Close()
	if len(c.lost) > 0 {
		return nil, c.keyError(graphs, looks)
	}
	out := map[string]*Weights{}
	for network, found := range c.found {
		settings, err := readSettings(c.path, network, c.file.Metadata)
		if err != nil {
			return nil, err
		}
		w := &Weights{
			File: c.path, Network: network, Layout: c.layout, ranks: map[string]int{}, alphas: map[string]float64{}, factors: map[string][2]tensor.Tensor{},
		}
		for i := range looks[network].modules {
			m := &looks[network].modules[i]
			name := m.Name
			if isText(network) {
				name = textName(name)
			}
			if found[name] == nil {
				continue
			}
			if err := w.take(m, found[name], settings); err != nil {
				return nil, err
			}
		}
		out[network] = w
	}
	return out, nil
}

// take checks the factors of a module and copies them.
func (w *Weights) take(m *Module, p *pieces, settings settings) error {
	f, err := p.factors(w.File, m.Name, settings)
	if err != nil {
		return err
	}
	a, b, rank, kernel := f.A, f.B, f.Rank(), 1
	for _, k := range m.Kernel {
		kernel *= k
	}
	switch {
	case a.Shape[1] != m.In || a.Elems() != rank*m.In*kernel || !sameKernel(a.Shape[2:], m.Kernel):
		return p.bad(w.File, m.Name, partA, "shape %v, the module takes [rank %d %v]", a.Shape, m.In, m.Kernel)
	case b.Shape[0] != m.Out:
		return p.bad(w.File, m.Name, partB, "shape %v, the module takes [%d rank]", b.Shape, m.Out)
	}
	w.Modules = append(w.Modules, m.Name)
	w.MaxRank = max(w.MaxRank, rank)
	w.ranks[m.Name], w.alphas[m.Name], w.factors[m.Name] = rank, f.Alpha, [2]tensor.Tensor{a, b}
	return nil
}

// sameKernel compares kernels; that of a 1×1 convolution may be left out, and a Linear may have one.
func sameKernel(got, want []int) bool {
	ones := func(v []int) bool { return !slices.ContainsFunc(v, func(n int) bool { return n != 1 }) }
	return slices.Equal(got, want) || ones(got) && ones(want)
}

// Adapter is what Inject takes for these weights.
func (w *Weights) Adapter(name string) Adapter {
	return Adapter{Name: name, Rank: 1, Modules: w.Modules, Ranks: w.ranks, Alphas: w.alphas}
}

// Sum is a hash of what the adapter does: of its modules, their scales and factors.
func (w *Weights) Sum() [sha256.Size]byte {
	h := sha256.New()
	for _, m := range w.Modules {
		fmt.Fprintf(h, "%s %d %v\n", m, w.ranks[m], w.alphas[m])
		for _, f := range w.factors[m] {
			h.Write(f.Data)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Inputs are the factors under the names of the inputs that Inject made for the adapter called name.
func (w *Weights) Inputs(in *Injection, name string) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{}
	for _, l := range in.Layers {
		if l.Adapter == name {
			pair := w.factors[l.Module]
			out[l.A.Name], out[l.B.Name] = pair[0].Reshaped(l.A.Shape...), pair[1].Reshaped(l.B.Shape...)
		}
	}
	return out
}

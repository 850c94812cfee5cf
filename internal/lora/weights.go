package lora

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// Weights are an adapter read from a file, for the modules of one network.
type Weights struct {
	File    string
	Layout  string   // Kohya, Diffusers or PEFT; the first one found
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
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		at := slices.IndexFunc(folderNames, func(name string) bool {
			_, err := os.Stat(filepath.Join(path, name))
			return err == nil
		})
		if at < 0 {
			return nil, fmt.Errorf("%s holds no %s: name the adapter's file", path, strings.Join(folderNames, " and no "))
		}
		path = filepath.Join(path, folderNames[at])
	}
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := look(g)
	found, layout, err := gather(f, path, g.Source, s)
	if err != nil {
		return nil, err
	}
	settings, err := readSettings(path, UNet, f.Metadata)
	if err != nil {
		return nil, err
	}
	w := &Weights{File: path, Layout: layout, ranks: map[string]int{}, alphas: map[string]float64{}, factors: map[string][2]tensor.Tensor{}}
	for i := range s.modules {
		if m := &s.modules[i]; found[m.Name] != nil {
			if err := w.take(m, found[m.Name], settings); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// pieces are the tensors of one module, and their names in the file.
type pieces struct {
	key    [3]string
	tensor [3]tensor.Tensor
}

// gather sorts the tensors of a file by module.
func gather(f *safetensors.File, file, network string, s *surveyed) (map[string]*pieces, string, error) {
	r := newResolver(s.modules)
	found, layout := map[string]*pieces{}, ""
	var lost []string
	for _, key := range f.Names() {
		name, p, form, ok := split(key)
		var m *Module
		if ok {
			m = r.find(name)
		}
		if m == nil {
			lost = append(lost, key)
			continue
		}
		if layout == "" {
			layout = form
		}
		if found[m.Name] == nil {
			found[m.Name] = &pieces{}
		}
		at := found[m.Name]
		if at.key[p] != "" {
			return nil, "", &safetensors.Error{
				File: file, Tensor: key, What: fmt.Sprintf("belongs to module %q, as %q does", m.Name, at.key[p]), Cure: "remove one of them",
			}
		}
		at.key[p] = key
		at.tensor[p], _ = f.Tensor(key)
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		return nil, "", &KeyError{
			File: file, Network: network, Keys: lost[:min(10, len(lost))], Count: len(lost), Total: len(f.Names()), Why: whyLost(lost, len(found), s),
		}
	}
	if len(found) == 0 {
		return nil, "", &safetensors.Error{File: file, What: "holds no tensors", Cure: "name the adapter's file"}
	}
	return found, layout, nil
}

// whyLost is the likely reason why tensors fit no module.
func whyLost(lost []string, found int, s *surveyed) string {
	every := func(prefixes ...string) bool {
		return !slices.ContainsFunc(lost, func(key string) bool {
			return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
		})
	}
	hidden := s.hidden()
	switch {
	case every("text_encoder", "lora_te"):
		return "adapters of text encoders are not applied: write the file again with those of the U-Net alone"
	case slices.ContainsFunc(lost, foreign.MatchString):
		return "LoRA alone is read, not LoHa, LoKr, DoRA, OFT and LoCon's third factor"
	case hidden != "":
		return hidden
	case found == 0:
		return "the adapter was made for another kind of network"
	}
	return "the adapter was made for another variant of the network"
}

// take checks the factors of a module and copies them.
func (w *Weights) take(m *Module, p *pieces, settings settings) error {
	bad := func(half part, format string, args ...any) error {
		return &safetensors.Error{
			File: w.File, Tensor: p.key[half], What: fmt.Sprintf(format, args...) + fmt.Sprintf(" (module %q)", m.Name),
			Cure: "the adapter belongs to another network, or the file is damaged",
		}
	}
	for _, half := range []part{partA, partB} {
		if p.key[half] == "" {
			return bad(1-half, "stands alone: its other factor is missing")
		}
		if t := p.tensor[half]; !t.DType.IsFloat() || len(t.Shape) < 2 {
			return bad(half, "%v of shape %v is no factor", t.DType, t.Shape)
		}
	}
	a, b := p.tensor[partA], p.tensor[partB]
	rank := a.Shape[0]
	kernel := 1
	for _, k := range m.Kernel {
		kernel *= k
	}
	switch {
	case rank < 1 || b.Shape[1] != rank:
		return bad(partB, "shape %v does not fit the rank %d of the other factor", b.Shape, rank)
	case a.Shape[1] != m.In || a.Elems() != rank*m.In*kernel || !sameKernel(a.Shape[2:], m.Kernel):
		return bad(partA, "shape %v, the module takes [rank %d %v]", a.Shape, m.In, m.Kernel)
	case b.Shape[0] != m.Out || b.Elems() != rank*m.Out:
		return bad(partB, "shape %v, the module takes [%d rank]", b.Shape, m.Out)
	}
	alpha, err := w.alpha(m.Name, rank, p, settings)
	if err != nil {
		return err
	}
	var pair [2]tensor.Tensor
	for half, t := range []tensor.Tensor{a, b} {
		v := slices.Clone(t.Float32s())
		for i, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return bad(part(half), "element %d is %v", i, x)
			}
		}
		pair[half] = tensor.FromF32(v, len(v))
	}
	w.Modules = append(w.Modules, m.Name)
	w.MaxRank = max(w.MaxRank, rank)
	w.ranks[m.Name], w.alphas[m.Name], w.factors[m.Name] = rank, alpha, pair
	return nil
}

// sameKernel compares kernels; that of a 1×1 convolution may be left out, and a Linear may have one.
func sameKernel(got, want []int) bool {
	ones := func(v []int) bool { return !slices.ContainsFunc(v, func(n int) bool { return n != 1 }) }
	return slices.Equal(got, want) || ones(got) && ones(want)
}

func (w *Weights) alpha(module string, rank int, p *pieces, settings settings) (float64, error) {
	if p.key[partAlpha] == "" {
		return settings.alpha(module, rank), nil
	}
	t := p.tensor[partAlpha]
	if t.Elems() != 1 || !t.DType.IsFloat() {
		return 0, &safetensors.Error{File: w.File, Tensor: p.key[partAlpha], What: fmt.Sprintf("%v of shape %v is no alpha", t.DType, t.Shape)}
	}
	alpha := float64(t.Float32s()[0])
	if math.IsNaN(alpha) || math.IsInf(alpha, 0) {
		return 0, &safetensors.Error{File: w.File, Tensor: p.key[partAlpha], What: fmt.Sprintf("alpha is %v", alpha)}
	}
	return alpha, nil // 0 means the rank, as in kohya's scripts and in Adapter
}

// Adapter is what Inject takes for these weights.
func (w *Weights) Adapter(name string) Adapter {
	return Adapter{Name: name, Rank: 1, Modules: w.Modules, Ranks: w.ranks, Alphas: w.alphas}
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

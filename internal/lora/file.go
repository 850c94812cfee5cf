package lora

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"winnow/internal/tensor"
)

// Networks that adapters are for: diffusers' names of a pipeline's components.
const (
	UNet         = "unet"
	Transformer  = "transformer"
	TextEncoder  = "text_encoder"
	TextEncoder2 = "text_encoder_2"
)

// networkOrder is the order in which files and reports name networks.
var networkOrder = []string{UNet, Transformer, TextEncoder, TextEncoder2, "text_encoder_3"}

// Factors are the adapter of one module: what it adds to the module's weight is Alpha/r·B·A.
type Factors struct {
	Module string        // as named_modules() of the network calls it
	A      tensor.Tensor // float32 [r, in], of a convolution [r, in, kernel…]
	B      tensor.Tensor // float32 [out, r], of a convolution [out, r, 1…]
	Alpha  float64       // 0 means r
}

// Rank is r.
func (f *Factors) Rank() int { return f.A.Shape[0] }

// Scale is what B·A is multiplied by: alpha/r.
func (f *Factors) Scale() float64 {
	if f.Alpha == 0 {
		return 1
	}
	return f.Alpha / float64(f.Rank())
}

// check makes sure that the factors fit each other.
func (f *Factors) check() error {
	a, b := f.A, f.B
	switch {
	case f.Module == "":
		return fmt.Errorf("a module has no name")
	case a.DType != tensor.F32 || b.DType != tensor.F32:
		return fmt.Errorf("module %q: factors are %v and %v, not float32", f.Module, a.DType, b.DType)
	case len(a.Shape) < 2 || len(b.Shape) < 2 || a.Shape[0] < 1 || b.Shape[1] != a.Shape[0] || b.Elems() != b.Shape[0]*b.Shape[1]:
		return fmt.Errorf("module %q: factors of shapes %v and %v do not fit each other", f.Module, a.Shape, b.Shape)
	case math.IsNaN(f.Alpha) || math.IsInf(f.Alpha, 0):
		return fmt.Errorf("module %q: alpha is %v", f.Module, f.Alpha)
	}
	for i, t := range []tensor.Tensor{a, b} {
		for k, x := range t.F32() {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("module %q: element %d of factor %c is %v", f.Module, k, 'A'+i, x)
			}
		}
	}
	return nil
}

// File is what a file of adapters holds.
type File struct {
	Networks map[string][]Factors // by UNet, Transformer, …
}

// Names lists the networks.
func (f *File) Names() []string {
	names := slices.DeleteFunc(slices.Clone(networkOrder), func(n string) bool { return len(f.Networks[n]) == 0 })
	for _, n := range slices.Sorted(maps.Keys(f.Networks)) {
		if !slices.Contains(networkOrder, n) && len(f.Networks[n]) > 0 {
			names = append(names, n)
		}
	}
	return names
}

// Count is the number of adapted modules of all networks.
func (f *File) Count() int {
	n := 0
	for _, all := range f.Networks {
		n += len(all)
	}
	return n
}

// Ranks are the ranks that occur, ascending.
func (f *File) Ranks() []int {
	seen := map[int]bool{}
	for _, all := range f.Networks {
		for i := range all {
			seen[all[i].Rank()] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func (f *File) check() error {
	if f.Count() == 0 {
		return fmt.Errorf("there are no adapters to write")
	}
	for _, network := range f.Names() {
		seen := map[string]bool{}
		for i := range f.Networks[network] {
			m := &f.Networks[network][i]
			if err := m.check(); err != nil {
				return fmt.Errorf("%s: %w", network, err)
			}
			if seen[m.Module] {
				return fmt.Errorf("%s: module %q occurs twice", network, m.Module)
			}
			seen[m.Module] = true
		}
	}
	return nil
}

// folded returns the factors with the scale baked into B, so that alpha is the rank. Where ranks differ within a network, alpha is
// the largest of them for all modules: diffusers' reader of kohya's layout loses the alphas of single attention layers.
func folded(all []Factors) []Factors {
	alpha := 0
	for i := range all {
		alpha = max(alpha, all[i].Rank())
	}
	out := slices.Clone(all)
	for i := range out {
		f := &out[i]
		f.B = scaled(f.B, f.Scale()*float64(f.Rank())/float64(alpha))
		f.Alpha = float64(alpha)
	}
	return out
}

// baked returns the factors with alpha = r for each of them.
func baked(all []Factors) []Factors {
	out := slices.Clone(all)
	for i := range out {
		out[i].B = scaled(out[i].B, out[i].Scale())
		out[i].Alpha = float64(out[i].Rank())
	}
	return out
}

// alike reports whether one alpha counts for all modules.
func alike(all []Factors) bool {
	alpha := func(f *Factors) float64 { return f.Scale() * float64(f.Rank()) }
	for i := range all {
		if alpha(&all[i]) != alpha(&all[0]) {
			return false
		}
	}
	return true
}

func scaled(t tensor.Tensor, by float64) tensor.Tensor {
	if by == 1 {
		return t
	}
	out := make([]float32, t.Elems())
	for i, x := range t.F32() {
		out[i] = float32(float64(x) * by)
	}
	return tensor.FromF32(out, t.Shape...)
}

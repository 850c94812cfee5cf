package lora

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"winnow/internal/atomicfile"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// WriteOptions steer Write. The zero value writes kohya's layout in float32 with what metadata the factors alone give.
type WriteOptions struct {
	Layout string       // one of Layouts; "" means Kohya
	DType  tensor.DType // F32, F16 or BF16; Invalid means F32
	// KeepAlpha writes alphas as they are, where the layout has a place for them and one number serves a whole network, so that
	// the factors stay as they are to the bit. Otherwise alpha/r is multiplied into B and alpha is the rank.
	KeepAlpha bool
	// Modules are all modules of networks, as far as known. Only the names of Stability's code depend on them; without, two ResNets
	// a block are taken for granted, as in Stable Diffusion 1, 2 and XL.
	Modules map[string][]string
	Meta    Meta
}

// Write stores adapters at path, a safetensors file, or for PEFT a folder that gets adapter_config.json and
// adapter_model.safetensors. Every file appears whole or not at all. Equal arguments give equal bytes.
func Write(path string, f *File, opt WriteOptions) error {
	tensors, metadata, err := encode(f, &opt)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if opt.Layout != PEFT {
		return safetensors.Write(path, tensors, metadata)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	config := indented(peftConfig(f.Networks[f.Names()[0]]))
	if err := writeBytes(filepath.Join(path, configName), config); err != nil {
		return err
	}
	return safetensors.Write(filepath.Join(path, folderNames[1]), tensors, metadata)
}

// WriteAll stores adapters twice in a folder: as NAME.safetensors for user interfaces (kohya's layout for U-Nets, else diffusers'),
// and as pytorch_lora_weights.safetensors, which diffusers' load_lora_weights finds in the folder by itself. opt.Layout is not
// used. It returns the two paths.
func WriteAll(folder, name string, f *File, opt WriteOptions) ([]string, error) {
	paths := []string{filepath.Join(folder, name+".safetensors"), filepath.Join(folder, folderNames[0])}
	layouts := []string{Kohya, Diffusers}
	if len(f.Networks[Transformer]) > 0 {
		layouts[0] = Diffusers
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	for i, path := range paths {
		opt.Layout = layouts[i]
		if err := Write(path, f, opt); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func writeBytes(path string, data []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// encode makes the tensors of a file and its metadata.
func encode(f *File, opt *WriteOptions) (map[string]tensor.Tensor, map[string]string, error) {
	if opt.Layout == "" {
		opt.Layout = Kohya
	}
	if opt.DType == tensor.Invalid {
		opt.DType = tensor.F32
	}
	if !slices.Contains([]tensor.DType{tensor.F32, tensor.F16, tensor.BF16}, opt.DType) {
		return nil, nil, fmt.Errorf("adapters are written in float32, float16 or bfloat16, not in %v", opt.DType)
	}
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	if n := f.Names(); opt.Layout == PEFT && len(n) != 1 {
		return nil, nil, fmt.Errorf("the layout %s holds one network, not %v: write the layout %s", PEFT, n, Diffusers)
	}
	final := &File{Networks: map[string][]Factors{}}
	tensors := map[string]tensor.Tensor{}
	for _, network := range f.Names() {
		n := newNamer(network, f, opt)
		final.Networks[network] = n.factors(f.Networks[network], opt.KeepAlpha)
		for _, m := range final.Networks[network] {
			if err := n.put(tensors, &m, opt.DType); err != nil {
				return nil, nil, err
			}
		}
	}
	metadata, err := opt.metadata(final, tensors)
	return tensors, metadata, err
}

func newNamer(network string, f *File, opt *WriteOptions) *namer {
	n := &namer{layout: opt.Layout, network: network, modules: opt.Modules[network]}
	n.xl = len(f.Networks[TextEncoder2]) > 0 || opt.Meta.base(f).XL
	for _, m := range f.Networks[network] {
		n.plain = n.plain || !isAttention(m.Module)
		if opt.Modules[network] == nil {
			n.modules = append(n.modules, m.Module)
		}
	}
	if opt.Modules[network] == nil {
		n.modules = append(n.modules, usual(n.xl)...)
	}
	return n
}

// factors are what the layout's tensors hold: only kohya's has a place for alpha.
func (n *namer) factors(all []Factors, keep bool) []Factors {
	kohya := n.layout == Kohya || n.layout == KohyaSGM
	switch {
	case kohya && keep && alike(all):
		return all
	case kohya:
		return folded(all)
	}
	return baked(all)
}

// put adds the tensors of one module.
func (n *namer) put(tensors map[string]tensor.Tensor, m *Factors, dt tensor.DType) error {
	k, err := n.keys(m.Module)
	if err != nil {
		return err
	}
	if _, taken := tensors[k.a]; taken {
		return fmt.Errorf("two modules of %s are called %q in the layout %s", n.network, k.a, n.layout)
	}
	for key, t := range map[string]tensor.Tensor{k.a: m.A, k.b: m.B} {
		out := tensor.New(dt, t.Shape...)
		tensor.NarrowInto(out, 0, t.F32())
		if dt == tensor.F16 {
			if err := overflow(out, m.Module); err != nil {
				return err
			}
		}
		tensors[key] = out
	}
	if k.alpha != "" {
		tensors[k.alpha] = tensor.FromF32([]float32{float32(m.Scale() * float64(m.Rank()))})
	}
	return nil
}

// overflow refuses numbers that float16 has no place for.
func overflow(t tensor.Tensor, module string) error {
	for i, bits := range t.Float32s() {
		if bits-bits != 0 {
			return fmt.Errorf("module %q: element %d is beyond float16; write bfloat16 or float32", module, i)
		}
	}
	return nil
}

// peftConfig is PEFT's LoraConfig of a network. Names in it have no text_model level, which newer text encoders lack and which
// PEFT's matching by the end of a name makes up for in older ones.
func peftConfig(all []Factors) map[string]any {
	count := map[int]int{}
	for i := range all {
		count[all[i].Rank()]++
	}
	r := slices.MaxFunc(slices.Sorted(maps.Keys(count)), func(a, b int) int { return count[a] - count[b] })
	names, ranks := []string{}, map[string]int{}
	for i := range all {
		name := shortName(all[i].Module)
		names = append(names, name)
		if all[i].Rank() != r {
			ranks[name] = all[i].Rank()
		}
	}
	slices.Sort(names)
	return map[string]any{
		"peft_type": "LORA", "r": r, "lora_alpha": r, "target_modules": names, "rank_pattern": ranks, "alpha_pattern": ranks,
		"lora_dropout": 0.0, "bias": "none", "use_rslora": false, "use_dora": false, "lora_bias": false, "fan_in_fan_out": false,
		"inference_mode": true, "init_lora_weights": true, "base_model_name_or_path": nil, "task_type": nil,
	}
}

// indented is JSON as Python writes it with indent=2 and sort_keys=True.
func indented(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(err) // maps of texts and numbers
	}
	return bytes.TrimSpace(b.Bytes())
}

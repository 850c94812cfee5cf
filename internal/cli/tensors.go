package cli

import (
	"fmt"
	"strings"

	"winnow/diffusion"
	"winnow/internal/graph"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// readTensor takes one floating-point tensor of a given rank out of a file.
func readTensor(f *safetensors.File, path, name string, rank int) (tensor.Tensor, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return t, usagef("%s holds no tensor %q; it holds %q", path, name, f.Names())
	}
	if !t.DType.IsFloat() || len(t.Shape) != rank {
		return t, usagef("%s: tensor %q is %v; want floating point of rank %d", path, name, t, rank)
	}
	return t, nil
}

// border is one side of a network: its inputs or its outputs.
type border struct {
	kind  string // "input" or "output"
	g     *graph.Graph
	ports []graph.ValueID
}

// names lists the ports.
func (b *border) names() string {
	names := make([]string, len(b.ports))
	for i, id := range b.ports {
		names[i] = b.g.Value(id).Name
	}
	return strings.Join(names, ", ")
}

// matched takes tensors out of a file by the names of a network's ports; all says that every port needs one. Errors name
// file, tensor and axis.
func (b *border) matched(f *safetensors.File, path string, all bool) (map[string]tensor.Tensor, error) {
	out := map[string]tensor.Tensor{}
	for _, id := range b.ports {
		v := b.g.Value(id)
		t, ok := f.Tensor(v.Name)
		if !ok && all {
			return nil, usagef("%s holds no tensor %q, %s of %s that is %v %v; it holds %q",
				path, v.Name, b.kind, b.g.Source, v.DType, v.Dims, f.Names())
		}
		if !ok {
			continue
		}
		if why := misfit(t, v.DType, v.Dims); why != "" {
			return nil, usagef("%s: tensor %q: %s in %s", path, v.Name, why, b.g.Source)
		}
		out[v.Name] = t
	}
	for _, name := range f.Names() {
		if _, ok := out[name]; !ok {
			return nil, usagef("%s: tensor %q is no %s of %s, which has %s", path, name, b.kind, b.g.Source, b.names())
		}
	}
	return out, nil
}

// misfit says what keeps a tensor from being of a type and shape; "" if it is. float32 also stands for the half types,
// whose values it holds.
func misfit(t tensor.Tensor, dt tensor.DType, dims []graph.Dim) string {
	half := (dt == tensor.F16 || dt == tensor.BF16) && t.DType == tensor.F32
	switch {
	case dt != tensor.Invalid && t.DType != dt && !half:
		return fmt.Sprintf("it is %v, want %v", t.DType, dt)
	case dims != nil && len(t.Shape) != len(dims):
		return fmt.Sprintf("its shape %v has %d axes, want %d", t.Shape, len(t.Shape), len(dims))
	}
	for i, d := range dims {
		if d.Size >= 0 && t.Shape[i] != d.Size {
			return fmt.Sprintf("axis %d of its shape %v is %d, want %d", i, t.Shape, t.Shape[i], d.Size)
		}
	}
	return ""
}

// latentsFile is initial noise from --latents.
type latentsFile struct {
	values        []float32
	height, width int // in latents
}

func readLatents(path string) (latentsFile, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return latentsFile{}, err
	}
	defer f.Close()
	t, err := readTensor(f, path, "latents", 4)
	if err != nil {
		return latentsFile{}, err
	}
	values := append([]float32(nil), t.Float32s()...) // the file is unmapped on return
	return latentsFile{values: values, height: t.Shape[2], width: t.Shape[3]}, nil
}

// writeLatents stores final latents as one tensor over all pictures.
func writeLatents(path string, images []diffusion.Image, channels, factor int) error {
	if len(images) == 0 {
		return nil
	}
	var all []float32
	for _, im := range images {
		all = append(all, im.Latents...)
	}
	p := images[0].Params
	t := tensor.FromF32(all, len(images), channels, p.Height/factor, p.Width/factor)
	return safetensors.Write(path, map[string]tensor.Tensor{"latents": t}, map[string]string{"winnow_version": p.Version})
}

// readEmbeds reads --prompt-embeds. The pooled ones are for XL and SD3 models.
func readEmbeds(path string) (*diffusion.PromptEmbeds, int, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	prompt, err := readTensor(f, path, "prompt_embeds", 3)
	if err != nil {
		return nil, 0, err
	}
	e := &diffusion.PromptEmbeds{Tokens: prompt.Shape[1], Dim: prompt.Shape[2], Prompt: copied(prompt)}
	for _, part := range []struct {
		name string
		rank int
		to   *[]float32
	}{
		{"negative_prompt_embeds", 3, &e.Negative},
		{"pooled_prompt_embeds", 2, &e.PooledPrompt},
		{"negative_pooled_prompt_embeds", 2, &e.PooledNegative},
	} {
		if _, there := f.Tensor(part.name); !there {
			continue
		}
		t, err := readTensor(f, path, part.name, part.rank)
		if err != nil {
			return nil, 0, err
		}
		if part.rank == 3 && (t.Shape[1] != e.Tokens || t.Shape[2] != e.Dim) {
			return nil, 0, usagef("%s: %s is %v, but prompt_embeds is %v", path, part.name, t.Shape, prompt.Shape)
		}
		if part.rank == 2 {
			e.PooledDim = t.Shape[1]
		}
		*part.to = copied(t)
	}
	return e, prompt.Shape[0], nil
}

func copied(t tensor.Tensor) []float32 { return append([]float32(nil), t.Float32s()...) }

package cli

import (
	"winnow/diffusion"
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

// readEmbeds reads --prompt-embeds. The pooled ones are for XL models.
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

package ldm

import (
	"context"
	"fmt"

	"winnow/internal/tensor"
)

// decodeLatents bounds how many latent positions one VAE call takes, so that the decoder's full-resolution
// activations of a large batch never decide the memory of a run. 64×64 is one 512×512 picture.
const decodeLatents = 64 * 64

// Decode turns latents [n, channels, height, width] into pictures [n, 3, height·Factor, width·Factor] with values
// around [-1, 1], not clamped.
func (p *Pipeline) Decode(ctx context.Context, latents []float32, n, height, width int) ([]float32, error) {
	size := p.LatentChannels * height * width
	if len(latents) != n*size {
		return nil, fmt.Errorf("ldm: %d latents for %d×[%d %d %d]", len(latents), n, p.LatentChannels, height, width)
	}
	port := p.decoder.Inputs()[0]
	group := max(1, decodeLatents/(height*width))
	var pixels []float32
	for first := 0; first < n; first += group {
		count := min(group, n-first)
		z := tensor.New(tensor.F32, count, p.LatentChannels, height, width)
		for i, v := range latents[first*size : (first+count)*size] {
			a := p.toDecoder[i/(height*width)%p.LatentChannels]
			z.F32()[i] = float32(float64(v)*a.scale + a.shift)
		}
		out, err := p.decoder.Run(ctx, map[string]tensor.Tensor{port.Name: port.Floats(z.F32(), z.Shape...)})
		if err != nil {
			return nil, err
		}
		img := out[p.decoder.Outputs()[0].Name]
		want := []int{count, 3, height * p.Factor, width * p.Factor}
		if fmt.Sprint(img.Shape) != fmt.Sprint(want) {
			return nil, fmt.Errorf("%s: output has shape %v, want %v", p.decoder.Path(), img.Shape, want)
		}
		pixels = append(pixels, img.Float32s()...)
	}
	return pixels, nil
}

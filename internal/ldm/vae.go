package ldm

import (
	"context"
	"fmt"
	"math"

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

// Moments is what the VAE's encoder says of pictures: a normal law of the latents for each.
type Moments struct {
	Mean []float32 // [n, channels, height/Factor, width/Factor], scaled as the denoiser takes latents
	Std  []float32 // of the same shape; nil when the export draws its samples itself, which are in Mean then
}

// CanEncode reports whether the folder has an encoder for pictures.
func (p *Pipeline) CanEncode() bool { return p.encoder != nil }

// EncodePictures encodes n pictures [n, 3, height, width] with values in [-1, 1]; the sides are multiples of Factor.
func (p *Pipeline) EncodePictures(ctx context.Context, pixels []float32, n, height, width int) (Moments, error) {
	switch {
	case p.encoder == nil:
		return Moments{}, fmt.Errorf("%s is missing: pictures cannot become latents", p.Folder.Path("vae_encoder/model.onnx"))
	case len(pixels) != n*3*height*width || height%p.Factor != 0 || width%p.Factor != 0:
		return Moments{}, fmt.Errorf("ldm: %d values for %d pictures of %d×%d, sides must be multiples of %d", len(pixels), n, width, height, p.Factor)
	}
	port, h, w := p.encoder.Inputs()[0], height/p.Factor, width/p.Factor
	var out Moments
	group := max(1, decodeLatents/(h*w))
	for first := 0; first < n; first += group {
		count := min(group, n-first)
		in := map[string]tensor.Tensor{port.Name: port.Floats(pixels[first*3*height*width:(first+count)*3*height*width], count, 3, height, width)}
		res, err := p.encoder.Run(ctx, in)
		if err != nil {
			return Moments{}, err
		}
		if err := p.takeMoments(&out, res[p.encoder.Outputs()[0].Name], count, h, w); err != nil {
			return Moments{}, err
		}
	}
	return out, nil
}

// takeMoments appends what the encoder gave: mean and logarithm of the variance, or samples.
func (p *Pipeline) takeMoments(out *Moments, t tensor.Tensor, n, h, w int) error {
	size := p.LatentChannels * h * w
	v := t.Float32s()
	half := 2
	if t.Elems() == n*size {
		half = 1
	}
	if t.Elems() != n*size*half || len(t.Shape) != 4 {
		return fmt.Errorf("%s: output has shape %v, want [%d, %d or %d, %d, %d]", p.encoder.Path(), t.Shape, n, p.LatentChannels, 2*p.LatentChannels, h, w)
	}
	for i := range n {
		mean := v[i*size*half : i*size*half+size]
		for k, z := range mean {
			a := p.toDecoder[k/(h*w)]
			out.Mean = append(out.Mean, float32((float64(z)-a.shift)/a.scale))
		}
		if half == 1 {
			continue
		}
		for k, l := range v[i*size*half+size : (i+1)*size*half] {
			// The bounds are those of diffusers' DiagonalGaussianDistribution.
			std := math.Exp(0.5 * min(max(float64(l), -30), 20))
			out.Std = append(out.Std, float32(std/p.toDecoder[k/(h*w)].scale))
		}
	}
	return nil
}

package rewards

import (
	"context"
	"image"
	"image/jpeg"
)

// JPEGSize is the size of the picture as a JPEG file of quality 95, in thousands of bytes: what Black et al., "Training Diffusion Models
// with Reinforcement Learning" (DDPO), ICLR 2024, arXiv 2305.13301, section 5, maximise as incompressibility. It is no measure of
// quality: noise scores highest. It is here because its exploitation is easy to see, see "winnow train online".
const JPEGSize = "jpeg-size"

// jpegQuality is the quality that the authors encode with.
const jpegQuality = 95

// jpegSize is the reward JPEGSize.
type jpegSize struct{}

func (jpegSize) Close() error { return nil }

func (jpegSize) Info() Info {
	return Info{
		Name: JPEGSize, Model: "computed", Version: "1", Formula: "bytes of the JPEG file of quality 95 / 1000", AcrossPrompts: true,
	}
}

func (jpegSize) CheckPrompt(string) error { return nil }

func (j jpegSize) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return j.ScoreSamples(ctx, samplesOf(prompt, images))
}

func (jpegSize) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	scores := make([]float64, len(samples))
	for i, s := range samples {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var n counter
		if err := jpeg.Encode(&n, s.Image, &jpeg.Options{Quality: jpegQuality}); err != nil {
			return nil, err
		}
		scores[i] = float64(n) / 1000
	}
	return scores, nil
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

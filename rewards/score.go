package rewards

import (
	"context"
	"fmt"
	"image"
	"math"

	"winnow/internal/imageproc"
	"winnow/internal/model"
	"winnow/internal/tensor"
)

// batchSize is the number of pictures of one network call: enough to fill the
// kernels, little enough that the memory does not grow with the list.
const batchSize = 16

// PromptTooLongError reports a prompt that the reward cannot read in full.
type PromptTooLongError struct {
	Reward        string
	Tokens, Limit int    // with start and end token
	Dropped       string // text that does not fit
}

func (e *PromptTooLongError) Error() string {
	return fmt.Sprintf("rewards: the prompt has %d tokens, reward %q reads %d; this part would be lost: %q (shorten the prompt, or allow truncation)",
		e.Tokens, e.Reward, e.Limit, e.Dropped)
}

// CheckPrompt reports whether the reward can read the prompt in full, unless
// truncation is allowed. The error is a *PromptTooLongError.
func (m *Model) CheckPrompt(prompt string) error {
	_, _, dropped := m.tok.EncodePadded(prompt, m.info.MaxTokens)
	if dropped == "" || m.truncate {
		return nil
	}
	return &PromptTooLongError{Reward: m.info.Name, Tokens: m.tok.Tokens(prompt), Limit: m.info.MaxTokens, Dropped: dropped}
}

// Score gives one score per picture. Pictures may be of any size and shape;
// each is prepared as the model's preprocessor_config.json says.
func (m *Model) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	if err := m.CheckPrompt(prompt); err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, nil
	}
	ids, mask, _ := m.tok.EncodePadded(prompt, m.info.MaxTokens)
	var text []float32
	if m.nets.joint == nil {
		var err error
		if text, err = m.textEmbedding(ctx, ids, mask); err != nil {
			return nil, err
		}
	}
	var scores []float64
	for first := 0; first < len(images); first += batchSize {
		part := images[first:min(first+batchSize, len(images))]
		pixels, err := m.prepare(part, first)
		if err != nil {
			return nil, err
		}
		var batch []float64
		if m.nets.joint != nil {
			batch, err = m.scoreJoint(ctx, ids, mask, pixels, len(part))
		} else {
			batch, err = m.scoreSplit(ctx, text, pixels, len(part))
		}
		if err != nil {
			return nil, err
		}
		scores = append(scores, batch...)
	}
	return scores, finite(scores)
}

// prepare fills one array with the pictures as the network wants them.
func (m *Model) prepare(images []image.Image, first int) ([]float32, error) {
	size := 3 * m.info.Width * m.info.Height
	pixels := make([]float32, len(images)*size)
	for i, img := range images {
		if img == nil || img.Bounds().Empty() {
			return nil, fmt.Errorf("rewards: picture %d has no pixels", first+i+1)
		}
		if err := m.proc.Process(pixels[i*size:(i+1)*size], imageproc.Opaque(img)); err != nil {
			return nil, fmt.Errorf("rewards: picture %d: %w", first+i+1, err)
		}
	}
	return pixels, nil
}

// repeat puts n copies of row after each other.
func repeat(row []int64, n int) []int64 {
	out := make([]int64, 0, n*len(row))
	for range n {
		out = append(out, row...)
	}
	return out
}

// textInputs are input_ids and, where the graph has it, attention_mask.
func textInputs(in map[string]tensor.Tensor, net *model.Model, ids, mask []int64, rows int) {
	for name, v := range map[string][]int64{"input_ids": ids, "attention_mask": mask} {
		if p, ok := net.Input(name); ok {
			in[name] = p.Integers(repeat(v, rows), rows, len(v))
		}
	}
}

func (m *Model) pixelInput(in map[string]tensor.Tensor, net *model.Model, pixels []float32, n int) {
	p, _ := net.Input("pixel_values")
	in["pixel_values"] = p.Floats(pixels, n, 3, m.info.Height, m.info.Width)
}

// run calls a network and checks that an output has the shape expected; a
// negative size is any.
func run(ctx context.Context, net *model.Model, in map[string]tensor.Tensor, out string, elems int) ([]float32, error) {
	res, err := net.Run(ctx, in)
	if err != nil {
		return nil, err
	}
	t := res[out]
	if !t.DType.IsFloat() || t.Elems() == 0 || (elems > 0 && t.Elems() != elems) {
		return nil, fmt.Errorf("rewards: %s: output %q is %v, want %d floating-point values", net.Path(), out, t, elems)
	}
	return t.Float32s(), nil
}

func (m *Model) scoreJoint(ctx context.Context, ids, mask []int64, pixels []float32, n int) ([]float64, error) {
	net, rows := m.nets.joint, 1
	if m.nets.perPair {
		rows = n
	}
	in := map[string]tensor.Tensor{}
	textInputs(in, net, ids, mask, rows)
	m.pixelInput(in, net, pixels, n)
	out, err := run(ctx, net, in, m.nets.out, n)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, n)
	for i, v := range out {
		scores[i] = float64(v)
	}
	return scores, nil
}

// textEmbedding is the prompt's embedding, normalized.
func (m *Model) textEmbedding(ctx context.Context, ids, mask []int64) ([]float32, error) {
	in := map[string]tensor.Tensor{}
	textInputs(in, m.nets.text, ids, mask, 1)
	return run(ctx, m.nets.text, in, m.nets.textOut, 0)
}

func (m *Model) scoreSplit(ctx context.Context, text, pixels []float32, n int) ([]float64, error) {
	in := map[string]tensor.Tensor{}
	m.pixelInput(in, m.nets.vision, pixels, n)
	out, err := run(ctx, m.nets.vision, in, m.nets.visionOut, n*len(text))
	if err != nil {
		return nil, err
	}
	scores := make([]float64, n)
	for i := range scores {
		scores[i] = splitScale * cosine(text, out[i*len(text):(i+1)*len(text)])
	}
	return scores, nil
}

// cosine of two vectors, in double precision; NaN where one of them is zero.
func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab += x * y
		aa += x * x
		bb += y * y
	}
	return ab / math.Sqrt(aa*bb)
}

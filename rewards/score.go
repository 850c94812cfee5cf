package rewards

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

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
	if m.tok == nil || m.truncate {
		return nil
	}
	_, _, dropped := m.encode(prompt)
	if dropped == "" {
		return nil
	}
	return &PromptTooLongError{Reward: m.info.Name, Tokens: m.tok.Tokens(m.words(prompt)), Limit: m.info.MaxTokens, Dropped: dropped}
}

// words is the text that the reward reads for a prompt.
func (m *Model) words(prompt string) string {
	text := m.spec.prefix + prompt
	if m.spec.clean != nil {
		text = m.spec.clean(text)
	}
	return text
}

func (m *Model) encode(prompt string) (ids, mask []int64, dropped string) {
	return m.tok.EncodePadded(m.words(prompt), m.info.MaxTokens)
}

// Score gives one score per picture. Pictures may be of any size and shape;
// each is prepared as Info.Prepare or else the model's preprocessor_config.json
// says. The type of a picture is its mode: rewards that resize before they
// convert to RGB need pictures as imageproc.DecodeModes gives them. Features of
// prompts and pictures are kept for later calls.
func (m *Model) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return m.ScoreSamples(ctx, samplesOf(prompt, images))
}

// ScoreSamples is Score for pictures that each have a prompt of their own.
func (m *Model) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	for i, s := range samples {
		if i > 0 && s.Prompt == samples[i-1].Prompt {
			continue
		}
		if err := m.CheckPrompt(s.Prompt); err != nil {
			return nil, err
		}
	}
	var scores []float64
	for len(scores) < len(samples) {
		batch, err := m.scoreBatch(ctx, samples[len(scores):len(scores)+m.batch(samples[len(scores):])], len(scores))
		if err != nil {
			return nil, err
		}
		scores = append(scores, batch...)
	}
	return scores, finite(scores)
}

// batch is the number of samples, from the first, that one call of the networks takes: a graph that gives every picture's
// logit for every text gets one text at a time.
func (m *Model) batch(samples []Sample) int {
	n := min(len(samples), batchSize)
	if m.nets.joint == nil || m.nets.perPair {
		return n
	}
	for i := range n {
		if samples[i].Prompt != samples[0].Prompt {
			return i
		}
	}
	return n
}

// scoreBatch scores what batch allows; first is the number of samples before, for errors.
func (m *Model) scoreBatch(ctx context.Context, samples []Sample, first int) ([]float64, error) {
	pixels, err := m.prepare(samples, first)
	if err != nil {
		return nil, err
	}
	if m.nets.joint != nil {
		return m.scoreJoint(ctx, samples, pixels)
	}
	return m.scoreFeatures(ctx, samples, pixels)
}

// prepare fills one array with the pictures as the network wants them, one picture per thread.
func (m *Model) prepare(samples []Sample, first int) ([]float32, error) {
	size := 3 * m.info.Width * m.info.Height
	pixels, faults := make([]float32, len(samples)*size), make([]error, len(samples))
	m.pool.Run(len(samples), func(_, i int) {
		faults[i] = m.prepareOne(pixels[i*size:(i+1)*size], samples[i].Image)
	})
	for i, err := range faults {
		if err != nil {
			return nil, fmt.Errorf("rewards: picture %d: %w", first+i+1, err)
		}
	}
	return pixels, nil
}

func (m *Model) prepareOne(to []float32, img image.Image) error {
	if img == nil || img.Bounds().Empty() {
		return errors.New("it has no pixels")
	}
	if _, modes := m.proc.(imageproc.Torchvision); !modes {
		img = imageproc.PillowRGB(img)
	}
	return m.proc.Prepare(to, img)
}

// textInputs are input_ids and, where the graph has it, attention_mask; ids and mask hold rows after each other.
func textInputs(in map[string]tensor.Tensor, net *model.Model, ids, mask []int64, rows int) {
	for name, v := range map[string][]int64{"input_ids": ids, "attention_mask": mask} {
		if p, ok := net.Input(name); ok {
			in[name] = p.Integers(v, rows, len(v)/rows)
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

func (m *Model) scoreJoint(ctx context.Context, samples []Sample, pixels []float32) ([]float64, error) {
	net, n := m.nets.joint, len(samples)
	texts := samples[:1]
	if m.nets.perPair {
		texts = samples
	}
	var ids, mask []int64
	for _, s := range texts {
		i, k, _ := m.encode(s.Prompt)
		ids, mask = append(ids, i...), append(mask, k...)
	}
	in := map[string]tensor.Tensor{}
	textInputs(in, net, ids, mask, len(texts))
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

// textFeature is the prompt's embedding.
func (m *Model) textFeature(ctx context.Context, prompt string) ([]float32, error) {
	if v, ok := m.texts.get(prompt); ok {
		return v, nil
	}
	ids, mask, _ := m.encode(prompt)
	in := map[string]tensor.Tensor{}
	textInputs(in, m.nets.text, ids, mask, 1)
	v, err := run(ctx, m.nets.text, in, m.nets.textOut, 0)
	if err == nil {
		m.texts.put(prompt, v)
	}
	return v, err
}

// scoreFeatures scores pictures by their features and, where the reward reads text, those of their prompts.
func (m *Model) scoreFeatures(ctx context.Context, samples []Sample, pixels []float32) ([]float64, error) {
	features, err := m.imageFeatures(ctx, pixels, len(samples))
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(samples))
	for i, f := range features {
		if m.nets.text == nil {
			if len(f) != len(m.config.Head.Weight) {
				return nil, m.widthError(len(f), len(m.config.Head.Weight), "head in "+configName)
			}
			scores[i] = m.config.Head.score(f)
			continue
		}
		text, err := m.textFeature(ctx, samples[i].Prompt)
		if err != nil {
			return nil, err
		}
		if len(f) != len(text) {
			return nil, m.widthError(len(f), len(text), "text network")
		}
		scores[i], _ = m.spec.ofCosine(cosine(text, f), m.config)
	}
	return scores, nil
}

func (m *Model) widthError(got, want int, of string) error {
	return fmt.Errorf("rewards: %s: output %q has %d floating-point values a picture, the %s %d; the files are of different models",
		m.nets.vision.Path(), m.nets.visionOut, got, of, want)
}

// imageFeatures runs the vision network on the pictures that are not known yet.
func (m *Model) imageFeatures(ctx context.Context, pixels []float32, n int) ([][]float32, error) {
	size := len(pixels) / n
	features, keys := make([][]float32, n), make([][sha256.Size]byte, n)
	var missing []int
	var rest []float32
	for i := range features {
		picture := pixels[i*size : (i+1)*size]
		keys[i] = pixelHash(picture)
		if f, ok := m.pictures.get(keys[i]); ok {
			features[i] = f
			continue
		}
		missing, rest = append(missing, i), append(rest, picture...)
	}
	if len(missing) == 0 {
		return features, nil
	}
	in := map[string]tensor.Tensor{}
	m.pixelInput(in, m.nets.vision, rest, len(missing))
	out, err := run(ctx, m.nets.vision, in, m.nets.visionOut, 0)
	if err != nil {
		return nil, err
	}
	if len(out)%len(missing) != 0 {
		return nil, fmt.Errorf("rewards: %s: output %q has %d values for %d pictures", m.nets.vision.Path(), m.nets.visionOut, len(out), len(missing))
	}
	width := len(out) / len(missing)
	for k, i := range missing {
		features[i] = slices.Clone(out[k*width : (k+1)*width])
		m.pictures.put(keys[i], features[i])
	}
	return features, nil
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

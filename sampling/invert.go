package sampling

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// RowDenoiser is a [Denoiser] for some images of a batch: x and dst hold the images that rows names, one after another.
type RowDenoiser func(ctx context.Context, dst, x []float32, rows []int, t float64) error

// Methods of [InversionGrid.Invert]. A step up to level k wants the network's answer at the latents that it is about to find; the
// methods differ in how they guess them. NFE is network evaluations per step.
const (
	// InvertDDIM asks at the latents before the step: diffusers' DDIMInverseScheduler, and reverse Euler for flow. 1 NFE; the error of
	// a round trip falls as 1/n.
	InvertDDIM = "ddim"
	// InvertReNoise asks there, then again at the latents found, and steps by the average of the answers (Garibi et al. 2024,
	// arXiv 2403.14602, without its noise regularisation). With one iteration and all answers averaged, the default, it is SmPO's
	// inversion. 1 + Iterations NFE; the average with the first answer leaves an error of 1/n.
	InvertReNoise = "renoise"
	// InvertFixedPoint steps by the last answer alone: fixed-point iteration. 1 + Iterations NFE; 1/n² from the first iteration on,
	// and the exact inverse in the limit where the iteration contracts.
	InvertFixedPoint = "fixed-point"
)

// InvertMethods lists the methods.
func InvertMethods() []string { return []string{InvertDDIM, InvertReNoise, InvertFixedPoint} }

// maxInvertIterations bounds the iterations of a step; the papers use up to 9.
const maxInvertIterations = 1000

// InvertOptions say how to invert. The zero value is InvertDDIM.
type InvertOptions struct {
	Method string // "" means InvertDDIM
	// Iterations is how often a step asks again at the latents it found; 0 means 1. InvertDDIM never does.
	Iterations int
	// AverageFrom is the first answer that InvertReNoise averages, from 0 (the one before the step) to Iterations (the last alone,
	// which is InvertFixedPoint). ReNoise's paper leaves the early ones out.
	AverageFrom int
	// Eta adds to the latents of every step this share of the noise that DDPM draws on the way back over it (InPO, arXiv 2503.18454). Draw gives
	// it: standard normal numbers, for the images in rows at the level reached. 0: none.
	Eta  float64
	Draw func(dst []float32, level int, rows []int)
	// OnStep is called after every step with the level reached and the latents of the images that reached it; it must not change them.
	OnStep func(level int, rows []int, x []float32) error
}

// Check reports options that cannot work.
func (o InvertOptions) Check() error {
	_, _, err := o.plan()
	return err
}

// plan gives the number of answers asked for in a step, and the first one that counts.
func (o InvertOptions) plan() (answers, from int, err error) {
	iterations := o.Iterations
	if iterations == 0 {
		iterations = 1
	}
	if iterations < 0 || iterations > maxInvertIterations {
		return 0, 0, fmt.Errorf("sampling: %d inversion iterations; want 1 to %d", o.Iterations, maxInvertIterations)
	}
	if !(o.Eta >= 0 && o.Eta <= 1) || o.Eta > 0 && o.Draw == nil {
		return 0, 0, fmt.Errorf("sampling: inversion noise of %g; want 0 to 1, and where it comes from", o.Eta)
	}
	switch o.Method {
	case "", InvertDDIM:
		return 1, 0, nil
	case InvertFixedPoint:
		return iterations + 1, iterations, nil
	case InvertReNoise:
		if o.AverageFrom < 0 || o.AverageFrom > iterations {
			return 0, 0, fmt.Errorf("sampling: average from answer %d of %d iterations; want 0 to %d", o.AverageFrom, iterations, iterations)
		}
		return iterations + 1, o.AverageFrom, nil
	}
	return 0, 0, fmt.Errorf("sampling: unknown inversion method %q; available: %s", o.Method, strings.Join(InvertMethods(), ", "))
}

// NFE is the number of network evaluations that inverting one image to a level takes.
func (o InvertOptions) NFE(level int) int {
	answers, _, err := o.plan()
	if err != nil {
		return 0
	}
	return answers * level
}

// Inverted is the result of [InversionGrid.Invert].
type Inverted struct {
	X   []float32 // latents, image i at its level
	NFE []int     // network evaluations spent on each image
}

// Invert finds, for each image of a batch, the noisy latents at its level from which DDIM without noise comes back to it. latents holds
// clean images of equal size one after another, one for each entry of levels (0 leaves an image as it is), and is left as it is. The
// network is asked about all images that still climb at once; those that have arrived drop out. Guidance is the network's own affair;
// inversions usually go without.
//
// An answer becomes the noise ε that it means for the latents it was asked about; a step from level j to k is
//
//	x′ = signalₖ·(x − noiseⱼ·ε)/signalⱼ + noiseₖ·ε
//
// and for flow x′ = x + (σₖ−σⱼ)·v. As in diffusers, the first answer of a step is turned into noise at the level below, though the
// network was told the timestep of the level above. With prediction type "sample" that is impossible from a level without noise, and
// the level above is taken. Nothing is clipped: clipping cannot be inverted.
//
// How far a round trip of [InversionGrid.Reconstruct] over n levels misses on the embedded model: root mean square in latents (of
// root mean square 1) of 16 rendered scenes with their captions, unguided (TestInvertMiniPictures of internal/ldm):
//
//	                             NFE   n = 5     10      20      50
//	ddim                           1   0.135   0.095   0.061   0.032
//	renoise                        2   0.103   0.067   0.041   0.020
//	fixed-point                    2   0.072   0.041   0.025   0.010
//	fixed-point, 3 iterations      4   0.038   0.024   0.012   0.003
//	renoise, 9 iterations from 8  10   0.024   0.010   0.003   0.0004
func (g *InversionGrid) Invert(ctx context.Context, model RowDenoiser, latents []float32, levels []int, o InvertOptions) (Inverted, error) {
	size, err := g.sizes(len(latents), levels)
	if err != nil {
		return Inverted{}, err
	}
	answers, from, err := o.plan()
	if err != nil {
		return Inverted{}, err
	}
	out := Inverted{X: slices.Clone(latents), NFE: make([]int, len(levels))}
	for k := 1; k <= slices.Max(levels); k++ {
		rows := reach(levels, k)
		st := inversionStep{grid: g, model: model, to: k, answers: answers, from: from}
		x, err := st.step(ctx, gather(out.X, size, rows), rows)
		if err != nil {
			return Inverted{}, err
		}
		if o.Eta > 0 {
			noise, by := make([]float32, len(x)), o.Eta*g.deviation(k)
			o.Draw(noise, k, rows)
			for i, z := range noise {
				x[i] += float32(by * float64(z))
			}
		}
		for i, row := range rows {
			copy(out.X[row*size:(row+1)*size], x[i*size:(i+1)*size])
			out.NFE[row] += answers
		}
		if o.OnStep != nil {
			if err := o.OnStep(k, rows, x); err != nil {
				return Inverted{}, err
			}
		}
	}
	return out, nil
}

// reach lists the images whose level is k or higher.
func reach(levels []int, k int) []int {
	var rows []int
	for i, level := range levels {
		if level >= k {
			rows = append(rows, i)
		}
	}
	return rows
}

// inversionStep is one step up for the images that take part in it.
type inversionStep struct {
	grid          *InversionGrid
	model         RowDenoiser
	to            int
	answers, from int
}

// step gives the latents at level to of x, which is at the level below.
func (c *inversionStep) step(ctx context.Context, x []float32, rows []int) ([]float32, error) {
	g := c.grid
	below, err := g.direction(c.below())
	if err != nil {
		return nil, err
	}
	above, err := g.direction(c.to)
	if err != nil {
		return nil, err
	}
	carry, push := g.move(c.to-1, c.to)
	way, sum := make([]float64, len(x)), make([]float64, len(x))
	at, next, output := x, make([]float32, len(x)), make([]float32, len(x))
	for k := range c.answers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := c.model(ctx, output, at, rows, g.Timesteps[c.to-1]); err != nil {
			return nil, fmt.Errorf("sampling: inversion to level %d (timestep %g): %w", c.to, g.Timesteps[c.to-1], err)
		}
		by := below
		if k > 0 {
			by = above
		}
		for i, o := range output {
			way[i] = by.x*float64(at[i]) + by.out*float64(o)
			if k >= c.from {
				sum[i] += way[i]
			}
			if k == c.answers-1 {
				way[i] = sum[i] / float64(c.answers-c.from)
			}
			next[i] = float32(carry*float64(x[i]) + push*way[i])
		}
		if err := g.finite(next, output, rows, c.to); err != nil {
			return nil, err
		}
		at = next
	}
	return next, nil
}

// below is the level at which the first answer is turned into noise.
func (c *inversionStep) below() int {
	if c.grid.Prediction == CleanSample && c.grid.Noise[c.to-1] == 0 {
		return c.to
	}
	return c.to - 1
}

// Reconstruct takes images from their levels back to level 0 by DDIM without noise (Euler for flow) along the same grid: 1 NFE a level.
// An image at level 0 stays as it is.
func (g *InversionGrid) Reconstruct(ctx context.Context, model RowDenoiser, latents []float32, levels []int) ([]float32, error) {
	size, err := g.sizes(len(latents), levels)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(latents)
	for k := slices.Max(levels); k > 0; k-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows := reach(levels, k)
		x := gather(out, size, rows)
		output := make([]float32, len(x))
		if err := model(ctx, output, x, rows, g.Timesteps[k-1]); err != nil {
			return nil, fmt.Errorf("sampling: reconstruction from level %d (timestep %g): %w", k, g.Timesteps[k-1], err)
		}
		row, err := g.down(k)
		if err != nil {
			return nil, err
		}
		for i, v := range x {
			x[i] = float32(row.x*float64(v) + row.out*float64(output[i]))
		}
		if err := g.finite(x, output, rows, k); err != nil {
			return nil, err
		}
		for i, image := range rows {
			copy(out[image*size:(image+1)*size], x[i*size:(i+1)*size])
		}
	}
	return out, nil
}

// finite reports the first number of x that is not.
func (g *InversionGrid) finite(x, output []float32, rows []int, level int) error {
	for i, v := range x {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			err := &NonFiniteError{
				Step: level - 1, Count: g.Len(), Timestep: g.Timesteps[level-1], Position: i, Value: v, Output: !finite(output),
			}
			return fmt.Errorf("sampling: inversion of image %d: %w", rows[i/(len(x)/len(rows))], err)
		}
	}
	return nil
}

// RootMeanSquare is √(mean (a−b)²) of each image, a measure of what a round trip loses. Both slices hold as many images of equal size.
func RootMeanSquare(a, b []float32, images int) ([]float64, error) {
	if images < 1 || len(a) != len(b) || len(a) == 0 || len(a)%images != 0 {
		return nil, fmt.Errorf("sampling: %d and %d numbers cannot be %d images of equal size", len(a), len(b), images)
	}
	size := len(a) / images
	out := make([]float64, images)
	for i := range out {
		for k := i * size; k < (i+1)*size; k++ {
			d := float64(a[k]) - float64(b[k])
			out[i] += d * d
		}
		out[i] = math.Sqrt(out[i] / float64(size))
	}
	return out, nil
}

package sampling

import (
	"context"
	"fmt"
)

// JournalSize is about the most bytes that the journal of a search grows to: each pass through the network leaves as many numbers as the
// latents have, and with derivatives the verifier's as many again. They are noise to a compressor, so they are kept as they are.
func JournalSize(p Problem, budget int, gradient bool) int64 {
	passes := int64(budget)
	if p.StepNFE == nil {
		passes /= int64(max(p.NFE, 1))
	}
	size := 4 * int64(p.Size)
	if gradient {
		size *= 2
	}
	return passes * size
}

// gradients are g with answers from the journal.
func (j *journal) gradients(g Gradients) Gradients {
	verify, back := g.Verify, g.Network
	if verify != nil {
		g.Verify = func(ctx context.Context, x []float32, images int) ([]float64, []float32, error) {
			return j.slope(ctx, verify, x, images)
		}
	}
	if back != nil {
		g.Network = func(ctx context.Context, output, x []float32, t float64, cotangent func() ([]float32, error)) ([]float32, error) {
			return j.pull(ctx, back, output, x, t, cotangent)
		}
	}
	return g
}

// slope is a GradientVerifier that asks verify for what the journal does not have: a record of scores and one of derivatives.
func (j *journal) slope(ctx context.Context, verify GradientVerifier, x []float32, images int) (scores []float64, slope []float32, err error) {
	asked := question(x, float64(images))
	known, err := j.take(scoreRecord, asked, images, 8, &scores)
	if err != nil {
		return nil, nil, err
	}
	if known {
		slope = make([]float32, len(x))
		if found, err := j.take(slopeRecord, asked, len(x), 4, slope); found || err != nil {
			return scores, slope, err
		}
	}
	scores, slope, err = verify(ctx, x, images)
	if err == nil && (len(scores) != images || len(slope) != len(x)) {
		err = fmt.Errorf("sampling: the verifier gave %d scores and %d derivatives for latents of %d images, %d numbers", len(scores), len(slope), images, len(x))
	}
	if err == nil && !known {
		j.record++
		err = j.write(scoreRecord, asked, payloadOf(&scores, images))
	}
	if err == nil {
		err = j.write(slopeRecord, asked, payloadOf(slope, len(slope)))
	}
	return scores, slope, err
}

// pull is a Pullback that asks back for what the journal does not have. It makes two records, with those of the cotangent between them;
// when a journal ends there, the network runs again.
func (j *journal) pull(ctx context.Context, back Pullback, output, x []float32, t float64, cotangent func() ([]float32, error)) ([]float32, error) {
	asked := question(x, t)
	known, err := j.take(forwardRecord, asked, len(output), 4, output)
	if err != nil {
		return nil, err
	}
	into := output
	var cot []float32
	if known {
		if cot, err = cotangent(); err != nil {
			return nil, err
		}
		gradient := make([]float32, len(x))
		if found, err := j.take(backRecord, question(cot, t), len(x), 4, gradient); found || err != nil {
			return gradient, err
		}
		into = make([]float32, len(output)) // what was answered stays
	}
	gradient, err := back(ctx, into, x, t, func() ([]float32, error) {
		if known {
			return cot, nil
		}
		if err := j.write(forwardRecord, asked, payloadOf(output, len(output))); err != nil {
			return nil, err
		}
		if cot, err = cotangent(); err != nil {
			return nil, err
		}
		j.record++
		return cot, nil
	})
	if err != nil {
		return nil, err
	}
	if len(gradient) != len(x) {
		return nil, fmt.Errorf("sampling: the network's derivative has %d numbers, the latents have %d", len(gradient), len(x))
	}
	return gradient, j.write(backRecord, question(cot, t), payloadOf(gradient, len(gradient)))
}

package training

import (
	"math"

	"winnow/dpo"
)

// describer is a sample that says more about its pairs than their errors, from the policy's outputs.
type describer interface {
	describe(terms []dpo.Terms, out []float32)
}

// refOutput is what one reference has said to the rows of a batch.
type refOutput struct {
	weight float64
	out    []float32
}

// mark notes what is known about the next pair.
func (d *denoising) mark(one drawn) {
	d.label = append(d.label, one.pair.Label)
	d.scores = append(d.scores, one.pair.Scores)
	d.groups = append(d.groups, one.group)
}

func (d *denoising) anchors() []anchor { return d.own }
func (d *denoising) forget()           { d.refs = nil }
func (d *denoising) keep(weight float64, out []float32) {
	d.refs = append(d.refs, refOutput{weight, out})
}

func (d *denoising) describe(terms []dpo.Terms, out []float32) {
	for i := range terms {
		t := &terms[i]
		t.ScoreChosen, t.ScoreRejected, t.Group = d.scores[i][0], d.scores[i][1], d.groups[i]
		t.DriftChosen = d.weigh(i) * d.drift(out, i)
		if !d.both {
			continue
		}
		k := d.pairs + i
		t.DriftRejected = d.weigh(k) * d.drift(out, k)
		if d.dot {
			t.Dot = math.Sqrt(d.weigh(i)*d.weigh(k)) * dpo.DenoisingDot(d.part(out, i), d.part(d.target, i), d.part(out, k), d.part(d.target, k))
		}
	}
}

// drift is the mean squared difference of a row from the references; 0 where none is kept.
func (d *denoising) drift(out []float32, row int) float64 {
	sum := 0.0
	for _, r := range d.refs {
		sum += r.weight * dpo.DenoisingError(d.part(out, row), d.part(r.out, row))
	}
	return sum
}

// pull adds the derivative of a loss with respect to a row's output by way of its drift.
func (d *denoising) pull(dst, out []float32, row int, slope float64) {
	if slope == 0 {
		return
	}
	one := make([]float32, len(d.part(out, row)))
	for _, r := range d.refs {
		dpo.DenoisingCotangent(one, d.part(out, row), d.part(r.out, row), r.weight*d.weigh(row)*slope)
		for i, v := range one {
			d.part(dst, row)[i] += v
		}
	}
}

package training

import (
	"context"
	"math"

	"winnow/dpo"
	"winnow/internal/ldm"
)

// sample is a batch that a policy and its reference are measured on.
type sample interface {
	// rows are the pictures that the network sees.
	rows() *rows
	// errors writes those of the pictures by pair, chosen before rejected, from the network's outputs.
	errors(dst []pairErrors, out []float32)
	// cotangent writes the derivative of the loss with respect to the outputs, from that with respect to the errors.
	cotangent(dst, out []float32, grad []dpo.Grad)
	// labels are the probabilities that the chosen pictures are the better ones, one for each pair.
	labels() []float64
	// known are the reference's errors where the cache has them, and where they are kept; nil if they are worth no cache.
	known() []Key
}

// rows are inputs of the denoiser.
type rows struct {
	n, height, width int // of latents
	x                []float32
	t                []float64
	cond             ldm.Cond             // by frozen text encoders
	text             []reading            // what the rows read, where text encoders are trained; else nil
	policy           map[string][]float32 // scales of the adapters in the policy; nil: 1 for all
}

// pairErrors are the errors of a pair under one network.
type pairErrors struct{ chosen, rejected float64 }

// denoising is a batch of noised pictures: the errors are those of the network against targets.
type denoising struct {
	in     rows
	target []float32
	pairs  int
	both   bool // rows of rejected pictures follow those of the chosen ones
	label  []float64
	scores [][2]float64
	groups []int
	weight []float64 // of each row's errors, nil: 1
	keys   []Key
	others []string    // prompts of the rejected pictures, where they are others
	dot    bool        // Terms.Dot is wanted
	own    []anchor    // in place of the run's reference; nil: that one
	refs   []refOutput // of the references, where drifts are wanted
}

func (d *denoising) rows() *rows       { return &d.in }
func (d *denoising) labels() []float64 { return d.label }
func (d *denoising) known() []Key      { return d.keys }

func (d *denoising) weigh(row int) float64 {
	if d.weight == nil {
		return 1
	}
	return d.weight[row]
}

// part cuts out one row.
func (d *denoising) part(v []float32, row int) []float32 {
	size := len(v) / d.in.n
	return v[row*size : (row+1)*size]
}

func (d *denoising) errors(dst []pairErrors, out []float32) {
	for i := range d.pairs {
		dst[i].chosen = d.weigh(i) * dpo.DenoisingError(d.part(out, i), d.part(d.target, i))
		if d.both {
			dst[i].rejected = d.weigh(d.pairs+i) * dpo.DenoisingError(d.part(out, d.pairs+i), d.part(d.target, d.pairs+i))
		}
	}
}

func (d *denoising) cotangent(dst, out []float32, grad []dpo.Grad) {
	for i := range d.pairs {
		dpo.DenoisingCotangent(d.part(dst, i), d.part(out, i), d.part(d.target, i), d.weigh(i)*grad[i].Chosen)
		d.pull(dst, out, i, grad[i].DriftChosen)
		if d.both {
			k := d.pairs + i
			dpo.DenoisingCotangent(d.part(dst, k), d.part(out, k), d.part(d.target, k), d.weigh(k)*grad[i].Rejected)
			d.pull(dst, out, k, grad[i].DriftRejected)
		}
	}
}

// scales are those of all adapters for n rows.
func (t *Trainer) scales(n int, v float32) map[string][]float32 {
	out := map[string][]float32{}
	for _, name := range t.method.Adapters {
		s := make([]float32, n)
		for i := range s {
			s[i] = v
		}
		out[name] = s
	}
	return out
}

// recall takes the reference's errors from the cache, if it has all of them.
func (t *Trainer) recall(ctx context.Context, keys []Key, dst []pairErrors) (bool, error) {
	if keys == nil {
		return false, nil
	}
	for i, k := range keys {
		v, ok, err := t.cache.Get(ctx, k, 4)
		if !ok || err != nil {
			return false, err
		}
		dst[i] = pairErrors{joined(v[0], v[1]), joined(v[2], v[3])}
	}
	return true, nil
}

func (t *Trainer) remember(ctx context.Context, keys []Key, errs []pairErrors) error {
	if keys == nil {
		return nil
	}
	return t.cache.Batch(ctx, func() error {
		for i, k := range keys {
			v := make([]float32, 4)
			v[0], v[1] = halves(errs[i].chosen)
			v[2], v[3] = halves(errs[i].rejected)
			if err := t.cache.Put(ctx, k, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// halves and joined keep a double in two floats, bit for bit.
func halves(v float64) (float32, float32) {
	b := math.Float64bits(v)
	return math.Float32frombits(uint32(b >> 32)), math.Float32frombits(uint32(b))
}

func joined(a, b float32) float64 {
	return math.Float64frombits(uint64(math.Float32bits(a))<<32 | uint64(math.Float32bits(b)))
}

// pickLatents gives the latents behind a key: the mean of what the encoder says, plus its deviation times noise.
func (t *Trainer) pickLatents(ctx context.Context, k Key, n int, noise func([]float32)) ([]float32, error) {
	m, ok, err := t.cache.Get(ctx, k, 2*n)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errLost
	}
	out := make([]float32, n)
	if t.config.Mode {
		copy(out, m[:n])
		return out, nil
	}
	noise(out)
	for i := range out {
		out[i] = m[i] + m[n+i]*out[i]
	}
	return out, nil
}

// adapted are the scales of the policy for a batch of pairs: with two adapters, chosen pictures see the first and rejected ones the last.
func (t *Trainer) adapted(pairs, n int) map[string][]float32 {
	names := t.method.Adapters
	if len(names) < 2 {
		return nil
	}
	out := t.scales(n, 0)
	for i := range n {
		name := names[0]
		if i >= pairs {
			name = names[len(names)-1]
		}
		out[name][i] = 1
	}
	return out
}

// pixels are the size conditioning of the denoiser for rows of embeddings.
func (t *Trainer) cond(e ldm.Embeds, s Size) ldm.Cond { return e.Cond(s.Height, s.Width) }

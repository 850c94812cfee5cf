package training

import (
	"math"
	"math/rand/v2"
	"strings"

	"winnow/internal/lora"
)

// alpha is what makes the scale alpha/rank of modules of a rank the one that is wanted.
func (t *Trainer) alpha(rank int) float64 {
	if t.config.RSLoRA {
		return t.config.Alpha * math.Sqrt(float64(rank))
	}
	return t.config.Alpha
}

// inits are the names of the rules that fill the factors A.
var inits = []string{"kaiming", "gaussian", "orthogonal"}

// initialise fills the factors by the name that PEFT gives the rule (init_lora_weights). B is zero, or with "orthogonal" such that the
// product is, so that an adapter changes nothing at first. Two adapters of one run start alike, as the networks of CHATS do.
func (t *Trainer) initialise() error {
	for _, p := range t.params {
		if !strings.HasSuffix(p.Name, ".lora_A.weight") {
			continue
		}
		_, module, _ := strings.Cut(strings.TrimPrefix(p.Name, "lora."), ".")
		if network := t.network[p.Name]; network != lora.UNet { // text encoders have modules of the same names, but for a level that exports may lack
			module = network + "." + strings.TrimPrefix(module, "text_model.")
		}
		r := stream(t.config.Seed, "init", []byte(module))
		rank, in := p.Shape[0], len(p.Value)/p.Shape[0]
		switch t.config.Init {
		case "kaiming":
			// kaiming_uniform with a = √5 is uniform within 1/√fan_in.
			bound := 1 / math.Sqrt(float64(in))
			for i := range p.Value {
				p.Value[i] = float32((2*r.Float64() - 1) * bound)
			}
		case "gaussian":
			for i := range p.Value {
				p.Value[i] = float32(r.NormFloat64() / float64(rank))
			}
		case "orthogonal":
			if rank%2 != 0 {
				return setting("init-lora-weights", t.config.Init, "wants even ranks, as in PEFT; %s has rank %d", strings.TrimSuffix(module, ".lora_A.weight"), rank)
			}
			b := t.byName[strings.TrimSuffix(p.Name, ".lora_A.weight")+".lora_B.weight"]
			orthogonal(p.Value, b.Value, rank, r)
		default:
			return setting("init-lora-weights", t.config.Init, "want %s", strings.Join(inits, ", "))
		}
	}
	return nil
}

// orthogonal is PEFT's rule of that name. The rows of a random orthogonal matrix are dealt out to A, a [rank, in], and to B, b
// [out, rank]: each column of A, and each row of B, is a sum of its own half with normal weights of deviation 0.1. So BA is zero, and
// both factors have a derivative from the first step on.
func orthogonal(a, b []float32, rank int, r *rand.Rand) {
	q := make([]float32, rank*rank)
	normal(q, r)
	orthonormal(q, rank, rank)
	orthonormal(q, rank, rank) // takes out what the first pass rounded
	in, out, half := len(a)/rank, len(b)/rank, rank/2
	weights := make([]float32, half)
	mix := func(first, at int) float32 { // column `at` of rows first, first+2, … of q, weighted
		sum := 0.0
		for k, w := range weights {
			sum += float64(w) * float64(q[(first+2*k)*rank+at])
		}
		return float32(sum / 10)
	}
	for i := range in {
		normal(weights, r)
		for k := range rank {
			a[k*in+i] = mix(0, k)
		}
	}
	for o := range out {
		normal(weights, r)
		for k := range rank {
			b[o*rank+k] = mix(1, k)
		}
	}
}

// orthonormal makes the rows of a matrix orthogonal and of length one, by the modified method of Gram and Schmidt.
func orthonormal(m []float32, rows, cols int) {
	for i := range rows {
		a := m[i*cols : (i+1)*cols]
		for k := range i {
			b := m[k*cols : (k+1)*cols]
			d := dot(a, b)
			for j := range a {
				a[j] -= float32(d * float64(b[j]))
			}
		}
		n := math.Sqrt(dot(a, a))
		for j := range a {
			a[j] = float32(float64(a[j]) / n)
		}
	}
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

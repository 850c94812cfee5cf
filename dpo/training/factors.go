package training

import (
	"math"
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

// initialise fills the factors A by the name that PEFT gives the rule (init_lora_weights); B is zero, so that an adapter changes nothing at
// first. PEFT's "orthogonal" fills B, too, with A and B such that their product is zero; here it is A alone, with orthonormal rows. Two
// adapters of one run start alike, as the networks of CHATS do.
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
			normal(p.Value, r)
			if rank > in {
				return setting("init-lora-weights", t.config.Init, "rank %d is above the %d inputs of %s; lower --rank", rank, in, module)
			}
			orthonormal(p.Value, rank, in)
		default:
			return setting("init-lora-weights", t.config.Init, "want %s", strings.Join(inits, ", "))
		}
	}
	return nil
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

package lora

import (
	"context"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Norm is the Frobenius norm of what the module adds to its weight, alpha/r·B·A: the trace of BᵀB·AAᵀ, which needs no product of the
// weight's size.
func (f *Factors) Norm() float64 {
	r := f.Rank()
	a, b := f.A.F32(), f.B.F32()
	in, out := len(a)/r, f.B.Shape[0]
	gram := make([]float64, r*r) // BᵀB, of which the upper half
	for j := range out {
		row := b[j*r : (j+1)*r]
		for i, x := range row {
			to := gram[i*r : (i+1)*r]
			for k := i; k < r; k++ {
				to[k] += float64(x) * float64(row[k])
			}
		}
	}
	sum := 0.0
	for i := range r {
		for k := i; k < r; k++ {
			part := gram[i*r+k] * dot(a[i*in:(i+1)*in], a[k*in:(k+1)*in])
			if sum += part; k > i {
				sum += part
			}
		}
	}
	return math.Abs(f.Scale()) * math.Sqrt(max(sum, 0))
}

func dot(a, b []float32) float64 {
	var s [4]float64 // sums that do not wait for each other
	n := len(a) &^ 3
	for i := 0; i < n; i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s[0] += float64(x[0]) * float64(y[0])
		s[1] += float64(x[1]) * float64(y[1])
		s[2] += float64(x[2]) * float64(y[2])
		s[3] += float64(x[3]) * float64(y[3])
	}
	for i := n; i < len(a); i++ {
		s[0] += float64(a[i]) * float64(b[i])
	}
	return s[0] + s[1] + s[2] + s[3]
}

// Norms are the norms of all of them.
func Norms(ctx context.Context, all []Factors) ([]float64, error) {
	out := make([]float64, len(all))
	jobs := make([]func(), len(all))
	for i := range all {
		jobs[i] = func() { out[i] = all[i].Norm() }
	}
	return out, parallel(ctx, jobs)
}

// row writes what is added to one row of the weight: [in·kernel] numbers for output o.
func (f *Factors) row(dst []float64, o int) {
	clear(dst)
	r, scale := f.Rank(), f.Scale()
	a, b := f.A.F32(), f.B.F32()
	for k := range r {
		c := scale * float64(b[o*r+k])
		for j, x := range a[k*len(dst) : (k+1)*len(dst)] {
			dst[j] += c * float64(x)
		}
	}
}

// Difference is how far two adapters of one module are apart.
type Difference struct {
	Network string  `json:"network"`
	Module  string  `json:"module"`
	Missing string  `json:"missing,omitempty"`  // "first" or "second": the file that has nothing for the module
	Shapes  bool    `json:"shapes,omitempty"`   // the modules have other shapes, so they cannot be compared
	Norm    float64 `json:"norm"`               // of the first one's product
	Max     float64 `json:"max_absolute"`       // largest difference of an element
	Largest float64 `json:"largest"`            // largest element of the first
	Rel     float64 `json:"relative,omitempty"` // Frobenius norm of the difference, over that of the first
}

// Compare compares the products of two files module by module, in the order of the first; ctx stops it. An adapter that adds nothing
// counts as none.
func Compare(ctx context.Context, a, b *File) ([]Difference, error) {
	var out []Difference
	var jobs []func()
	for _, network := range union(a.Names(), b.Names()) {
		find := func(f *File, module string) *Factors {
			i := slices.IndexFunc(f.Networks[network], func(x Factors) bool { return x.Module == module })
			if i < 0 {
				return nil
			}
			return &f.Networks[network][i]
		}
		var modules []string
		for _, f := range []*File{a, b} {
			for i := range f.Networks[network] {
				if m := f.Networks[network][i].Module; f == a || find(a, m) == nil {
					modules = append(modules, m)
				}
			}
		}
		for _, m := range modules {
			out = append(out, Difference{Network: network, Module: m})
			at := len(out) - 1
			jobs = append(jobs, func() { out[at].compare(find(a, m), find(b, m)) })
		}
	}
	return out, parallel(ctx, jobs)
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, name := range b {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func (d *Difference) compare(a, b *Factors) {
	switch {
	case a == nil || b == nil:
		one := a
		d.Missing = "second"
		if a == nil {
			one, d.Missing = b, "first"
		}
		if d.Norm = one.Norm(); d.Norm == 0 {
			d.Missing = ""
			return
		}
		d.Rel = 1
		return
	case a.B.Shape[0] != b.B.Shape[0] || a.A.Elems()/a.Rank() != b.A.Elems()/b.Rank():
		d.Shapes, d.Rel = true, 1
		return
	}
	n := a.A.Elems() / a.Rank()
	x, y := make([]float64, n), make([]float64, n)
	own, off := 0.0, 0.0
	for o := range a.B.Shape[0] {
		a.row(x, o)
		b.row(y, o)
		for j := range x {
			diff := x[j] - y[j]
			own, off = own+x[j]*x[j], off+diff*diff
			d.Max, d.Largest = max(d.Max, math.Abs(diff)), max(d.Largest, math.Abs(x[j]))
		}
	}
	d.Norm = math.Sqrt(own)
	if off > 0 {
		d.Rel = 1
		if own > 0 {
			d.Rel = math.Sqrt(off / own)
		}
	}
}

// parallel runs jobs on all processors.
func parallel(ctx context.Context, jobs []func()) error {
	var wg sync.WaitGroup
	next := make(chan func())
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for job := range next {
				job()
			}
		})
	}
	for _, job := range jobs {
		if ctx.Err() != nil {
			break
		}
		next <- job
	}
	close(next)
	wg.Wait()
	return ctx.Err()
}

// Block is the part of a network that a module lies in: down_blocks.1, mid_block, encoder.layers.3, transformer_blocks.7.
func Block(module string) string {
	p := strings.Split(shortName(module), ".")
	for i := 1; i < len(p)-1; i++ {
		if strings.Trim(p[i], "0123456789") == "" {
			if p[0] == "mid_block" {
				return p[0]
			}
			return strings.Join(p[:i+1], ".")
		}
	}
	return p[0]
}

// Target is the shortest end of a module's name that says what it is, as in PEFT's target_modules: to_q, to_out.0.
func Target(module string) string { return ending(module) }

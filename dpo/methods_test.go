package dpo

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// ofOutputs are the methods whose golden values are those of testdata/methods.json, from outputs.
func ofOutputs() map[string]bool {
	return map[string]bool{
		"kto": true, "dspo": true, "sdpo": true, "seppo": true, "spin": true, "inpo": true, "rethinking": true, "flow-dpo": true,
	}
}

type methodRow struct {
	Method                           string
	Beta, Mu, Desirable, Undesirable float64
	Target, Policy, Ref              [2][][]float32
	Value                            float64
	Grad                             [2][][]float64
}

func readMethodRows(t *testing.T) []methodRow {
	t.Helper()
	raw, err := os.ReadFile("testdata/methods.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Rows []methodRow }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file.Rows
}

// terms are what a trainer makes of the outputs.
func (r *methodRow) terms() []Terms {
	out := make([]Terms, len(r.Policy[0]))
	for i := range out {
		e := func(a, b [2][][]float32, side int) float64 { return DenoisingError(a[side][i], b[side][i]) }
		out[i] = pairTerms(e(r.Policy, r.Target, 0), e(r.Policy, r.Target, 1), e(r.Ref, r.Target, 0), e(r.Ref, r.Target, 1), 1)
		out[i].DriftChosen, out[i].DriftRejected = e(r.Policy, r.Ref, 0), e(r.Policy, r.Ref, 1)
		out[i].Dot = DenoisingDot(r.Policy[0][i], r.Target[0][i], r.Policy[1][i], r.Target[1][i])
	}
	return out
}

// Losses and derivatives with respect to outputs equal torch's, which know nothing of errors, drifts and products.
func TestGolden_methods(t *testing.T) {
	left := ofOutputs()
	for _, row := range readMethodRows(t) {
		m, err := FindMethod(row.Method)
		if err != nil {
			t.Fatal(err)
		}
		delete(left, row.Method)
		s := Settings{Beta: row.Beta, SDPO: row.Mu}
		if row.Desirable != 0 {
			s.LossOptions = map[string]float64{"desirable": row.Desirable, "undesirable": row.Undesirable}
		}
		o, err := m.New(s)
		if err != nil {
			t.Fatal(err)
		}
		terms := row.terms()
		grad := make([]Grad, len(terms))
		if got := o.Evaluate(terms, grad); !near(got, row.Value, 1e-12, max(1, math.Abs(row.Value))) {
			t.Errorf("%s, beta %g: loss %.17g, torch has %.17g", row.Method, row.Beta, got, row.Value)
		}
		for i, g := range grad {
			for side, by := range [2][2]float64{{g.Chosen, g.DriftChosen}, {g.Rejected, g.DriftRejected}} {
				a, b := make([]float32, len(row.Grad[0][0])), make([]float32, len(row.Grad[0][0]))
				DenoisingCotangent(a, row.Policy[side][i], row.Target[side][i], by[0])
				DenoisingCotangent(b, row.Policy[side][i], row.Ref[side][i], by[1])
				for k, want := range row.Grad[side][i] {
					if got := float64(a[k]) + float64(b[k]); !near(got, want, 1e-6, max(1e-3, math.Abs(want))) {
						t.Errorf("%s, beta %g, pair %d, side %d: derivative %g, torch has %g", row.Method, row.Beta, i, side, got, want)
					}
				}
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("no golden values for %v", left)
	}
}

// SePPO is Diffusion-DPO where the policy fits the chosen picture as well as the reference does, and turns the generated picture's side
// where it does not.
func TestSePPO_anchor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, term := range randomTerms(r, 50) {
		loss, g := one(SePPO{Beta: 4}, term)
		if chosen, _ := term.ImplicitRewards(); chosen < 0 {
			turned := term
			turned.PolicyRejected, turned.RefRejected = term.RefRejected, term.PolicyRejected
			want, wantGrad := one(DiffusionDPO{Beta: 4}, turned)
			if !near(loss, want, 1e-14, 1) || !near(g.Chosen, wantGrad.Chosen, 1e-14, 1) || !near(g.Rejected, -wantGrad.Rejected, 1e-14, 1) || g.Rejected < 0 {
				t.Errorf("%+v: %g %v, want %g %v with the generated side turned", term, loss, g, want, wantGrad)
			}
			continue
		}
		if want, wantGrad := one(DiffusionDPO{Beta: 4}, term); loss != want || g != wantGrad {
			t.Errorf("%+v: %g %v, Diffusion-DPO has %g %v", term, loss, g, want, wantGrad)
		}
		term.PolicyChosen = term.RefChosen
		if loss, _ := one(SePPO{Beta: 4}, term); term.PolicyRejected == term.RefRejected && loss != math.Ln2 {
			t.Errorf("the policy as its reference: loss %g", loss)
		}
	}
}

// The safeguard leaves the loss alone, and a step along both outputs lowers the error of the chosen picture by at least Mu of what
// the step along its own would.
func TestSDPO_guarantee(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	plain := DiffusionDPO{Beta: 10}
	for range 200 {
		miss := func() ([]float32, float64) {
			v := normal(r, 8)
			return v, DenoisingError(v, make([]float32, 8))
		}
		a, w := miss()
		b, l := miss()
		zero := make([]float32, 8)
		term := pairTerms(w, l, w, l, 1)
		term.Dot = DenoisingDot(a, zero, b, zero)
		for _, mu := range []float64{.1, .6, 1} {
			o := SDPO{Objective: plain, Mu: mu}
			loss, g := one(o, term)
			was, before := one(plain, term)
			if loss != was || g.Chosen != before.Chosen || g.Rejected != before.Rejected*safeguard(term, mu) {
				t.Fatalf("%+v: loss %g and %v, without the safeguard %g and %v", term, loss, g, was, before)
			}
			// Outputs move by −(g.Chosen·a + g.Rejected·b), which the chosen picture's error sees as minus its product with a.
			if gain := g.Chosen*w + g.Rejected*term.Dot; gain < mu*g.Chosen*w-1e-12 && term.Dot > 0 {
				t.Errorf("mu %g: the error of chosen falls by %g, alone by %g", mu, gain, g.Chosen*w)
			}
		}
	}
}

// Where policy and reference agree DSPO is supervised fine-tuning, pulled to the reference.
func TestDSPO_start(t *testing.T) {
	for _, beta := range []float64{.001, .7} {
		c := beta / 2
		loss, g := one(DSPO{Beta: beta}, pairTerms(.3, .4, .3, .4, 1))
		if !near(loss, .3, 1e-15, 1) || !near(g.Chosen, 1-c, 1e-15, 1) || g.Rejected != 0 || !near(g.DriftChosen, c*(c-1), 1e-15, 1) {
			t.Errorf("beta %g: loss %g, derivative %+v", beta, loss, g)
		}
	}
}

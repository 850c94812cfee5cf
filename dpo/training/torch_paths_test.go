package training

import (
	"math"
	"testing"
)

// round are the recorded paths as a round, which all steps of the case learn from. What the policy that drew them says of them has to be
// what torch recorded.
func (c *recordedCase) round(t *testing.T, r *recording, tr *Trainer) *paths {
	t.Helper()
	tr.config.Siblings.Prompts = r.about.Prompts
	p, err := tr.newPaths()
	if err != nil {
		t.Fatal(err)
	}
	b, recorded := bundle{}, &c.Batches[0]
	states, n, at := r.floats(t, c.Name+".states"), tr.latents(tr.size), 0
	for _, place := range recorded.Pairs {
		for range c.Paths {
			one := trail{reward: recorded.Rewards[len(b.paths)], errors: recorded.Old[len(b.paths)]}
			for range c.SamplerSteps + 1 {
				one.states, at = append(one.states, states[at:at+n]), at+n
			}
			b.places, b.prompts, b.paths = append(b.places, place), append(b.prompts, r.about.Prompts[place]), append(b.paths, one)
		}
	}
	p.held, p.round = []bundle{b}, 0
	p.measure()
	p.held[0].judge(c.Paths)
	c.sameErrors(t, tr, p)
	return p
}

// sameErrors compares minus the log-densities of all acts with the recorded ones.
func (c *recordedCase) sameErrors(t *testing.T, tr *Trainer, p *paths) {
	t.Helper()
	d := &deeds{}
	for i := range p.held[0].paths {
		for _, step := range p.steps {
			one, err := p.act(&p.held[0], i, step)
			if err != nil {
				t.Fatal(err)
			}
			d.acts = append(d.acts, one)
		}
	}
	if err := d.ready(t.Context(), tr); err != nil {
		t.Fatal(err)
	}
	out, got := make([]float32, len(d.in.x)), make([]pairErrors, len(d.acts))
	if err := tr.predict(t.Context(), out, &d.in, d.in.cond); err != nil {
		t.Fatal(err)
	}
	d.errors(got, out)
	most := 0.0
	for i, e := range got {
		most = max(most, math.Abs(e.chosen-d.acts[i].error))
	}
	if !(most <= 2e-6) { // of about one half, from means that are float32 numbers
		t.Errorf("log-densities of drawn steps are off by %.1e", most)
	}
	t.Logf("log-densities are off by %.1e", most)
}

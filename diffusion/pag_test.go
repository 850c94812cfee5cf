package diffusion

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/sampling"
)

func openPAG(t *testing.T, dir string, layers ...string) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), dir, &Options{Threads: 2, PAGLayers: layers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// Perturbed-attention guidance against diffusers' pipelines, with and without a negative side.
func TestGenerate_pag(t *testing.T) {
	for _, kind := range []string{"sd15", "sdxl"} {
		set := readGuided(t, kind+"_pag")
		for _, c := range set.Cases {
			t.Run(kind+"/"+c.Name, func(t *testing.T) {
				p := openPAG(t, filepath.Join("../tests/tiny", kind), c.Layers...)
				images, err := p.Generate(t.Context(), c.request(&set))
				if err != nil {
					t.Fatal(err)
				}
				c.equals(t, images)
				if q := images[0].Params; q.Guidance != PAG || q.PAGScale != c.PAG || !slices.Equal(q.PAGLayers, c.Layers) {
					t.Errorf("%+v", q)
				}
			})
		}
	}
}

// A model that was opened with layers is the same without the rule; the rule does something to every layer, is limited by an
// interval, and can be searched with.
func TestGenerate_pagOfMini(t *testing.T) {
	latents := func(p *Pipeline, change func(*Request)) Image {
		r := quick()
		change(&r)
		images, err := p.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return images[0]
	}
	plain := func(*Request) {}
	p := openPAG(t, Mini, "attn1")
	want := latents(openMini(t), plain)
	if got := latents(p, plain); !slices.Equal(got.Latents, want.Latents) {
		t.Error("without the rule it is another picture")
	}
	pag := func(r *Request) { r.Guidance = PAG }
	all := latents(p, pag)
	if slices.Equal(all.Latents, want.Latents) || all.Params.NFE != 3*want.Params.Steps || all.Params.PAGScale != 3 {
		t.Errorf("%+v", all.Params)
	}
	some := latents(p, func(r *Request) {
		pag(r)
		r.GuidanceInterval = &sampling.Interval{High: 0.5, Share: true}
	})
	if n := some.Params.NFE; n <= want.Params.Steps || n >= 3*want.Params.Steps || (n-want.Params.Steps)%2 != 0 {
		t.Errorf("%d evaluations under an interval", n)
	}
	sr := miniSearch(40)
	sr.Guidance, sr.Steps = PAG, 4
	if got, err := p.Search(t.Context(), sr); err != nil || got.Found.NFE != 36 || got.Found.Calls != 3 {
		t.Errorf("%+v, %v", got.Found, err)
	}
	climb := climbRequest(func(g sampling.Gradients) sampling.Method { return sampling.ReNO(g, sampling.ReNOOptions{}) }, 64)
	climb.Guidance = PAG
	if got, err := p.Search(t.Context(), climb); err != nil || got.Found.NFE > 64 || got.Found.NFE < 33 {
		t.Errorf("%d evaluations of a climb (%v)", got.Found.NFE, err)
	}
	var bad *RequestError
	for name, change := range map[string]func(*Request){
		"scale without the rule": func(r *Request) { r.PAGScale = 1 },
		"below 0":                func(r *Request) { pag(r); r.PAGScale = -1 },
	} {
		r := quick()
		change(&r)
		if _, err := p.Generate(t.Context(), r); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := quick()
	if pag(&r); openMini(t).Check(t.Context(), r) == nil {
		t.Error("no layers: accepted")
	}
	if _, err := Open(t.Context(), Mini, &Options{PAGLayers: []string{"nosuch"}}); err == nil || !strings.Contains(err.Error(), "there are ") {
		t.Errorf("%v", err)
	}
}

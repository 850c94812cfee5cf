package diffusion

import (
	"context"
	"errors"
	"image"
	"math"
	"slices"
	"testing"

	"winnow/sampling"
)

// redness is the mean of red minus that of green, of pictures and, with its derivative, of values.
func redness(_ context.Context, _ string, images []image.Image) ([]float64, error) {
	scores := make([]float64, len(images))
	for i, img := range images {
		m := img.(*image.NRGBA)
		for k := 0; k < len(m.Pix); k += 4 {
			scores[i] += (float64(m.Pix[k]) - float64(m.Pix[k+1])) / 127.5 / float64(len(m.Pix)/4)
		}
	}
	return scores, nil
}

func redSlope(_ context.Context, _ string, pixels []float32, w, h int) (float64, []float32, error) {
	score, slope := 0.0, make([]float32, len(pixels))
	for i, v := range pixels[:2*w*h] {
		share := 1 / float64(w*h)
		if i >= w*h {
			share = -share
		}
		score += share * math.Min(math.Max(float64(v), -1), 1)
		if v >= -1 && v <= 1 {
			slope[i] = float32(share)
		}
	}
	return score, slope, nil
}

func climbRequest(climb func(sampling.Gradients) sampling.Method, budget int) SearchRequest {
	sr := miniSearch(budget)
	sr.Method, sr.Climb, sr.Verify, sr.Slope, sr.Steps = nil, climb, redness, redSlope, 4
	return sr
}

// Methods that climb run on a pipeline, keep the budget, and report the picture that they return; those that change the noise in
// small steps must gain in so few of them.
func TestPipeline_Search_climb(t *testing.T) {
	p := openMini(t)
	cheap := func(g sampling.Gradients) sampling.Gradients { return sampling.Gradients{Verify: g.Verify} }
	for name, c := range map[string]struct {
		climb func(sampling.Gradients) sampling.Method
		eta   float64
		gain  float64
	}{
		"reno": {func(g sampling.Gradients) sampling.Method {
			return sampling.ReNO(g, sampling.ReNOOptions{Weight: 10, Clip: 1, Rate: 1})
		}, 0, 0.02},
		"dno": {func(g sampling.Gradients) sampling.Method { return sampling.DNO(g, sampling.DNOOptions{}) }, 1, 0.002},
		"guidance": {func(g sampling.Gradients) sampling.Method {
			return sampling.RewardGuidance(g, sampling.GuidanceOptions{})
		}, 0, -1},
		"cheap guidance": {func(g sampling.Gradients) sampling.Method {
			return sampling.RewardGuidance(cheap(g), sampling.GuidanceOptions{})
		}, 0, 0.02},
		"das": {func(g sampling.Gradients) sampling.Method { return sampling.DAS(cheap(g), sampling.DASOptions{}) }, 1, -1},
	} {
		sr := climbRequest(c.climb, 110)
		sr.Eta, sr.Name = c.eta, name
		plain, err := p.Generate(t.Context(), Request{Prompts: sr.Prompts, Steps: 4, GuidanceScale: 3, Seed: 4, Eta: c.eta})
		if err != nil {
			t.Fatal(err)
		}
		first, err := redness(t.Context(), "", []image.Image{plain[0].NRGBA})
		if err != nil {
			t.Fatal(err)
		}
		found, err := p.Search(t.Context(), sr)
		if err != nil {
			t.Fatal(name, err)
		}
		again, err := redness(t.Context(), "", []image.Image{found.NRGBA})
		if err != nil || math.Abs(again[0]-found.Found.Score) > 1e-9 {
			t.Errorf("%s: the picture scores %v, the search says %v (%v)", name, again[0], found.Found.Score, err)
		}
		if f := found.Found; f.Score < first[0]+c.gain || f.NFE > 110 || f.NFE < 100 || found.Params.Search != name {
			t.Errorf("%s: %v after %v with %d evaluations", name, f.Score, first[0], f.NFE)
		}
		t.Logf("%s: %v after %v", name, found.Found.Score, first[0])
	}
}

// The way back starts from the prediction that the search's own network gives, whatever the guidance.
func TestSearch_gradients(t *testing.T) {
	p := openPAG(t, Mini, "attn1")
	for name, change := range map[string]func(*Request){
		"none": func(r *Request) { r.GuidanceScale = 1 }, "cfg": func(*Request) {}, "rescaled": func(r *Request) { r.GuidanceRescale = 0.7 },
		"pag":              func(r *Request) { r.Guidance, r.GuidanceRescale = PAG, 0.4 },
		"pag alone":        func(r *Request) { r.Guidance, r.GuidanceScale, r.GuidanceRescale = PAG, 1, 0.4 },
		"guided elsewhere": func(r *Request) { r.GuidanceInterval = &sampling.Interval{High: 0.3, Share: true} },
		"chats":            func(r *Request) { r.Guidance = CHATS }, "negative prompt": func(r *Request) { r.NegativePrompt = "a star" },
	} {
		sr := climbRequest(func(sampling.Gradients) sampling.Method { return nil }, 64)
		change(&sr.Request)
		s, err := p.newSearch(t.Context(), p.withDefaults(sr.Request), sr)
		if err != nil {
			t.Fatal(err)
		}
		at := s.run.plan.Timesteps[3]
		for _, n := range []int{1, 3} {
			size := p.latentSize(s.run.req)
			x, want, got := make([]float32, n*size), make([]float32, n*size), make([]float32, n*size)
			for i := range x {
				x[i] = float32(math.Sin(float64(i * i)))
			}
			before := slices.Clone(x)
			if err := s.denoise(t.Context(), want, x, at); err != nil {
				t.Fatal(err)
			}
			cot := make([]float32, n*size)
			for i := range cot {
				cot[i] = float32(math.Cos(float64(3 * i)))
			}
			slope, err := s.gradients().Network(t.Context(), got, x, at, func() ([]float32, error) { return cot, nil })
			if err != nil {
				t.Fatal(err)
			}
			if d := s.alongSlope(t, x, cot, slope, at); !(d < 0.01) {
				t.Errorf("%s, %d pictures: the derivative along itself is %v off that by differences", name, n, d)
			}
			for i := range want {
				if d := math.Abs(float64(got[i] - want[i])); d > 1e-5 {
					t.Fatalf("%s, %d pictures: number %d is %v, the denoiser says %v", name, n, i, got[i], want[i])
				}
			}
			if !slices.Equal(x, before) {
				t.Errorf("%s: the latents were changed", name)
			}
		}
	}
}

// alongSlope is how far, relatively, the derivative of cot·prediction along a slope is from that by central differences.
func (s *search) alongSlope(t *testing.T, x, cot, slope []float32, at float64) float64 {
	t.Helper()
	length := 0.0
	for _, v := range slope {
		length += float64(v) * float64(v)
	}
	length = math.Sqrt(length)
	const h = 0.02
	value := func(step float64) (sum float64) {
		moved, out := make([]float32, len(x)), make([]float32, len(x))
		for i, v := range x {
			moved[i] = float32(float64(v) + step*float64(slope[i])/length)
		}
		if err := s.denoise(t.Context(), out, moved, at); err != nil {
			t.Fatal(err)
		}
		for i, v := range out {
			sum += float64(v) * float64(cot[i])
		}
		return sum
	}
	return math.Abs((value(h)-value(-h))/(2*h)/length - 1)
}

func TestPipeline_Search_climbFails(t *testing.T) {
	p := openMini(t)
	reno := func(g sampling.Gradients) sampling.Method { return sampling.ReNO(g, sampling.ReNOOptions{}) }
	broken := errors.New("broken")
	sr := climbRequest(reno, 64)
	sr.Slope = func(context.Context, string, []float32, int, int) (float64, []float32, error) { return 0, nil, broken }
	if found, err := p.Search(t.Context(), sr); err != nil && !errors.Is(err, broken) || err == nil && found.NRGBA == nil {
		t.Errorf("a slope that fails: %v", err)
	}
	for name, change := range map[string]func(*SearchRequest){
		"no slope":   func(sr *SearchRequest) { sr.Slope = nil },
		"no climb":   func(sr *SearchRequest) { sr.Climb = nil },
		"two":        func(sr *SearchRequest) { sr.Method = sampling.RandomSearch() },
		"no verify":  func(sr *SearchRequest) { sr.Verify = nil },
		"only slope": func(sr *SearchRequest) { sr.Climb, sr.Method = nil, sampling.RandomSearch() },
	} {
		bad := climbRequest(reno, 64)
		change(&bad)
		if _, err := p.Search(t.Context(), bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

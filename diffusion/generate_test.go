package diffusion

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func openMini(t *testing.T) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), Mini, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// quick is a request that runs in a moment.
func quick() Request {
	return Request{Prompts: []string{"a red circle"}, Steps: 2, GuidanceScale: 3, Seed: 5}
}

func TestGenerate_badRequests(t *testing.T) {
	p := openMini(t)
	for field, change := range map[string]func(*Request){
		"prompt":           func(r *Request) { r.Prompts = nil },
		"steps":            func(r *Request) { r.Steps = -1 },
		"guidance-scale":   func(r *Request) { r.GuidanceScale = -1 },
		"guidance-rescale": func(r *Request) { r.GuidanceRescale = 1.5 },
		"eta":              func(r *Request) { r.Eta = math.NaN() },
		"flow-noise":       func(r *Request) { r.FlowNoise = 0.7 },
		"height":           func(r *Request) { r.Height = 60 },
		"width":            func(r *Request) { r.Width = 1 << 20 },
		"num-images":       func(r *Request) { r.Count = -2 },
		"batch-size":       func(r *Request) { r.BatchSize = -2 },
		"scheduler":        func(r *Request) { r.Scheduler = "nonsense" },
		"sigmas":           func(r *Request) { r.Sigmas = "nonsense" },
		"latents":          func(r *Request) { r.Latents = make([]float32, 7) },
		"prompt-embeds":    func(r *Request) { r.Embeds = &PromptEmbeds{Tokens: 2, Dim: 3, Prompt: make([]float32, 5)} },
	} {
		t.Run(field, func(t *testing.T) {
			r := quick()
			change(&r)
			_, err := p.Generate(t.Context(), r)
			var bad *RequestError
			if !errors.As(err, &bad) || bad.Field != field || bad.Why == "" {
				t.Errorf("error %v, want a RequestError for %q", err, field)
			}
		})
	}
}

func TestGenerate_promptTooLong(t *testing.T) {
	p := openMini(t)
	r := quick()
	r.Prompts = []string{strings.Repeat("a red circle and ", 20) + "a blue star"}
	_, err := p.Generate(t.Context(), r)
	var long *PromptTooLongError
	if !errors.As(err, &long) || !strings.HasSuffix(long.Dropped, "blue star") || long.Tokens <= long.Limit {
		t.Fatalf("error %v, want a PromptTooLongError that shows the end of the prompt", err)
	}
	if err := p.Check(t.Context(), r); !errors.As(err, &long) {
		t.Errorf("Check gives %v", err)
	}
	r.Truncate = true
	images, err := p.Generate(t.Context(), r)
	if err != nil || !images[0].Params.Truncated {
		t.Errorf("truncation: %v", err)
	}
}

// A picture depends on its seed, not on the batch that it is made in.
func TestGenerate_batchSize(t *testing.T) {
	p := openMini(t)
	r := quick()
	r.Prompts, r.Count, r.Scheduler = []string{"a red circle", "two blue stars"}, 3, "euler-a"
	var want []Image
	for _, size := range []int{1, 2, 4, 6} {
		r.BatchSize = size
		got, err := p.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 6 {
			t.Fatalf("%d pictures, want 6", len(got))
		}
		if want == nil {
			want = got
			continue
		}
		for i := range got {
			if e := relative(t, got[i].Latents, want[i].Latents); !(e < 1e-4) {
				t.Errorf("batch size %d, picture %d: latents differ by %.2g from those of batch size 1", size, i, e)
			}
			if !reflect.DeepEqual(got[i].Params, want[i].Params) {
				t.Errorf("batch size %d, picture %d: parameters %+v, want %+v", size, i, got[i].Params, want[i].Params)
			}
		}
	}
	if want[0].Params.Seed != 5 || want[2].Params.Seed != 7 || want[3].Params.Seed != 5 || want[3].Params.Prompt != "two blue stars" {
		t.Errorf("seeds and prompts are out of order: %+v", want[3].Params)
	}
	if bytes.Equal(want[0].Pix, want[1].Pix) {
		t.Error("two seeds give one picture")
	}
}

// The same request gives the same bytes, also when another request ran in between.
func TestGenerate_repeats(t *testing.T) {
	p := openMini(t)
	first, err := p.Generate(t.Context(), quick())
	if err != nil {
		t.Fatal(err)
	}
	other := quick()
	other.Height, other.Width, other.GuidanceScale = 96, 64, 1
	if _, err := p.Generate(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	again, err := p.Generate(t.Context(), quick())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first[0].Pix, again[0].Pix) {
		t.Error("the same request gave another picture")
	}
}

// Latents given by the caller replace the seed's noise.
func TestGenerate_latents(t *testing.T) {
	p := openMini(t)
	r := quick()
	r.Latents = make([]float32, 4*8*8)
	for i := range r.Latents {
		r.Latents[i] = float32(math.Sin(float64(i)))
	}
	a, err := p.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Seed++
	b, err := p.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a[0].Pix, b[0].Pix) || !a[0].Params.LatentsGiven {
		t.Error("the seed still matters although latents are given")
	}
}

// An interrupted run returns the pictures of the batches that were finished.
func TestGenerate_interrupted(t *testing.T) {
	p := openMini(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := quick()
	r.Count, r.BatchSize = 3, 1
	r.OnStep = func(s Step) error {
		if s.First == 1 && s.Index == 1 {
			cancel()
		}
		return nil
	}
	images, err := p.Generate(ctx, r)
	if !errors.Is(err, context.Canceled) || len(images) != 1 {
		t.Errorf("%d pictures and error %v, want 1 and context canceled", len(images), err)
	}
	stop := errors.New("enough")
	r.OnStep = func(Step) error { return stop }
	if _, err := p.Generate(t.Context(), r); !errors.Is(err, stop) {
		t.Errorf("an error of OnStep came back as %v", err)
	}
}

// Steps are reported in order with counts that add up.
func TestGenerate_onStep(t *testing.T) {
	p := openMini(t)
	r := quick()
	r.Count, r.BatchSize, r.Steps = 3, 2, 3
	var steps []Step
	r.OnStep = func(s Step) error { steps = append(steps, s); return nil }
	images, err := p.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 6 || steps[0].Batches != 2 || steps[5].Batch != 1 || steps[5].First != 2 || steps[5].Pictures != 1 {
		t.Errorf("steps %+v", steps)
	}
	for i, s := range steps {
		if s.Index != i%3+1 || s.Count != 3 || s.NFE != 2*s.Index || len(s.Denoised) != len(s.X) {
			t.Errorf("step %d: %+v", i, s)
		}
	}
	if images[0].Params.NFE != 6 {
		t.Errorf("NFE %d, want 6", images[0].Params.NFE)
	}
}

func TestOpen_errors(t *testing.T) {
	for name, dir := range map[string]string{"missing folder": "no/such/folder", "file": "generate_test.go", "not a model": "."} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(dir, ".")) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Seeds gives every prompt seeds of its own; a picture is the same as by its seed alone.
func TestGenerate_seeds(t *testing.T) {
	p := openMini(t)
	r := quick()
	r.Prompts, r.Seeds, r.Count = []string{"a red circle", "a blue square"}, []uint64{7, 40}, 2
	images, err := p.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for i, seed := range []uint64{7, 8, 40, 41} {
		one := quick()
		one.Prompts, one.Seed = r.Prompts[i/2:i/2+1], seed
		want, err := p.Generate(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		if images[i].Params.Seed != seed || !bytes.Equal(images[i].Pix, want[0].Pix) {
			t.Errorf("picture %d has seed %d and differs from that of seed %d", i, images[i].Params.Seed, seed)
		}
	}
	r.Seeds = r.Seeds[:1]
	var bad *RequestError
	if _, err := p.Generate(t.Context(), r); !errors.As(err, &bad) || bad.Field != "seeds" {
		t.Errorf("one seed for two prompts: %v", err)
	}
}

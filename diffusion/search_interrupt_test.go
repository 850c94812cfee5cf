package diffusion

import (
	"context"
	"errors"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"winnow/sampling"
)

// A search under an interval of guidance makes the pictures that Generate makes, and counts each step at what it costs.
func TestPipeline_Search_interval(t *testing.T) {
	p := openMini(t)
	for text, cost := range map[string]int{"0%,40%": 6 + 2, "20%,80%": 6 + 4, "0.5,5": 0} {
		interval, err := sampling.ParseInterval(text)
		if err != nil {
			t.Fatal(err)
		}
		sr := miniSearch(5 * 12)
		sr.GuidanceInterval = &interval
		plain, err := p.Generate(t.Context(), sr.Request)
		if err != nil {
			t.Fatal(err)
		}
		if cost == 0 {
			cost = plain[0].Params.NFE
		}
		if n, err := p.NFE(sr.Request); n != cost || plain[0].Params.NFE != cost || err != nil || cost <= 6 || cost >= 12 {
			t.Errorf("%s: a picture costs %d, that of Generate %d, want %d (%v)", text, n, plain[0].Params.NFE, cost, err)
		}
		got, err := p.Search(t.Context(), sr)
		if err != nil {
			t.Fatal(err)
		}
		if f := got.Found; f.Calls != 60/cost || f.NFE != 60/cost*cost || !slices.Equal(got.First.Pix, plain[0].Pix) {
			t.Errorf("%s: %d pictures, %d evaluations; the first is that of Generate: %v", text, f.Calls, f.NFE, slices.Equal(got.First.Pix, plain[0].Pix))
		}
		if got.Params.GuidanceInterval != interval.String() {
			t.Errorf("%+v", got.Params)
		}
	}
}

// A search that climbs and was killed goes on from its journal, asks for nothing twice, and ends with the picture of one run.
func TestPipeline_Search_climbJournal(t *testing.T) {
	p := openMini(t)
	for _, name := range []string{"reno", "dno", "guidance", "das"} {
		info, err := sampling.FindSearch(name)
		if err != nil {
			t.Fatal(err)
		}
		sr := climbRequest(info.Method, 60)
		sr.Eta, sr.Name = 1, name
		slopes, stop := 0, 0
		ctx, cancel := context.WithCancel(t.Context())
		slope := sr.Slope
		sr.Slope = func(c context.Context, prompt string, pixels []float32, w, h int) (float64, []float32, error) {
			if slopes++; slopes == stop {
				cancel()
				return 0, nil, c.Err()
			}
			return slope(c, prompt, pixels, w, h)
		}
		whole, err := p.Search(t.Context(), sr)
		if err != nil {
			t.Fatal(name, err)
		}
		all := slopes
		path := filepath.Join(t.TempDir(), "journal")
		if sr.Journal, err = os.Create(path); err != nil {
			t.Fatal(err)
		}
		slopes, stop = 0, all/2+1
		if _, err := p.Search(ctx, sr); !errors.Is(err, context.Canceled) {
			t.Fatal(name, err)
		}
		slopes, stop = 0, 0
		again, err := p.Search(t.Context(), sr)
		if err != nil || !slices.Equal(again.Latents, whole.Latents) || again.Found.Score != whole.Found.Score || again.Found.NFE != whole.Found.NFE {
			t.Errorf("%s: score %v after %v (%v)", name, again.Found.Score, whole.Found.Score, err)
		}
		if slopes != all-all/2 {
			t.Errorf("%s: %d of %d derivatives were asked for again, want %d", name, slopes, all, all-all/2)
		}
		// Files that are cut off anywhere, too.
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, share := range []float64{0.77} {
			if err := os.WriteFile(path, data[:int(share*float64(len(data)))], 0o600); err != nil {
				t.Fatal(err)
			}
			if again, err = p.Search(t.Context(), sr); err != nil || !slices.Equal(again.Latents, whole.Latents) {
				t.Errorf("%s, cut at %v: score %v after %v (%v)", name, share, again.Found.Score, whole.Found.Score, err)
			}
		}
	}
	sr := climbRequest(func(g sampling.Gradients) sampling.Method { return sampling.ReNO(g, sampling.ReNOOptions{}) }, 1<<30)
	sr.Journal = new(os.File)
	var bad *RequestError
	if _, err := p.Search(t.Context(), sr); !errors.As(err, &bad) {
		t.Errorf("a journal of gigabytes: %v", err)
	}
}

// What is shown of a search that was stopped before its first picture was finished is marked.
func TestPipeline_Search_preview(t *testing.T) {
	p := openMini(t)
	for _, name := range []string{"smc", "svdd", "random"} {
		info, err := sampling.FindSearch(name)
		if err != nil {
			t.Fatal(err)
		}
		sr := miniSearch(96)
		sr.Eta, sr.Name, sr.Method = 1, name, info.Method(sampling.Gradients{})
		ctx, cancel := context.WithCancel(t.Context())
		sr.OnPoint = func(sampling.Point) error { cancel(); return nil }
		sr.Verify = func(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
			if name == "random" {
				cancel()
				return nil, ctx.Err()
			}
			return checked(ctx, prompt, images)
		}
		r, err := p.Search(ctx, sr)
		if !errors.Is(err, context.Canceled) || r.NRGBA == nil || !r.Params.Preview || !r.Found.Preview || r.First != nil {
			t.Fatalf("%s: %+v, %v", name, r.Params, err)
		}
		score, err := checked(t.Context(), sr.Prompts[0], []image.Image{r.NRGBA})
		if err != nil {
			t.Fatal(err)
		}
		if (name == "random") != math.IsNaN(r.Found.Score) || name != "random" && math.Abs(score[0]-r.Found.Score) > 1e-6 {
			t.Errorf("%s: the preview scores %v, the search says %v", name, score[0], r.Found.Score)
		}
	}
}

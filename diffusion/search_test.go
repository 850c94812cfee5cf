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
	"time"

	"winnow/internal/miniworld"
	"winnow/sampling"
)

// checked scores pictures by the exact checker of the mini world.
func checked(_ context.Context, prompt string, images []image.Image) ([]float64, error) {
	spec, err := miniworld.ParseCaption(prompt)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(images))
	for i, img := range images {
		r, err := miniworld.Check(img, spec)
		if err != nil {
			return nil, err
		}
		scores[i] = r.Score
	}
	return scores, nil
}

func miniSearch(budget int) SearchRequest {
	return SearchRequest{
		Request: Request{Prompts: []string{"a red circle above a blue square"}, Steps: 6, GuidanceScale: 3, Seed: 4, BatchSize: 4},
		Method:  sampling.RandomSearch(), Name: "random", Budget: budget, Verify: checked,
	}
}

func TestPipeline_Search(t *testing.T) {
	p := openMini(t)
	sr := miniSearch(8 * 12)
	plain, err := p.Generate(t.Context(), sr.Request)
	if err != nil {
		t.Fatal(err)
	}
	first, err := checked(t.Context(), sr.Prompts[0], []image.Image{plain[0].NRGBA})
	if err != nil {
		t.Fatal(err)
	}
	im, err := p.Search(t.Context(), sr)
	found := im.Found
	if err != nil {
		t.Fatal(err)
	}
	if found.NFE != 96 || found.Calls != 8 || math.Abs(found.First-first[0]) > 1e-6 || found.Score < found.First {
		t.Errorf("%+v; the seed's picture scores %v", found, first[0])
	}
	again, err := checked(t.Context(), sr.Prompts[0], []image.Image{im.NRGBA})
	if err != nil || math.Abs(again[0]-found.Score) > 1e-6 {
		t.Errorf("the picture scores %v, the search says %v (%v)", again, found.Score, err)
	}
	if im.First == nil || !slices.Equal(im.First.Pix, plain[0].Pix) {
		t.Error("the first picture is not that of the seed")
	}
	if q := im.Params; q.Search != "random" || q.SearchBudget != 96 || q.NFE != 96 || q.Seed != 4 || q.Prompt != sr.Prompts[0] {
		t.Errorf("%+v", q)
	}
	sr.BatchSize = 3
	if other, err := p.Search(t.Context(), sr); err != nil || math.Abs(other.Found.Score-found.Score) > 1e-6 {
		t.Errorf("in other batches: %v, %v", other.Found.Score, err)
	}
}

// Pictures that the verifier fails on, or does not finish in time, are dropped; the search goes on.
func TestPipeline_Search_drops(t *testing.T) {
	p := openMini(t)
	sr := miniSearch(8 * 12)
	broken, calls := errors.New("broken"), 0
	sr.Verify = func(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
		calls++
		switch {
		case len(images) > 1: // a batch with a picture that it cannot take
			return nil, broken
		case calls%4 == 0:
			<-ctx.Done()
			return nil, ctx.Err()
		case calls%4 == 1:
			return []float64{math.NaN()}, nil
		}
		return checked(ctx, prompt, images)
	}
	sr.VerifyTimeout = 20 * time.Millisecond
	result, err := p.Search(t.Context(), sr)
	found := result.Found
	if err != nil || found.Calls != 8 || found.Dropped < 3 || found.Dropped > 5 || math.IsInf(found.Score, 0) {
		t.Errorf("%+v, %v", found, err)
	}
	sr.Verify = func(context.Context, string, []image.Image) ([]float64, error) { return nil, broken }
	if r, err := p.Search(t.Context(), sr); !errors.Is(err, sampling.ErrNoScore) || !errors.Is(err, broken) || r.Found.Dropped != 8 {
		t.Errorf("all failing: %+v, %v", r.Found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sr.Verify = checked
	sr.OnPoint = func(sampling.Point) error { cancel(); return nil }
	im, err := p.Search(ctx, sr)
	if !errors.Is(err, context.Canceled) || im.NRGBA == nil || im.Found.Calls != 4 {
		t.Errorf("interrupted: %+v, %v", im.Found, err)
	}
	for name, change := range map[string]func(*SearchRequest){
		"two prompts":                func(sr *SearchRequest) { sr.Prompts = []string{"a", "b"} },
		"no method":                  func(sr *SearchRequest) { sr.Method = nil },
		"a budget below one picture": func(sr *SearchRequest) { sr.Budget = 11 },
	} {
		bad := miniSearch(96)
		if change(&bad); bad.Prompts == nil {
			t.Fatal(name)
		}
		if _, err := p.Search(t.Context(), bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A search that was interrupted goes on from its journal and ends with the picture of one run.
func TestPipeline_Search_journal(t *testing.T) {
	p := openMini(t)
	whole, err := p.Search(t.Context(), miniSearch(96))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	sr := miniSearch(96)
	sr.Journal = f
	sr.OnPoint = func(pt sampling.Point) error {
		if pt.Calls == 4 {
			cancel()
		}
		return nil
	}
	if _, err := p.Search(ctx, sr); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	asked := 0
	sr.OnPoint, sr.Verify = nil, func(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
		asked += len(images)
		return checked(ctx, prompt, images)
	}
	again, err := p.Search(t.Context(), sr)
	if err != nil || !slices.Equal(again.Pix, whole.Pix) || again.Found.Score != whole.Found.Score || again.Found.NFE != whole.Found.NFE || asked != 4 {
		t.Errorf("score %v after %v, %d pictures verified again (%v)", again.Found.Score, whole.Found.Score, asked, err)
	}
	var other *sampling.JournalError
	sr.Seed++
	if _, err := p.Search(t.Context(), sr); !errors.As(err, &other) {
		t.Errorf("another seed: %v", err)
	}
}

package diffusion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"time"

	"winnow/internal/ldm"
	"winnow/sampling"
)

// Verifier scores pictures of a prompt, higher is better: one score per picture, NaN for one that it cannot score.
type Verifier func(ctx context.Context, prompt string, images []image.Image) ([]float64, error)

// SearchRequest asks for one picture of one prompt that a verifier likes.
type SearchRequest struct {
	Request // of one prompt and one picture; its seed is that of the first candidate
	Method  sampling.Method
	Name    string   // of the method, for Params
	Options []string // settings of the method, for Params and the journal
	// Climb makes a method from the derivatives of Slope, in the place of Method; see sampling.ReNO, DNO, RewardGuidance and DAS.
	// Slope may be another reward than Verify, which decides what is best.
	Climb func(sampling.Gradients) sampling.Method
	Slope Slope
	// Budget is the number of evaluations of the denoiser that may be spent; a step with guidance costs two.
	Budget int
	Verify Verifier
	// VerifyTimeout bounds one call of Verify; 0: none.
	VerifyTimeout time.Duration
	// Journal, where given, keeps what the search learns, so that the same search goes on from it after it was interrupted; see
	// sampling.Journaled. JournalKey says what the verifier is: a journal of another request or verifier is refused.
	Journal    sampling.JournalFile
	JournalKey string
	// Recall, if set, is told of scores that the journal gave in the place of Verify, in order, for a verifier with a memory.
	Recall func(ctx context.Context, prompt string, images []image.Image, scores []float64) error
	// OnPoint is told of every entry of the trace; an error stops the search.
	OnPoint func(sampling.Point) error
}

// SearchResult is what a search ends with.
type SearchResult struct {
	Image        // the best, or a preview, see sampling.Found; without pixels when there is none
	First *Image // the plain picture of the seed; nil when it was not finished
	Found sampling.Found
}

// Search spends the budget and returns the best picture. A picture that the verifier fails on, or does not finish in time, is
// dropped and counted in Found.Dropped; only when all are is it an error. When the context ends, the best picture so far is
// returned together with the error, or a preview where none was finished.
func (p *Pipeline) Search(ctx context.Context, sr SearchRequest) (SearchResult, error) {
	req := p.withDefaults(sr.Request)
	switch {
	case len(req.Prompts) != 1 || req.Count != 1:
		return SearchResult{}, badValue("search", len(req.Prompts)*req.Count, "a search is for one picture of one prompt")
	case (sr.Method == nil) == (sr.Climb == nil) || sr.Verify == nil || (sr.Climb == nil) != (sr.Slope == nil):
		return SearchResult{}, badValue("search", sr.Name, "a search needs a method and a verifier, and one that climbs a slope")
	case req.Latents != nil:
		return SearchResult{}, badValue("latents", len(req.Latents), "a search draws its own noise")
	}
	s, err := p.newSearch(ctx, req, sr)
	if err != nil {
		return SearchResult{}, err
	}
	problem, gradients, err := s.journaled()
	if err != nil {
		return SearchResult{}, err
	}
	if sr.Climb != nil {
		sr.Method = sr.Climb(gradients)
	}
	found, err := sampling.RunSearch(ctx, problem, sr.Method, sampling.SearchOptions{Budget: sr.Budget, Seed: req.seed(0), OnPoint: sr.OnPoint})
	if errors.Is(err, sampling.ErrNoScore) && s.last != nil {
		err = errors.Join(err, s.last)
	}
	err = s.run.explain(err)
	out := SearchResult{Found: found}
	var decodeErr error
	if found.Latents != nil {
		out.Image, decodeErr = s.picture(context.WithoutCancel(ctx), found.Latents)
		out.Params.Search, out.Params.SearchOptions, out.Params.Preview = sr.Name, sr.Options, found.Preview
		out.Params.SearchBudget, out.Params.NFE = sr.Budget, found.NFE
	}
	if found.FirstLatents != nil && decodeErr == nil {
		var first Image
		first, decodeErr = s.picture(context.WithoutCancel(ctx), found.FirstLatents)
		out.First = &first
	}
	return out, errors.Join(err, decodeErr)
}

// search is one picture being searched for.
type search struct {
	run    *run
	sr     SearchRequest
	models map[int]sampling.Denoiser // by number of images
	last   error                     // of the verifier
}

func (p *Pipeline) newSearch(ctx context.Context, req Request, sr SearchRequest) (*search, error) {
	r, err := p.newRun(ctx, req)
	if err != nil {
		return nil, err
	}
	r.req.Count = math.MaxInt32 // every image of a call has the one prompt
	return &search{run: r, sr: sr, models: map[int]sampling.Denoiser{}}, nil
}

func (s *search) problem() sampling.Problem {
	return sampling.Problem{
		Plan: s.run.plan, Size: s.run.p.latentSize(s.run.req), Model: s.denoise, NFE: s.run.nfePerStep(), StepNFE: s.run.steps.each(),
		Batch: s.run.req.BatchSize, Verify: s.verify, Recall: s.recall,
	}
}

// maxJournal bounds what a journal may grow to, in bytes.
const maxJournal = 4 << 30

// journaled is the problem, and the gradients where they are asked for, with the journal where there is one.
func (s *search) journaled() (problem sampling.Problem, g sampling.Gradients, err error) {
	problem = s.problem()
	if s.sr.Climb != nil {
		g = s.gradients()
	}
	if s.sr.Journal == nil {
		return problem, g, nil
	}
	if size := sampling.JournalSize(problem, s.sr.Budget, s.sr.Climb != nil); size > maxJournal {
		return problem, g, badValue("search-budget", s.sr.Budget,
			fmt.Sprintf("the journal would grow to %.1f GB, more than the %d GB that one may have; search without it", float64(size)/(1<<30), maxJournal>>30))
	}
	settings, err := json.Marshal(s.run.params(0))
	if err != nil {
		return problem, g, err
	}
	key := fmt.Sprintf("%s %s %q %d %d %s", settings, s.sr.Name, s.sr.Options, s.sr.Budget, s.run.req.BatchSize, s.sr.JournalKey)
	return sampling.Journaled(problem, g, s.sr.Journal, key)
}

// denoise runs the network on as many images as x holds.
func (s *search) denoise(ctx context.Context, dst, x []float32, t float64) error {
	n := len(x) / s.run.p.latentSize(s.run.req)
	model, ok := s.models[n]
	if !ok {
		var err error
		if model, err = s.run.denoiser(0, n); err != nil {
			return err
		}
		s.models[n] = model
	}
	return model(ctx, dst, x, t)
}

// verify decodes latents and asks for scores, of single pictures where a batch fails.
func (s *search) verify(ctx context.Context, x []float32, n int) ([]float64, error) {
	images, at, err := s.pictures(ctx, x, n)
	if err != nil {
		return nil, err
	}
	scores := slices.Repeat([]float64{math.NaN()}, n)
	if len(images) == 0 {
		return scores, nil
	}
	got, err := s.ask(ctx, images)
	if err == nil {
		for k, i := range at {
			scores[i] = got[k]
		}
		return scores, nil
	}
	for k, i := range at {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if one, err := s.ask(ctx, images[k:k+1]); err == nil {
			scores[i] = one[0]
		}
	}
	return scores, ctx.Err()
}

// recall tells a verifier with a memory of scores that it gave before.
func (s *search) recall(ctx context.Context, x []float32, n int, scores []float64) error {
	if s.sr.Recall == nil {
		return nil
	}
	images, at, err := s.pictures(ctx, x, n)
	if err != nil {
		return err
	}
	known := make([]float64, len(at))
	for k, i := range at {
		known[k] = scores[i]
	}
	return s.sr.Recall(ctx, s.run.req.Prompts[0], images, known)
}

// pictures decodes latents; at are the numbers of those that could be.
func (s *search) pictures(ctx context.Context, x []float32, n int) (images []image.Image, at []int, err error) {
	h, w := s.run.latentSides()
	pixels, err := s.run.p.ldm.Decode(ctx, x, n, h, w)
	if err != nil {
		return nil, nil, err
	}
	area := 3 * s.run.req.Height * s.run.req.Width
	for i := range n {
		img, err := ldm.ToImage(pixels[i*area:(i+1)*area], s.run.req.Height, s.run.req.Width)
		if err != nil {
			s.last = err
			continue
		}
		images, at = append(images, img), append(at, i)
	}
	return images, at, nil
}

// ask calls the verifier in its time.
func (s *search) ask(ctx context.Context, images []image.Image) ([]float64, error) {
	if s.sr.VerifyTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.sr.VerifyTimeout)
		defer cancel()
	}
	got, err := s.sr.Verify(ctx, s.run.req.Prompts[0], images)
	if err == nil && len(got) != len(images) {
		err = badValue("search", len(got), "the verifier gave another number of scores than there are pictures")
	}
	if err != nil {
		s.last = err
	}
	return got, err
}

// picture decodes latents of one image.
func (s *search) picture(ctx context.Context, latents []float32) (Image, error) {
	h, w := s.run.latentSides()
	pixels, err := s.run.p.ldm.Decode(ctx, latents, 1, h, w)
	if err != nil {
		return Image{}, s.run.explain(err)
	}
	images, err := s.run.images(0, 1, latents, pixels)
	if err != nil {
		return Image{}, err
	}
	return images[0], nil
}

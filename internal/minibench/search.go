package minibench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"

	"winnow/diffusion"
	"winnow/internal/miniworld"
	"winnow/rewards"
	"winnow/rewards/metric"
	"winnow/sampling"
)

// SearchOptions says how to compare searches.
type SearchOptions struct {
	Methods   []string
	Settings  []string // of the methods but random, as SearchInfo.With takes them
	Multiples []int    // budgets, in pictures of plain sampling
	Steps     int      // of a picture
	Guidance  float64
	Seed      uint64
	Slope     diffusion.Slope // for methods that climb; nil: none of them
	ByChecker bool            // the checker is what the searches please, and the reward is held out; else the other way round
	OnPrompt  func(done, total int)
}

// SearchReport is one method at one budget. Scores are of the pictures that it ends with.
type SearchReport struct {
	Method   string `json:"method"` // "plain": one picture, without a search
	Multiple int    `json:"multiple"`
	Budget   int    `json:"budget"` // evaluations of the denoiser a prompt
	Prompts  int    `json:"prompts"`
	NFE      Figure `json:"nfe"`    // spent a prompt
	Calls    Figure `json:"scored"` // pictures verified a prompt
	Reward   Figure `json:"reward"`
	Checker  Figure `json:"checker"` // frac + 0.3·clean
	Strict   Figure `json:"strict"`
	// OverRandom is the difference of what is searched for to random search at the same budget, paired over prompts, and P its
	// two-sided p-value by bootstrap.
	OverRandom Figure  `json:"over_random"`
	P          float64 `json:"p"`
	// RewardEach and CheckerEach are by prompt, to pair with those of other runs on the same prompts and seeds.
	RewardEach  []float64 `json:"reward_each"`
	CheckerEach []float64 `json:"checker_each"`
}

// RunSearches compares methods at equal budgets on the same prompts and seeds.
func RunSearches(ctx context.Context, p *diffusion.Pipeline, reward diffusion.Verifier, prompts []miniworld.Prompt, o SearchOptions) ([]SearchReport, error) {
	b := &searchBench{p: p, reward: reward, verify: reward, prompts: prompts, o: o}
	if o.ByChecker {
		checker, err := rewards.OpenReward(ctx, rewards.Checker, "", nil)
		if err != nil {
			return nil, err
		}
		b.verify = checker.Score
	}
	b.total = len(prompts) * (1 + len(o.Methods)*len(o.Multiples))
	plain, err := b.run(ctx, "random", 1)
	if err != nil {
		return nil, err
	}
	plain.Method = "plain"
	out := []SearchReport{plain}
	for _, m := range o.Multiples {
		for _, name := range o.Methods {
			r, err := b.run(ctx, name, m)
			if err != nil {
				return out, fmt.Errorf("%s at %d×: %w", name, m, err)
			}
			out = append(out, r)
		}
	}
	compareSearches(out, o.ByChecker)
	return out, nil
}

// compareSearches holds every method against random search at its budget, where that is among them.
func compareSearches(all []SearchReport, byChecker bool) {
	for i := range all {
		k := slices.IndexFunc(all, func(r SearchReport) bool { return r.Method == "random" && r.Multiple == all[i].Multiple })
		if r := &all[i]; k >= 0 && r.Method != "random" && r.Method != "plain" {
			mine, other := r.RewardEach, all[k].RewardEach
			if byChecker {
				mine, other = r.CheckerEach, all[k].CheckerEach
			}
			d := metric.PairedBootstrap(len(mine), resamples, 1, 0.95, metric.MeanOf(mine), metric.MeanOf(other))
			r.OverRandom, r.P = Figure{d.Value, d.Low, d.High}, d.P
		}
	}
}

// JoinSearches puts runs together that looked at the same prompts with the same settings, which their plain pictures show: each has the
// lines of "winnow bench search --json". Methods are in the order of sampling.SearchMethods, budgets ascend.
func JoinSearches(runs []io.Reader, byChecker bool) ([]SearchReport, error) {
	var plain *SearchReport
	found := map[string]SearchReport{}
	for i, run := range runs {
		for dec := json.NewDecoder(run); ; {
			var r SearchReport
			if err := dec.Decode(&r); err == io.EOF {
				break
			} else if err != nil {
				return nil, fmt.Errorf("run %d: %w", i+1, err)
			}
			if len(r.RewardEach) != r.Prompts || len(r.CheckerEach) != r.Prompts {
				return nil, fmt.Errorf("run %d: %s has no figures of each prompt", i+1, r.Method)
			}
			switch {
			case r.Method != "plain":
				found[fmt.Sprint(r.Method, " ", r.Multiple)] = r
			case plain == nil:
				plain = &r
			case !slices.Equal(plain.RewardEach, r.RewardEach):
				return nil, fmt.Errorf("run %d: its plain pictures have other scores than those of run 1: prompts, seed, steps or model differ", i+1)
			}
		}
	}
	if plain == nil {
		return nil, errors.New("no run has the figures of plain pictures")
	}
	out := []SearchReport{*plain}
	for _, multiple := range multiplesOf(found) {
		for _, info := range sampling.SearchMethods() {
			if r, ok := found[fmt.Sprint(info.Name, " ", multiple)]; ok {
				out = append(out, r)
			}
		}
	}
	compareSearches(out, byChecker)
	return out, nil
}

func multiplesOf(found map[string]SearchReport) []int {
	var out []int
	for _, r := range found {
		if !slices.Contains(out, r.Multiple) {
			out = append(out, r.Multiple)
		}
	}
	slices.Sort(out)
	return out
}

type searchBench struct {
	p           *diffusion.Pipeline
	reward      diffusion.Verifier
	verify      diffusion.Verifier // what searches please
	prompts     []miniworld.Prompt
	o           SearchOptions
	done, total int
}

// run is one method at one budget on all prompts.
func (b *searchBench) run(ctx context.Context, name string, multiple int) (SearchReport, error) {
	cost := b.o.Steps
	if b.o.Guidance > 1 {
		cost *= 2
	}
	info, err := sampling.FindSearch(name)
	if err == nil && name != "random" {
		info, err = info.With(b.o.Settings...)
	}
	if err != nil {
		return SearchReport{}, err
	}
	r := SearchReport{Method: name, Multiple: multiple, Budget: cost * multiple, Prompts: len(b.prompts)}
	var nfe, calls, reward, checker, strict []float64
	for i, q := range b.prompts {
		req := diffusion.Request{Prompts: []string{q.Text}, Steps: b.o.Steps, GuidanceScale: b.o.Guidance, Seed: b.o.Seed + uint64(i), BatchSize: 16}
		if info.Noisy {
			req.Eta = 1
		}
		sr := diffusion.SearchRequest{Request: req, Name: name, Budget: r.Budget, Verify: b.verify}
		if info.Gradient {
			sr.Climb, sr.Slope = info.Method, b.o.Slope
		} else {
			sr.Method = info.Method(sampling.Gradients{})
		}
		result, err := b.p.Search(ctx, sr)
		if err != nil {
			return r, fmt.Errorf("prompt %q: %w", q.Text, err)
		}
		verdict, err := miniworld.Check(result.NRGBA, q.Spec)
		if err != nil {
			return r, err
		}
		score, err := b.reward(ctx, q.Text, []image.Image{result.NRGBA})
		if err != nil {
			return r, err
		}
		nfe, calls = append(nfe, float64(result.Found.NFE)), append(calls, float64(result.Found.Calls))
		reward, checker, strict = append(reward, score[0]), append(checker, verdict.Score), append(strict, truth(verdict.Strict))
		if b.done++; b.o.OnPrompt != nil {
			b.o.OnPrompt(b.done, b.total)
		}
	}
	r.NFE, r.Calls, r.Reward, r.Checker, r.Strict = Interval(nfe), Interval(calls), Interval(reward), Interval(checker), Interval(strict)
	r.RewardEach, r.CheckerEach = reward, checker
	return r, nil
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

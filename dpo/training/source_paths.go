package training

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strings"

	"winnow/dpo"
	"winnow/sampling"
)

// paths makes batches from whole paths of the policy's own sampler and the rewards of the pictures that they end with. A round draws
// paths for as many batches as an update has, and as many updates learn from these as it takes to go Inner times through all steps.
type paths struct {
	t       *Trainer
	plan    *sampling.Plan
	order   *order
	steps   []int // that can be learnt from
	learn   int   // so many of each path in an update
	round   int   // whose paths are held; −1: none
	start   [][]float32
	held    []bundle          // by batch of an update
	last    map[int][]float64 // by prompt: its last rewards, for methods that measure by these
	resumed *roundState       // of a checkpoint, until its paths are drawn again
}

// bundle is the paths of a batch.
type bundle struct {
	prompts []string // of each path
	places  []int    // of these among all prompts; paths of one prompt stand side by side
	paths   []trail
	attempt int // at which paths came out that can be learnt from
	judged  judged
}

// trail is one way from noise to a picture.
type trail struct {
	states            [][]float32 // before each step, and the last one
	errors            []float64   // of each step, under the policy that drew it
	reward, advantage float64
}

func (t *Trainer) newPaths() (*paths, error) {
	if err := t.checkOwn(); err != nil {
		return nil, err
	}
	p := &paths{t: t, round: -1, last: map[int][]float64{}}
	p.order = newOrder(t.config.Seed, t.config.BatchSize, make([]int, len(t.config.Siblings.Prompts)))
	var err error
	if p.plan, err = t.ownPlan(); err == nil {
		p.steps, p.learn, err = t.ownSteps(p.plan, p.plan.Len())
	}
	if err == nil && len(p.steps) == 0 {
		err = fmt.Errorf("--sibling-skip %d --sibling-first %d: no step is left to learn from", t.config.Siblings.Skip, t.config.Siblings.First)
	}
	return p, err
}

// turns is the number of updates that one pass over the steps of a round takes.
func (p *paths) turns() int { return (len(p.steps) + p.learn - 1) / p.learn }

// updates is the number of updates of a round.
func (p *paths) updates() int { return p.turns() * p.t.config.Siblings.Inner }

func (p *paths) epoch(i int) float64 {
	return float64(i) / float64(p.updates()) / float64(p.order.perEpoch())
}

func (p *paths) fingerprint() string {
	c := p.t.config.Siblings
	sum := sha256.Sum256([]byte(strings.Join(c.Prompts, "\x00")))
	out := fmt.Sprintf("%d prompts %x, reward %s, %d steps, %d learnt, first %d, skip %d, guidance %v, %d paths, %d passes",
		len(c.Prompts), sum[:8], c.Reward.Name, c.Steps, p.learn, c.First, max(c.Skip, 0), c.Guidance, c.Paths, c.Inner)
	if p.t.flow() {
		out += fmt.Sprintf(", flow noise %v", c.FlowNoise)
	}
	return out
}

func (p *paths) batch(ctx context.Context, i int) (sample, error) {
	every := p.t.config.Accumulation
	round, inner := i/every/p.updates(), i/every%p.updates()
	if p.round != round {
		if err := p.begin(ctx, round); err != nil {
			return nil, err
		}
	}
	return p.acts(ctx, i, &p.held[i%every], inner)
}

// begin draws the paths of a round, or those of the checkpoint's once more.
func (p *paths) begin(ctx context.Context, round int) error {
	every := p.t.config.Accumulation
	was := p.resumed
	if p.resumed = nil; was != nil && was.round == round {
		defer p.t.exchange(was.start)()
	} else {
		was = nil
	}
	before := p.t.evaluations()
	p.start, p.held = p.t.snapshot(), nil
	for k := range every {
		one, err := p.draw(ctx, round*every+k, was, k)
		if err != nil {
			return err
		}
		p.held = append(p.held, *one)
	}
	if was == nil {
		p.measure()
	} else { // they were counted when the paths were drawn first
		p.t.recalled -= p.t.evaluations() - before
	}
	for k := range p.held {
		p.held[k].judge(p.t.config.Siblings.Paths)
	}
	p.round = round
	return nil
}

// draw walks the paths of a batch and asks for their rewards, which a checkpoint has already.
func (p *paths) draw(ctx context.Context, index int, was *roundState, k int) (*bundle, error) {
	c := &p.t.config.Siblings
	places, epoch := p.order.pick(index)
	b := &bundle{}
	for _, place := range places {
		for range c.Paths {
			b.places, b.prompts = append(b.places, place), append(b.prompts, c.Prompts[place])
		}
	}
	if was != nil {
		b.attempt = was.attempts[k]
		err := p.walk(ctx, b, stream(p.t.config.Seed, "path", nil, index, epoch, b.attempt))
		for i := range b.paths {
			at := k*len(b.paths) + i
			b.paths[i].reward, b.paths[i].advantage = was.rewards[at], was.advantages[at]
		}
		return b, err
	}
	for ; b.attempt < walks; b.attempt++ {
		if err := p.walk(ctx, b, stream(p.t.config.Seed, "path", nil, index, epoch, b.attempt)); err != nil {
			return nil, err
		}
		if err := p.reward(ctx, b); err != nil {
			return nil, err
		}
		if !p.t.method.Rejected || len(p.pairs(b)) > 0 {
			return b, nil
		}
	}
	return nil, fmt.Errorf("no two pictures of %d prompts differ in their reward %s", len(places), c.Reward.Name)
}

func (p *paths) reward(ctx context.Context, b *bundle) error {
	var latents []float32
	for _, one := range b.paths {
		latents = append(latents, one.states[len(one.states)-1]...)
	}
	rewards, err := p.t.rewardsOf(ctx, b.prompts, latents)
	if err != nil {
		return err
	}
	for i, r := range rewards {
		b.paths[i].reward = r
	}
	return nil
}

// measure turns the rewards of a round into advantages. A reward that is no number says nothing: its path has none.
func (p *paths) measure() {
	var all []float64
	round := map[int][]*trail{}
	for k := range p.held {
		for i := range p.held[k].paths {
			one, place := &p.held[k].paths[i], p.held[k].places[i]
			if one.reward-one.reward != 0 {
				continue
			}
			all, round[place] = append(all, one.reward), append(round[place], one)
		}
	}
	for place, some := range round {
		rewards := make([]float64, len(some))
		for i, one := range some {
			rewards[i] = one.reward
		}
		for i, a := range p.advantages(place, rewards, all) {
			some[i].advantage = a
		}
	}
}

// advantages of a prompt's rewards: by those of its own group, or by its last ones, if there are enough, else by all of the round.
func (p *paths) advantages(place int, rewards, all []float64) []float64 {
	if p.t.method.Own.Group {
		return dpo.Advantages(rewards, rewards, 1e-4)
	}
	last := append(p.last[place], rewards...)
	last = slices.Clone(last[max(0, len(last)-dpo.BufferedRewards):])
	p.last[place] = last
	if len(last) < dpo.EnoughRewards {
		last = all
	}
	return dpo.Advantages(rewards, last, 1e-8)
}

// judge sums up the rewards of a bundle with so many paths of a prompt.
func (b *bundle) judge(group int) {
	for some := range slices.Chunk(b.paths, group) {
		best, worst := math.Inf(-1), math.Inf(1)
		for _, one := range some {
			if one.reward-one.reward != 0 {
				continue
			}
			b.judged.samples++
			b.judged.reward += one.reward
			best, worst = max(best, one.reward), min(worst, one.reward)
		}
		if best >= worst {
			b.judged.broods++
			b.judged.spread += best - worst
		}
	}
}

// pairs are the paths of one prompt whose rewards differ, the better one first.
func (p *paths) pairs(b *bundle) [][2]int {
	var out [][2]int
	group := p.t.config.Siblings.Paths
	for first := 0; first < len(b.paths); first += group {
		for i := first; i < first+group; i++ {
			for k := i + 1; k < first+group; k++ {
				switch a, c := b.paths[i].reward, b.paths[k].reward; {
				case a > c:
					out = append(out, [2]int{i, k})
				case a < c:
					out = append(out, [2]int{k, i})
				}
			}
		}
	}
	return out
}

package scoring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"math"
	"runtime"
	"sync"

	"winnow/internal/imageproc"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// ChunkSize is the number of pictures that are decoded and scored at a time, and stored together.
const ChunkSize = 16

// Item is an encoded picture and its prompt.
type Item struct {
	Name   string // for errors
	Prompt string
	Load   func() ([]byte, error)
}

// Result is what became of an item.
type Result struct {
	Score   float64   // of the mix
	Parts   []float64 // raw scores of its rewards, in the order of rewards.Mix.Rewards
	Picture [sha256.Size]byte
	// Err says why there is no score: the picture cannot be read or decoded, or a reward cannot read the whole prompt.
	Err error
}

// Scorer scores items with a mix of rewards. It is not safe for concurrent use.
type Scorer struct {
	// Computed and Known count scores of single rewards, by where they came from.
	Computed, Known int
	// DropNotFinite makes a score that is NaN or infinite the error of its picture, not of the run.
	DropNotFinite bool
	// Chunk is how many pictures are taken at a time; 0: ChunkSize.
	Chunk int
	// Limits bound each picture.
	Limits imageproc.Limits

	mix     *rewards.Mix
	rewards []rewards.Reward
	store   *Store
	ids     []int64  // of the rewards in the store
	weights []string // checksums of their files, "" where there are none
}

// New makes a scorer. executor is the one that the mix was opened with; store may be nil.
func New(ctx context.Context, mix *rewards.Mix, executor string, store *Store) (*Scorer, error) {
	s := &Scorer{mix: mix, rewards: mix.Rewards(), store: store}
	for _, r := range s.rewards {
		if info := r.Info(); info.Relative {
			return nil, &rewards.ArgumentError{Why: fmt.Sprintf("the reward %q compares pictures with each other and scores none by itself; rank by it, or score by %s",
				info.Name, rewards.VQAScore)}
		}
		text, weights, err := identify(ctx, store, r, executor)
		if err != nil {
			return nil, err
		}
		s.weights = append(s.weights, weights)
		if store == nil {
			continue
		}
		id, err := store.Reward(ctx, text)
		if err != nil {
			return nil, err
		}
		s.ids = append(s.ids, id)
	}
	return s, nil
}

// Weights are the checksums of the rewards' files, in hexadecimal; "" for rewards that run elsewhere.
func (s *Scorer) Weights() []string { return s.weights }

// Score gives one result per item, in order. An error means that nothing more can be scored; what was stored before stays.
// Items are taken Chunk at a time, so one call may hold many.
func (s *Scorer) Score(ctx context.Context, items []Item) ([]Result, error) {
	size := s.Chunk
	if size <= 0 {
		size = ChunkSize
	}
	var results []Result
	for len(results) < len(items) {
		chunk := items[len(results):min(len(results)+size, len(items))]
		some, err := s.chunk(ctx, chunk)
		if err != nil {
			return results, err
		}
		results = append(results, some...)
	}
	return results, nil
}

// job is one picture with one prompt, which several items of a chunk may share.
type job struct {
	key    Key
	item   *Item
	data   []byte
	parts  []float64 // by reward; NaN: not known
	image  image.Image
	turned image.Image // see rewards.Sample.Upright
	err    error
}

func (s *Scorer) chunk(ctx context.Context, items []Item) ([]Result, error) {
	jobs, of := s.jobs(items)
	if err := s.recall(ctx, jobs); err != nil {
		return nil, err
	}
	s.decodeAll(jobs)
	for r := range s.rewards {
		if err := s.compute(ctx, r, jobs); err != nil {
			return nil, err
		}
	}
	results := make([]Result, len(items))
	for i := range items {
		j := jobs[of[i]]
		results[i] = Result{Score: math.NaN(), Parts: j.parts, Picture: j.key.Picture, Err: j.err}
		if j.err != nil {
			continue
		}
		raw := make([][]float64, len(j.parts))
		for r, v := range j.parts {
			raw[r] = []float64{v}
		}
		total, err := s.mix.Combine(raw)
		if err != nil {
			return nil, err
		}
		results[i].Score = total[0]
	}
	return results, nil
}

// jobs lists each picture with each prompt once, and the job of every item. Pictures that cannot be read are jobs of their own.
func (s *Scorer) jobs(items []Item) (jobs []*job, of []int) {
	seen := map[Key]int{}
	for i := range items {
		j := &job{item: &items[i], err: s.mix.CheckPrompt(items[i].Prompt)}
		for range s.rewards {
			j.parts = append(j.parts, math.NaN())
		}
		data, err := items[i].Load()
		j.data, j.key = data, Key{sha256.Sum256(data), sha256.Sum256([]byte(items[i].Prompt))}
		if err != nil {
			j.err = err
		}
		at, ok := seen[j.key]
		if !ok || err != nil {
			at = len(jobs)
			jobs = append(jobs, j)
			if err == nil {
				seen[j.key] = at
			}
		}
		of = append(of, at)
	}
	return jobs, of
}

// recall fills in what the store knows.
func (s *Scorer) recall(ctx context.Context, jobs []*job) error {
	if s.store == nil {
		return nil
	}
	keys := make([]Key, len(jobs))
	for i, j := range jobs {
		keys[i] = j.key
	}
	for r, id := range s.ids {
		values, err := s.store.Get(ctx, id, keys)
		if err != nil {
			return err
		}
		for i, v := range values {
			jobs[i].parts[r] = v
			if !math.IsNaN(v) {
				s.Known++
			}
		}
	}
	return nil
}

func (j *job) missing() bool {
	for _, v := range j.parts {
		if math.IsNaN(v) {
			return j.err == nil
		}
	}
	return false
}

// decodeAll decodes the pictures that a reward has to see.
func (s *Scorer) decodeAll(jobs []*job) {
	var wait sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, j := range jobs {
		if !j.missing() {
			continue
		}
		wait.Go(func() {
			turns <- struct{}{}
			if j.image, j.err = imageproc.DecodeModes(j.item.Name, j.data, s.Limits); j.err == nil {
				j.turned = imageproc.Upright(j.image, j.data)
			}
			<-turns
		})
	}
	wait.Wait()
}

// compute asks one reward for what is missing, and stores it.
func (s *Scorer) compute(ctx context.Context, r int, jobs []*job) error {
	var todo []*job
	var samples []rewards.Sample
	var keys []Key
	for _, j := range jobs {
		if j.err == nil && math.IsNaN(j.parts[r]) {
			todo, keys = append(todo, j), append(keys, j.key)
			samples = append(samples, rewards.Sample{Prompt: j.item.Prompt, Image: j.image, Upright: j.turned})
		}
	}
	if len(todo) == 0 {
		return ctx.Err()
	}
	values, err := rewards.ScoreSamples(ctx, s.rewards[r], samples)
	if notFinite := (*rewards.NotFiniteError)(nil); errors.As(err, &notFinite) && notFinite.Index < len(todo) {
		if s.DropNotFinite {
			todo[notFinite.Index].err = fmt.Errorf("the score is %v", notFinite.Score)
			return s.compute(ctx, r, jobs)
		}
		return fmt.Errorf("%s: %w", todo[notFinite.Index].item.Name, err)
	}
	if unreadable := (*vlmjudge.UnreadableError)(nil); errors.As(err, &unreadable) && unreadable.Index < len(todo) {
		todo[unreadable.Index].err = errors.New(unreadable.Reason())
		return s.compute(ctx, r, jobs)
	}
	if err != nil {
		return err
	}
	for i, v := range values {
		todo[i].parts[r] = v
	}
	s.Computed += len(todo)
	if s.store == nil {
		return nil
	}
	return s.store.Put(ctx, s.ids[r], keys, values)
}

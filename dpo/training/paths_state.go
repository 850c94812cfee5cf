package training

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"winnow/internal/tensor"
)

// stateful is a source that checkpoints keep something of.
type stateful interface {
	state(done int) map[string]tensor.Tensor
	// check reads the state behind an update, and gives what puts it in place.
	check(done int, from map[string]tensor.Tensor) (put func(), err error)
}

// roundState is what the paths of a round can be drawn from once more: the factors at its beginning, and what others have said about
// the pictures, which need not be asked twice.
type roundState struct {
	round               int
	start               [][]float32
	attempts            []int // by batch of an update
	rewards, advantages []float64
}

// Names of tensors in a checkpoint.
const (
	lastPrefix  = "last."  // rewards of a prompt
	startPrefix = "start." // factors
)

// state is what is kept behind an update: the last rewards of every prompt, and the round, if it is not over.
func (p *paths) state(done int) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{}
	for place, v := range p.last {
		out[lastPrefix+strconv.Itoa(place)] = tensor.FromF64(v, len(v))
	}
	was := p.resumed
	if p.round >= 0 {
		was = &roundState{round: p.round, start: p.start}
		for _, b := range p.held {
			was.attempts = append(was.attempts, b.attempt)
			for _, one := range b.paths {
				was.rewards, was.advantages = append(was.rewards, one.reward), append(was.advantages, one.advantage)
			}
		}
	}
	if was == nil || done%p.updates() == 0 {
		return out
	}
	attempts := make([]int64, len(was.attempts))
	for i, v := range was.attempts {
		attempts[i] = int64(v)
	}
	out["round"] = tensor.FromI64([]int64{int64(was.round)}, 1)
	out["attempts"] = tensor.FromI64(attempts, len(attempts))
	out["rewards"] = tensor.FromF64(was.rewards, len(was.rewards))
	out["advantages"] = tensor.FromF64(was.advantages, len(was.advantages))
	for i, f := range p.t.params {
		out[startPrefix+f.Name] = tensor.FromF32(was.start[i], f.Shape...)
	}
	return out
}

func (p *paths) check(done int, from map[string]tensor.Tensor) (func(), error) {
	last := map[int][]float64{}
	for name, v := range from {
		number, ok := strings.CutPrefix(name, lastPrefix)
		if !ok {
			continue
		}
		place, err := strconv.Atoi(number)
		if err != nil || place < 0 || place >= len(p.t.config.Siblings.Prompts) || v.DType != tensor.F64 {
			return nil, fmt.Errorf("tensor %q: is not of a prompt of this run", "source."+name)
		}
		last[place] = slices.Clone(v.F64())
	}
	was, err := p.checkRound(done, from)
	return func() { p.last, p.round, p.resumed = last, -1, was }, err
}

func (p *paths) checkRound(done int, from map[string]tensor.Tensor) (*roundState, error) {
	if done%p.updates() == 0 {
		return nil, nil //nolint:nilnil // the round was over
	}
	c := p.t.config
	total := c.Accumulation * c.BatchSize * c.Siblings.Paths
	for name, size := range map[string]int{"round": 1, "attempts": c.Accumulation, "rewards": total, "advantages": total} {
		want := tensor.F64
		if name == "round" || name == "attempts" {
			want = tensor.I64
		}
		if v := from[name]; v.DType != want || !slices.Equal(v.Shape, []int{size}) {
			return nil, fmt.Errorf("tensor %q is %v%v, want %v[%d]", "source."+name, v.DType, v.Shape, want, size)
		}
	}
	out := &roundState{
		round:   int(from["round"].I64()[0]),
		rewards: slices.Clone(from["rewards"].F64()), advantages: slices.Clone(from["advantages"].F64()),
	}
	for _, v := range from["attempts"].I64() {
		out.attempts = append(out.attempts, int(v))
	}
	start := map[string]tensor.Tensor{}
	for name, v := range from {
		if name, ok := strings.CutPrefix(name, startPrefix); ok {
			start[name] = v
		}
	}
	var err error
	out.start, err = p.t.factorsIn("start", map[string]map[string]tensor.Tensor{"start": start})
	return out, err
}

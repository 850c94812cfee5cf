package vlmjudge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"io"
	"math"
)

// ProtocolReward is that of [FromReward]: no model was asked, the probability comes from the scores of a reward.
const ProtocolReward Protocol = "reward"

// Reward scores pictures of a prompt, higher is better.
type Reward interface {
	Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error)
	io.Closer
}

// RewardOptions say how scores become probabilities.
type RewardOptions struct {
	Name        string  // of the reward, for Info
	Temperature float64 // difference of scores that is one unit of log-odds
	Middle      float64 // score at which a picture is as likely right as wrong
	Concurrency int     // questions at once; 0: 8
	Keeping
}

// FromReward makes a judge of a reward, so that what asks a judge can be tried without a server. It prefers A with probability
// σ((a−b)/Temperature), whichever is shown first, and answers Yes with probability σ((a−Middle)/Temperature). It sees and reads what the
// reward does, no more; Info and every Answer say so. Close closes the reward.
func FromReward(r Reward, o RewardOptions) (*Judge, error) {
	if !(o.Temperature > 0) || math.IsInf(o.Temperature, 1) || math.IsNaN(o.Middle) || math.IsInf(o.Middle, 0) {
		return nil, fmt.Errorf("vlmjudge: reward %s: temperature %v, middle %v; want finite numbers, the temperature above 0", o.Name, o.Temperature, o.Middle)
	}
	questions, err := choose(nil, false)
	if err != nil {
		return nil, err
	}
	j := &Judge{reward: r, scale: o, asks: questions, options: Options{Concurrency: o.Concurrency}.filled()}
	formulas := [3]string{
		fmt.Sprintf("sigmoid((score of 1 - score of 2)/%g) by the reward %s", o.Temperature, o.Name),
		fmt.Sprintf("sigmoid((score - %g)/%g) by the reward %s", o.Middle, o.Temperature, o.Name),
		fmt.Sprintf("1 + 4·sigmoid((score - %g)/%g) by the reward %s", o.Middle, o.Temperature, o.Name),
	}
	j.info = Info{URL: "no server", Model: "reward " + o.Name, Protocol: ProtocolReward, Pictures: "seen"}
	for i, id := range []string{"pair.reward.v1", "check.reward.v1", "mark.reward.v1"} {
		sum := sha256.Sum256([]byte(formulas[i]))
		j.info.Templates = append(j.info.Templates, Template{ID: id, SHA256: hex.EncodeToString(sum[:])})
	}
	j.formulas = formulas
	return j, j.keep(o.Keeping)
}

// fromReward answers a question about one picture or two.
func (j *Judge) fromReward(ctx context.Context, t template, prompt string, images []image.Image) (Answer, error) {
	scores, err := j.reward.Score(ctx, prompt, images)
	if err != nil {
		return Answer{}, err
	}
	if len(scores) != len(images) {
		return Answer{}, fmt.Errorf("vlmjudge: reward %s: %d scores for %d pictures", j.scale.Name, len(scores), len(images))
	}
	less, formula := j.scale.Middle, j.formulas[1]
	switch t.question {
	case questionPair:
		less, formula = scores[1], j.formulas[0]
	case questionMarks:
		formula = j.formulas[2]
	}
	p := sigmoid((scores[0] - less) / j.scale.Temperature)
	if math.IsNaN(p) {
		return Answer{}, fmt.Errorf("vlmjudge: reward %s: scores %v are not finite", j.scale.Name, scores)
	}
	a := Answer{P: p, Raw: p, Mass: 1, Protocol: ProtocolReward, Formula: formula, Replies: []string{}}
	if t.question == questionMarks {
		a.Mark = t.markOf(p)
	}
	return a, nil
}

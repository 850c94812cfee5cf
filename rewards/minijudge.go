package rewards

import (
	"context"
	"errors"

	"winnow/vlmjudge"
)

// MiniTemperature is the difference of the embedded reward's scores that is one unit of log-odds: σ(difference/MiniTemperature) is
// the probability that the exact checker of the mini world prefers a picture, fitted on groups of the validation set by
//
//	winnow bench reward --prompts validation --limit 150
//
// which prints it as "temperature".
const MiniTemperature = 0.76

// OpenJudge opens the judge at an address, as vlmjudge.Open does. The address "mini" is the embedded reward, which answers through the same
// interface without a server: it prefers A to B with probability σ((score of A − score of B)/MiniTemperature), and says that a picture shows
// a prompt with the same of its score less the mean of the reward's reference. Info tells it from a judge that sees and reads.
func OpenJudge(ctx context.Context, o vlmjudge.Options, opt *Options) (*vlmjudge.Judge, error) {
	all := Options{}
	if opt != nil {
		all = *opt
	}
	all.Judge = &o
	j, err := openJudged(ctx, &all)
	return j.judge, err
}

// miniJudge makes a judge of the embedded reward, and closes it if that fails.
func miniJudge(m *Model, o *vlmjudge.Options) (*vlmjudge.Judge, error) {
	p := member{reward: m}
	if err := p.readReference(Mini, "", nil); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	j, err := vlmjudge.FromReward(m, vlmjudge.RewardOptions{
		Name: Mini, Temperature: MiniTemperature, Middle: p.reference.Mean, Concurrency: o.Concurrency, Keeping: o.Keeping,
	})
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return j, nil
}

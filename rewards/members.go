package rewards

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"winnow/assets"
	"winnow/internal/model"
)

// Names are the names of Rewards. A reward that was opened again, from another folder, has its number behind: "clip#2".
func (m *Mix) Names() []string {
	names, seen := make([]string, len(m.members)), map[string]int{}
	for i, part := range m.members {
		names[i] = part.reward.Info().Name
		seen[names[i]]++
		if n := seen[names[i]]; n > 1 {
			names[i] = fmt.Sprintf("%s#%d", names[i], n)
		}
	}
	return names
}

// Members gives the scores of every reward by itself, raw[reward][sample], before transforms and weights. Combine and Spread
// take them, so nothing is scored twice.
func (m *Mix) Members(ctx context.Context, samples []Sample) (raw [][]float64, err error) {
	raw = make([][]float64, len(m.members))
	for i, part := range m.members {
		if raw[i], err = ScoreSamples(ctx, part.reward, samples); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// scaled are scores after the transforms.
func (m *Mix) scaled(raw [][]float64) (scores [][]float64, err error) {
	scores = make([][]float64, len(m.members))
	for i, part := range m.members {
		if scores[i], err = part.reference.applyAll(part.transform, raw[i]); err != nil {
			return nil, err
		}
	}
	return scores, nil
}

// Spread is how far the rewards are apart on each sample: the standard deviation of raw[reward][sample] after the transforms,
// in which a reward counts by its weight. Without a transform it means something only for rewards of one scale.
func (m *Mix) Spread(raw [][]float64) ([]float64, error) {
	scores, err := m.scaled(raw)
	if err != nil {
		return nil, err
	}
	var weights []float64
	for _, part := range m.members {
		weights = append(weights, part.weight)
	}
	_, spread, err := meanAndSpread(scores, weights)
	return spread, err
}

// References are the distributions that Rewards are held against, nil for those that have none.
func (m *Mix) References() []*Reference {
	all := make([]*Reference, len(m.members))
	for i := range m.members {
		if m.members[i].known {
			all[i] = &m.members[i].reference
		}
	}
	return all
}

// Percentile is the share of the reference that scores less, in percent, 0 to 100.
func (r *Reference) Percentile(score float64) float64 { return 100 * r.cdf(score) }

// referenceName is a Reference in a reward's folder.
const referenceName = "reference.json"

// givenReferences reads Options.References, by the reward that they are of.
func givenReferences(opt *Options, choices []string) (map[string]Reference, error) {
	given := map[string]Reference{}
	if opt == nil {
		return given, nil
	}
	for _, path := range opt.References {
		r, err := ReadReference(path)
		if err != nil {
			return nil, err
		}
		named := func(choice string) bool { name, _, _ := strings.Cut(choice, "="); return name == r.Reward }
		if _, twice := given[r.Reward]; twice || !slices.ContainsFunc(choices, named) {
			return nil, &ArgumentError{fmt.Sprintf("%s describes scores of %q, which is none of the rewards, or has another reference", path, r.Reward)}
		}
		given[r.Reward] = r
	}
	return given, nil
}

// readReference takes the reference given for a reward, or reads the one in its folder. Only a transform needs one, and without it a file about another
// reward, as two of them may share a folder, is passed over.
func (p *member) readReference(name, dir string, given map[string]Reference) error {
	f := model.DirFolder(dir)
	var ok bool
	switch p.reference, ok = given[name]; {
	case ok:
		p.known = true
		_, err := p.reference.Apply(p.transform, p.reference.Mean)
		return err
	case name == Mini:
		f = model.FSFolder(assets.MiniReward(), "mini/reward")
	case dir == "" && p.transform == TransformNone:
		return nil
	case dir == "":
		return &ArgumentError{fmt.Sprintf("the reward %q has no folder with a %s; name a file of its scores' distribution to transform them by", name, referenceName)}
	}
	path := f.Path(referenceName)
	found, err := f.ReadJSON(referenceName, &p.reference)
	p.known = found && p.reference.Reward == name
	switch {
	case err != nil:
		return fmt.Errorf("rewards: %w", err)
	case p.known:
		if err := p.reference.check(path); err != nil {
			return err
		}
		_, err = p.reference.Apply(p.transform, p.reference.Mean)
		return err
	case p.transform == TransformNone:
		return nil
	case !found:
		return fmt.Errorf("rewards: %s is missing, and the scores cannot be transformed without; \"winnow reference\" makes it from scores", path)
	}
	return &ArgumentError{fmt.Sprintf("%s describes scores of %q, not of %q; measure it again", path, p.reference.Reward, name)}
}

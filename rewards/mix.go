package rewards

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"strconv"
	"strings"
)

// Mix is one reward, or a weighted sum of several that were opened together.
type Mix struct {
	members []member
	info    Info
}

// Reward is one reward that is open: a Model, or one that runs elsewhere.
type Reward interface {
	Scorer
	SampleScorer
	Info() Info
	CheckPrompt(prompt string) error // see Model.CheckPrompt
	Close() error
}

// member is one reward of a sum.
type member struct {
	reward    Reward
	weight    float64
	transform string
	reference Reference
	known     bool // there is a reference
}

// OpenMix opens rewards given as NAME or NAME=WEIGHT. Folders belong, in order, to the rewards that need one. Where transform
// is not "", each reward's scores are brought to one scale by reference.json in its folder, see Reference; the embedded reward
// has one inside.
func OpenMix(ctx context.Context, choices, folders []string, transform string, opt *Options) (_ *Mix, err error) {
	m := &Mix{}
	defer func() {
		if err != nil {
			_ = m.Close() // the first error says what happened
		}
	}()
	given, err := givenReferences(opt, choices)
	if err != nil {
		return nil, err
	}
	for _, choice := range choices {
		name, weight, err := parseChoice(choice)
		if err != nil {
			return nil, err
		}
		dir := ""
		if len(folders) > 0 && (NeedsFolder(name) || name == Mini && len(choices) == 1) {
			dir, folders = folders[0], folders[1:]
		}
		model, err := OpenReward(ctx, name, dir, opt)
		if err != nil {
			return nil, err
		}
		m.members = append(m.members, member{reward: model, weight: weight, transform: transform})
		if err := m.members[len(m.members)-1].readReference(name, dir, given); err != nil {
			return nil, err
		}
	}
	if len(m.members) == 0 {
		return nil, &ArgumentError{"no reward is named"}
	}
	if len(folders) > 0 {
		return nil, &ArgumentError{fmt.Sprintf("the folder %s belongs to no reward; name one reward for each folder", folders[0])}
	}
	m.describe()
	return m, nil
}

// describe makes one Info of several.
func (m *Mix) describe() {
	m.info = m.members[0].reward.Info()
	if len(m.members) == 1 && m.members[0].weight == 1 && m.members[0].transform == TransformNone {
		return
	}
	var folders, parts []string
	for _, part := range m.members {
		info := part.reward.Info()
		folders = append(folders, info.Model)
		name := info.Name
		if part.transform != TransformNone {
			name = part.transform + "(" + name + ")"
		}
		parts = append(parts, strconv.FormatFloat(part.weight, 'g', -1, 64)+"·"+name)
		if n := info.MaxTokens; n > 0 && (m.info.MaxTokens == 0 || n < m.info.MaxTokens) {
			m.info.MaxTokens = n
		}
		m.info.AcrossPrompts = m.info.AcrossPrompts && info.AcrossPrompts
		m.info.Relative = m.info.Relative || info.Relative
		m.info.ReadsPrompt = m.info.ReadsPrompt || info.ReadsPrompt
	}
	formula := strings.Join(parts, " + ")
	m.info.Name, m.info.Formula, m.info.Model, m.info.Version, m.info.Prepare = formula, formula, strings.Join(folders, ", "), "", ""
}

func parseChoice(choice string) (name string, weight float64, err error) {
	name, text, weighted := strings.Cut(choice, "=")
	if !weighted {
		return name, 1, nil
	}
	weight, err = strconv.ParseFloat(text, 64)
	if err != nil || weight == 0 || math.IsNaN(weight) || math.IsInf(weight, 0) {
		return "", 0, &ArgumentError{fmt.Sprintf("%q: the weight is not a number other than 0; write NAME=WEIGHT, for example %s=0.5", choice, name)}
	}
	return name, weight, nil
}

// Info describes the reward, or the sum.
func (m *Mix) Info() Info { return m.info }

// Rewards are the terms of the sum, in the order that they were named in.
func (m *Mix) Rewards() []Reward {
	all := make([]Reward, len(m.members))
	for i, part := range m.members {
		all[i] = part.reward
	}
	return all
}

// CheckPrompt reports the first reward that cannot read the prompt in full.
func (m *Mix) CheckPrompt(prompt string) error {
	for _, part := range m.members {
		if err := part.reward.CheckPrompt(prompt); err != nil {
			return err
		}
	}
	return nil
}

// Score gives one score per picture.
func (m *Mix) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return m.ScoreSamples(ctx, samplesOf(prompt, images))
}

// ScoreSamples is Score for pictures that each have a prompt of their own.
func (m *Mix) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	raw, err := m.Members(ctx, samples)
	if err != nil {
		return nil, err
	}
	return m.Combine(raw)
}

// Combine is the sum for scores that each of Rewards gave, raw[reward][sample], after their transforms and weights.
func (m *Mix) Combine(raw [][]float64) ([]float64, error) {
	scaled, err := m.scaled(raw)
	if err != nil {
		return nil, err
	}
	total := make([]float64, len(raw[0]))
	for i, part := range m.members {
		for k, s := range scaled[i] {
			total[k] += part.weight * s
		}
	}
	return total, nil
}

// Close releases all rewards.
func (m *Mix) Close() error {
	var errs []error
	for _, part := range m.members {
		errs = append(errs, part.reward.Close())
	}
	return errors.Join(errs...)
}

package rewards

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"path/filepath"
	"strconv"
	"strings"
)

// Mix is one reward, or a weighted sum of several that were opened together.
type Mix struct {
	models []*Model
	info   Info
	scorer Scorer
}

// OpenMix opens rewards given as NAME or NAME=WEIGHT. Folders belong, in order, to the rewards that need one. Where transform
// is not "", each reward's scores are brought to one scale by reference.json in its folder, see Reference.
func OpenMix(ctx context.Context, choices, folders []string, transform string, opt *Options) (_ *Mix, err error) {
	m := &Mix{}
	defer func() {
		if err != nil {
			_ = m.Close() // the first error says what happened
		}
	}()
	var terms []Term
	var parts []string
	for _, choice := range choices {
		name, weight, err := parseChoice(choice)
		if err != nil {
			return nil, err
		}
		dir := ""
		if len(folders) > 0 && (name != Mini || len(choices) == 1) {
			dir, folders = folders[0], folders[1:]
		}
		model, err := Open(ctx, name, dir, opt)
		if err != nil {
			return nil, err
		}
		m.models = append(m.models, model)
		var scorer Scorer = model
		if transform != TransformNone {
			if scorer, err = scaled(model, dir, transform); err != nil {
				return nil, err
			}
			name = transform + "(" + name + ")"
		}
		terms = append(terms, Term{scorer, weight})
		parts = append(parts, strconv.FormatFloat(weight, 'g', -1, 64)+"·"+name)
	}
	if len(terms) == 0 {
		return nil, &ArgumentError{"no reward is named"}
	}
	if len(folders) > 0 {
		return nil, &ArgumentError{fmt.Sprintf("the folder %s belongs to no reward; name one reward for each folder", folders[0])}
	}
	m.info, m.scorer = m.models[0].Info(), Sum(terms...)
	if len(terms) > 1 || terms[0].Weight != 1 || transform != TransformNone {
		m.describe(strings.Join(parts, " + "))
	}
	return m, nil
}

// describe makes one Info of several.
func (m *Mix) describe(formula string) {
	var folders []string
	for _, model := range m.models {
		folders = append(folders, model.info.Model)
		if n := model.info.MaxTokens; n > 0 && (m.info.MaxTokens == 0 || n < m.info.MaxTokens) {
			m.info.MaxTokens = n
		}
	}
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

func scaled(m *Model, dir, transform string) (Scorer, error) {
	if dir == "" {
		return nil, &ArgumentError{fmt.Sprintf("the reward %q has no folder with a reference.json to transform its scores by", m.info.Name)}
	}
	path := filepath.Join(dir, "reference.json")
	r, err := ReadReference(path)
	if err != nil {
		return nil, err
	}
	if r.Reward != m.info.Name {
		return nil, &ArgumentError{fmt.Sprintf("%s describes scores of %q, not of %q; measure it again", path, r.Reward, m.info.Name)}
	}
	_, err = r.Apply(transform, r.Mean)
	return Transform(m, r, transform), err
}

// Info describes the reward, or the sum.
func (m *Mix) Info() Info { return m.info }

// CheckPrompt reports the first reward that cannot read the prompt in full.
func (m *Mix) CheckPrompt(prompt string) error {
	for _, model := range m.models {
		if err := model.CheckPrompt(prompt); err != nil {
			return err
		}
	}
	return nil
}

// Score gives one score per picture.
func (m *Mix) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return m.scorer.Score(ctx, prompt, images)
}

// Close releases all rewards.
func (m *Mix) Close() error {
	var errs []error
	for _, model := range m.models {
		errs = append(errs, model.Close())
	}
	return errors.Join(errs...)
}

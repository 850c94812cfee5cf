package rewards

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// counted counts the samples that a reward scores.
type counted struct {
	Reward
	samples int
}

func (c *counted) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	c.samples += len(samples)
	return c.Reward.ScoreSamples(ctx, samples)
}

// threeMembers opens HPSv2.1 twice, once with weight 3, and the aesthetic predictor, all with references.
func threeMembers(t *testing.T, transform string) *Mix {
	t.Helper()
	var dirs []string
	for _, name := range []string{HPSv21, HPSv21, Aesthetic} {
		r, err := NewReference(name, "test", []float64{-1, 0.5, 1})
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, copyFolder(t, filepath.Join(tinyRewards, name), map[string]string{"reference.json": string(data)}))
	}
	m, err := OpenMix(t.Context(), []string{HPSv21, HPSv21 + "=3", Aesthetic}, dirs, transform, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestMix_membersAreScoredOnce(t *testing.T) {
	g := readPublished(t)
	m := threeMembers(t, TransformZ)
	counters := make([]*counted, len(m.members))
	for i := range m.members {
		counters[i] = &counted{Reward: m.members[i].reward}
		m.members[i].reward = counters[i]
	}
	if want := []string{HPSv21, HPSv21 + "#2", Aesthetic}; !slices.Equal(m.Names(), want) {
		t.Errorf("names %q, want %q", m.Names(), want)
	}
	samples := []Sample{{Prompt: g.Prompts[0], Image: g.picture(t, 0)}, {Prompt: g.Prompts[1], Image: g.picture(t, 1)}}
	raw, err := m.Members(t.Context(), samples)
	if err != nil {
		t.Fatal(err)
	}
	total, err := m.Combine(raw)
	if err != nil {
		t.Fatal(err)
	}
	spread, err := m.Spread(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range counters {
		if c.samples != len(samples) {
			t.Errorf("reward %d scored %d samples, want %d", i, c.samples, len(samples))
		}
	}
	ref := m.References()[0]
	z := func(v float64) float64 { return (v - ref.Mean) / ref.Std }
	for k := range samples {
		hps, look := z(g.Scores[HPSv21][k]), z(g.Scores[Aesthetic][k])
		if want := 4*hps + look; math.Abs(total[k]-want) > 1e-3 {
			t.Errorf("sum %v, want %v", total[k], want)
		}
		// Weights 1 and 3 at one value, 1 at another: std = |a-b|·√(4·1)/5.
		if want := math.Abs(hps-look) * 2 / 5; math.Abs(spread[k]-want) > 1e-3 {
			t.Errorf("spread %v, want %v", spread[k], want)
		}
	}
	m.members[1].weight = -1
	var arg *ArgumentError
	if _, err := m.Spread(raw); !errors.As(err, &arg) {
		t.Errorf("a spread with a weight below 0: %v", err)
	}
}

func TestInfo_acrossPrompts(t *testing.T) {
	m := threeMembers(t, "")
	if m.Info().AcrossPrompts || m.members[0].reward.Info().AcrossPrompts || !m.members[2].reward.Info().AcrossPrompts {
		t.Error("only the reward that reads no prompt compares pictures of different prompts")
	}
}

// The embedded reward has a reference inside; others without one do without, until a transform needs it.
func TestOpenMix_references(t *testing.T) {
	mini, err := OpenMix(t.Context(), []string{Mini}, nil, TransformCDF, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer mini.Close()
	ref := mini.References()[0]
	if ref == nil || ref.Count != 2000 || ref.Reward != Mini || ref.Set == "" {
		t.Fatalf("%+v", ref)
	}
	if p := ref.Percentile(ref.Quantiles[25]); p != 25 {
		t.Errorf("the quantile of 25 %% is at %v %%", p)
	}
	dir := copyFolder(t, filepath.Join(tinyRewards, HPSv21), nil)
	open := func(transform, reference string) (*Reference, error) {
		t.Helper()
		if reference != "" {
			if err := os.WriteFile(filepath.Join(dir, "reference.json"), []byte(reference), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m, err := OpenMix(t.Context(), []string{HPSv21}, []string{dir}, transform, nil)
		if err != nil {
			return nil, err
		}
		defer m.Close()
		return m.References()[0], nil
	}
	if r, err := open("", ""); r != nil || err != nil {
		t.Errorf("no reference: %v, %v", r, err)
	}
	if _, err := open(TransformZ, ""); err == nil || !strings.Contains(err.Error(), "winnow reference") {
		t.Errorf("a transform without reference: %v", err)
	}
	if r, err := open("", `{"reward": "hpsv2.1-legacy-resize"}`); r != nil || err != nil {
		t.Errorf("reference of another reward of the folder: %v, %v", r, err)
	}
	if _, err := open("", `{"reward": "hpsv2.1", "quantiles": [1]}`); err == nil || !strings.Contains(err.Error(), "reference.json: quantiles are 1") {
		t.Errorf("broken reference: %v", err)
	}
	if _, err := open("", `nonsense`); err == nil || !strings.Contains(err.Error(), "reference.json") {
		t.Errorf("no JSON: %v", err)
	}
}

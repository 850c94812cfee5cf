package training

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"winnow/dpo"
)

// tuned trains a little and writes the adapter.
func tuned(t *testing.T, c Config, pairs string) (*Trainer, string) {
	t.Helper()
	tr := ready(t, c, pairs)
	for range c.Steps {
		if _, err := tr.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(t.TempDir(), "adapter")
	if err := mkdir(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.WriteAdapters(folder, "adapter"); err != nil {
		t.Fatal(err)
	}
	return tr, folder
}

// A training that begins with an adapter has its factors; with another alpha the product, and so the effect, is the same. Against the
// adapter as reference its first loss is that of no difference.
func TestInitFrom(t *testing.T) {
	pairs := writePairs(t, 8)
	c := Config{Method: "dpo", BatchSize: 4, Steps: 3, LearningRate: 5e-3, Seed: 5, Settings: dpo.Settings{Beta: 500}}
	first, folder := tuned(t, c, pairs)
	c.InitFrom, c.Reference.Files = folder, []ReferenceFile{{Path: folder}}
	same := ready(t, c, pairs)
	for i, p := range same.params {
		if !slices.Equal(p.Value, first.params[i].Value) {
			t.Fatalf("%s differs", p.Name)
		}
	}
	m, err := same.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(m.Loss-math.Ln2) > 1e-6 || math.Abs(m.Margin) > 1e-6 {
		t.Errorf("against itself the adapter has loss %v and margin %v", m.Loss, m.Margin)
	}
	c.Alpha = 2 // a quarter of the rank
	scaled := ready(t, c, pairs)
	if m, err = scaled.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if math.Abs(m.Loss-math.Ln2) > 1e-6 {
		t.Errorf("with another alpha the adapter differs from itself: loss %v", m.Loss)
	}
	c.Reference.Files = nil
	base := ready(t, c, pairs)
	if m, err = base.Step(t.Context()); err != nil || m.Margin == 0 {
		t.Errorf("the adapter does not differ from the base: %+v, %v", m, err)
	}
}

// What cannot be taken over whole is refused, with the flag's name.
func TestInitFrom_refuses(t *testing.T) {
	pairs := writePairs(t, 4)
	c := Config{Method: "dpo", BatchSize: 2, Steps: 1, Seed: 5, Rank: 4}
	_, folder := tuned(t, c, pairs)
	cache, err := OpenCache(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	for name, change := range map[string]func(*Config){
		"another rank":  func(c *Config) { c.Rank = 8 },
		"fewer modules": func(c *Config) { c.Targets = []string{"to_q"} },
		"two adapters":  func(c *Config) { c.Method = "chats" },
	} {
		d := c
		d.InitFrom = folder
		change(&d)
		tr, err := Open(t.Context(), Mini, cache, d)
		var setting *SettingError
		if !errors.As(err, &setting) || setting.Flag != "init-lora" {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			tr.Close()
		}
	}
	c.InitFrom = filepath.Join(t.TempDir(), "none")
	if _, err := Open(t.Context(), Mini, cache, c); err == nil {
		t.Error("a file that is not there is taken")
	}
}

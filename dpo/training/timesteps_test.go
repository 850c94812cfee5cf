package training

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"winnow/internal/monitor"
)

const shifted = `{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}`

func flowModel(t *testing.T, c Config) *Trainer {
	t.Helper()
	c.Size = Size{32, 32}
	return openModel(t, withScheduler(t, "sd2", []byte(shifted)), c)
}

// Logits of drawn levels have the mean and deviation that were asked for; several draws of a pair lie in equal shares of the
// distribution.
func TestTimesteps_distribution(t *testing.T) {
	logits := func(tr *Trainer, draws int) (mean, deviation float64, rising bool) {
		r, dst, n := rand.New(rand.NewPCG(1, 2)), make([]int, draws), 0
		rising = true
		for range 20000 / draws {
			tr.timesteps(dst, r)
			rising = rising && slices.IsSorted(dst)
			for _, at := range dst {
				if at < 0 || at > 999 {
					t.Fatalf("timestep %d", at)
				}
				u := (float64(at) + 0.5) / 1000
				v := math.Log(u / (1 - u))
				mean, deviation, n = mean+v, deviation+v*v, n+1
			}
		}
		mean /= float64(n)
		return mean, math.Sqrt(deviation/float64(n) - mean*mean), rising
	}
	for _, tt := range []struct {
		tr              *Trainer
		mean, deviation float64
	}{
		{flowModel(t, Config{Method: "dpo"}), 0, 1},
		{open(t, Config{Method: "dpo", TimestepSampling: "logit-normal", LogitMean: 0.7, LogitStd: 0.5}), 0.7, 0.5},
		{open(t, Config{Method: "dpo"}), 0, math.Pi / math.Sqrt(3)}, // a logit of what is uniform
		{flowModel(t, Config{Method: "dpo", TimestepSampling: "uniform"}), 0, math.Pi / math.Sqrt(3)},
	} {
		for _, draws := range []int{1, 4} {
			mean, deviation, rising := logits(tt.tr, draws)
			if math.Abs(mean-tt.mean) > 0.05 || math.Abs(deviation/tt.deviation-1) > 0.03 || !rising {
				t.Errorf("%s, %d draws: logits of mean %.3f and deviation %.3f, want %v and %v; sorted %v", tt.tr.config.TimestepSampling, draws, mean, deviation, tt.mean, tt.deviation, rising)
			}
		}
	}
}

// Where the reference's errors are kept tells ways of drawing levels apart; a run does not go on in another way.
func TestTimesteps_keys(t *testing.T) {
	set := writePairs(t, 4)
	var keys []Key
	var last *Trainer
	for _, c := range []Config{{}, {TimestepSampling: "logit-normal"}, {TimestepSampling: "logit-normal", LogitMean: 1}, {TimestepSampling: "logit-normal", LogitStd: 2}} {
		c.Method, c.BatchSize, c.Rank = "dpo", 2, 2
		tr := ready(t, c, set)
		d, err := tr.source.(*pairs).draw(t.Context(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		k := tr.source.(*pairs).key(d, 0, 0)
		if slices.Contains(keys, k) {
			t.Errorf("%+v has the key of another setting", c)
		}
		keys = append(keys, k)
		if last != nil {
			if _, err := last.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			output := t.TempDir()
			if _, err := last.save(output, monitor.GuardState{}); err != nil {
				t.Fatal(err)
			}
			if err := tr.Resume(output, "latest"); err == nil {
				t.Errorf("%+v goes on from a checkpoint of another setting", c)
			}
		}
		last = tr
	}
}

// A run on a flow goes from pairs to adapters and previews.
func TestFlow_run(t *testing.T) {
	dir := withScheduler(t, "sd2", []byte(shifted))
	for _, method := range []string{"dpo", "vrpo", "chats", "smpo", "sft"} {
		c := Config{Method: method, BatchSize: 2, Steps: 2, Rank: 2, Size: Size{32, 32}, LearningRate: 1e-3}
		c.Inversion.Steps = 3
		tr := begun(t, dir, writePairs(t, 4), c)
		for range 2 {
			if m, err := tr.Step(t.Context()); err != nil || m.Loss <= 0 {
				t.Errorf("%s: %+v, %v", method, m, err)
			}
		}
		if got := tr.meta("x").Prediction; got != "flow_prediction" {
			t.Errorf("files say that the model predicts %s", got)
		}
		if method != "dpo" {
			continue
		}
		if _, err := tr.Pictures(t.Context(), []Picture{{"a red circle", 7}}, 3, 3, false); err != nil {
			t.Error(err)
		}
	}
	for want, c := range map[string]Config{"--logit-mean 1": {Method: "dpo", LogitMean: 1}, "--logit-std 2": {Method: "dpo", LogitStd: 2}} {
		if _, err := Open(t.Context(), Mini, nil, c); err == nil || !strings.Contains(err.Error(), want+": noise levels are drawn uniformly") {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, c := range map[string]Config{
		"--snr-gamma": {Method: "dpo", SNRGamma: 5},
	} {
		_, err := Open(t.Context(), dir, nil, c)
		var setting *SettingError
		if !errors.As(err, &setting) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "flow") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

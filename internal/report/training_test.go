package report

import (
	"bytes"
	"image/png"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"winnow/internal/monitor"
)

func pngBytes(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(w, h)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// metricRows are those of a run in which the accuracy goes from ½ to a value, and the rewards part.
func metricRows(steps int, accuracy float64) []monitor.Metrics {
	rng := rand.New(rand.NewPCG(1, 2))
	rows := []monitor.Metrics{{Step: 0, Values: []monitor.Value{{Name: "preview/mini", Value: 1.5}}}}
	for step := 1; step <= steps; step++ {
		part := 1 - math.Exp(-3*float64(step)/float64(steps))
		right := 0.0
		for range 8 {
			if rng.Float64() < 0.5+(accuracy-0.5)*part {
				right += 0.125
			}
		}
		chosen, rejected := 0.3*part+0.2*rng.NormFloat64(), -0.6*part+0.2*rng.NormFloat64()
		m := monitor.Metrics{Step: step, Values: []monitor.Value{
			{Name: monitor.Loss, Value: math.Log1p(math.Exp(rejected - chosen))},
			{Name: monitor.Chosen, Value: chosen},
			{Name: monitor.Rejected, Value: rejected},
			{Name: monitor.Margins, Value: chosen - rejected},
			{Name: monitor.Accuracy, Value: right},
			{Name: monitor.GradNorm, Value: 0.02 * math.Exp(0.4*rng.NormFloat64()+part)},
			{Name: monitor.Rate, Value: 2e-4 * min(1, float64(step)/50)},
			{Name: monitor.Epoch, Value: float64(step) / 200},
			{Name: monitor.Saturated, Value: 0.1 * part * rng.Float64()},
			{Name: monitor.ChosenDrift, Value: -1e-4 * chosen},
		}, Timings: []monitor.Value{{Name: monitor.PairsPerSecond, Value: 40 + rng.NormFloat64()}, {Name: monitor.Memory, Value: 700 << 20}}}
		if step%100 == 0 {
			m.Values = append(m.Values, monitor.Value{Name: "preview/mini", Value: 1.5 + part + 0.1*rng.NormFloat64()})
		}
		rows = append(rows, m)
	}
	return rows
}

// sampleTraining holds one of everything; text stands wherever a run's own text may.
func sampleTraining(t *testing.T, text string) *Training {
	t.Helper()
	return &Training{
		Title: "winnow train dpo", Subtitle: text, Command: "winnow train dpo --data pairs.parquet --prompt " + text, Version: "v1", Started: "2026-11-27 12:00:00", Steps: 600,
		LearningRate: Resolved{2e-4, "the default for LoRA"}, Beta: Resolved{1000, "--beta-dpo 2000, halved"}, Chance: math.Ln2,
		Settings: []Fact{{"--seed", "7"}, {"--rank", "16"}, {"--validation-prompt", text}}, Data: []Fact{{"pairs.parquet", "4,000 pairs"}, {"ties left out", "31"}},
		Files: []Fact{{"pytorch_lora_weights.safetensors", "the adapter, for diffusers"}}, Metrics: metricRows(600, 0.7),
		Flags: []Flag{{"warn", "A warning", text}, {"info", "A note", text}},
		Previews: []Preview{
			{text, []uint64{5, 6, 7, 8}, pngBytes(t, 130, 130), pngBytes(t, 130, 130), []Change{{"mini", 1.5, 2.25}, {text, 0.5, math.NaN()}}},
			{"second", []uint64{18446744073709551615}, pngBytes(t, 900, 500), nil, []Change{{"mini", 1.5, 1.25}}},
			{"third", nil, nil, pngBytes(t, 64, 64), []Change{{"mini", 1.5, 1.75}}},
		},
		WinRates: []WinRate{{"mini", 0.62, 0.55, 0.69, 200}, {text, 0.5, 0.43, 0.57, 200}, {"third", 0.4, 0.33, 0.47, 200}},
	}
}

func writeTraining(t *testing.T, run *Training) string {
	t.Helper()
	var b bytes.Buffer
	if err := run.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTraining_WriteHTML(t *testing.T) {
	page := writeTraining(t, sampleTraining(t, "a&b <script>"))
	for _, want := range []string{
		"600 of 600", "0.0002 (the default for LoRA)", "1000 (--beta-dpo 2000, halved)", ">3.00<", // passes over the data
		"Are its pictures better by mini?", "Yes: they win 62 % of the comparisons (95 % interval 55 to 69, 200 prompts).", "Not clearly: they win 50 %", "No, they are worse: they win 40 %",
		"Yes: in the last 120 steps it told", "See the warning above.", "seeds 5, 6, 7, 8", "seed 18446744073709551615", "mini 2.2500 (&#43;0.7500)", "mini 1.2500 (-0.2500)",
		">Loss<", ">Reward accuracy<", ">Implicit rewards<", ">Gradient norm<", ">Learning rate<", ">Preview pictures: mini<", ">Saturated pairs<", ">Drift of the chosen<",
		"Dotted: 0.693, a policy that equals the reference.", "Dotted: 0.5, chance.", "the adapter, for diffusers", "4,000 pairs", `class="examples large"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(page, `class="picture good"`); n != 1 {
		t.Errorf("%d pictures are marked as better, want one: the third prompt's", n)
	}
	if m := regexp.MustCompile(`(?i:<script|https?:|ZgotmplZ|src="[^d]|url\(|@import|<link)|\bNaN\b`).FindString(page); m != "" {
		t.Errorf("the page holds %q", m)
	}
	if writeTraining(t, sampleTraining(t, "a&b <script>")) != page {
		t.Error("a second page differs")
	}
}

func TestTraining_inShort(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *Training)
		want   string
	}{
		"nothing learned":   {func(r *Training) { r.Metrics = metricRows(600, 0.5) }, "Not clearly: in the last 120 steps it told"},
		"swapped":           {func(r *Training) { r.Metrics = metricRows(600, 0.3) }, "The wrong way round: "},
		"by heart":          {func(r *Training) { r.Metrics = metricRows(600, 1.05) }, "By heart: "},
		"too short to tell": {func(r *Training) { r.Metrics = metricRows(20, 1) }, "20 of 600"},
		"only previews":     {func(r *Training) { r.WinRates = nil }, "mini rose for 2 of 3 preview prompts. That is too few to be sure"},
		"nothing measured":  {func(r *Training) { r.WinRates, r.Previews = nil, nil }, "Not measured. Compare the two models"},
		"stopped":           {func(r *Training) { r.Stopped = "loss is NaN" }, "See the 2 warnings above."},
		"nothing wrong":     {func(r *Training) { r.Flags = nil }, ">No.<"},
		"saturated": {func(r *Training) {
			for _, m := range r.Metrics[500:] {
				m.Values[8].Value = 0.8
			}
		}, "80 % of the pairs are saturated at the end"},
		"both worse": {func(r *Training) {
			for _, m := range r.Metrics[500:] {
				m.Values[1].Value, m.Values[2].Value = -1, -2
			}
		}, "worse than the reference at the chosen pictures, too"},
	} {
		run := sampleTraining(t, "text")
		c.change(run)
		if page := writeTraining(t, run); !strings.Contains(page, c.want) {
			t.Errorf("%s: %q is missing", name, c.want)
		}
	}
}

func TestTraining_littleToSay(t *testing.T) {
	page := writeTraining(t, &Training{Title: "winnow quickstart"})
	if !strings.Contains(page, "winnow quickstart") || strings.Contains(page, "<svg") || strings.Contains(page, "NaN") {
		t.Errorf("empty run: %s", page)
	}
	bad := &Training{Previews: []Preview{{Prompt: "a cat", Before: []byte("no picture")}}}
	if err := bad.WriteHTML(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), `before training of "a cat"`) {
		t.Errorf("a broken preview: %v", err)
	}
}

func TestSignificant(t *testing.T) {
	for v, want := range map[float64]string{0.69314718: "0.6931", 2e-4: "0.0002", 123456: "123500", 40.123: "40.12", 0: "0", -1.5: "-1.5", math.Inf(1): "–", 1e-6: "1e-06"} {
		if got := significant(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

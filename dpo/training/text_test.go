package training

import (
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/diffusion"
	"winnow/dpo"
	"winnow/internal/monitor"
)

// reader opens a trainer of text encoders and denoiser whose factors are far from those of a fresh run.
func reader(t *testing.T, dir, method string) *Trainer {
	t.Helper()
	m, err := dpo.FindMethod(method)
	if err != nil {
		t.Fatal(err)
	}
	c := methodConfig(m)
	c.Rank, c.Seed, c.Steps, c.MaxGradNorm, c.Targets = 2, 3, 10, -1, []string{"attn2.to_v"}
	c.TrainText, c.TextTargets = true, []string{"q_proj", "v_proj"}
	if dir != Mini {
		c.Size = Size{32, 32}
	}
	tr := openModel(t, dir, c)
	scatter(tr, 0.2)
	return tr
}

func scatter(tr *Trainer, by float64) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range tr.params {
		for i := range p.Value {
			p.Value[i] = float32(by * r.NormFloat64())
		}
	}
}

// part is a direction among the factors of one network; of none if the network has none.
func part(tr *Trainer, network string, all []float32) []float32 {
	out, at := make([]float32, len(all)), 0
	for _, p := range tr.params {
		if tr.network[p.Name] == network {
			copy(out[at:], all[at:at+len(p.Value)])
		}
		at += len(p.Value)
	}
	return out
}

// The derivative with respect to the factors of every text encoder is that of the loss.
func TestText_differences(t *testing.T) {
	for _, tt := range []struct {
		dir, method string
		networks    []string
	}{
		{Mini, "dpo", []string{"text_encoder"}},
		{Mini, "chats", []string{"text_encoder"}},
		{Mini, "tailorpo", []string{"text_encoder"}},
		{tiny("sdxl"), "dpo", []string{"text_encoder", "text_encoder_2"}},
		{tiny("sdxl"), "tailorpo", []string{"text_encoder", "text_encoder_2"}},
	} {
		t.Run(filepath.Base(tt.dir)+"/"+tt.method, func(t *testing.T) {
			tr := reader(t, tt.dir, tt.method)
			all := madeUp(tr, 3)
			all[2].prompt = all[0].prompt // two rows of one prompt
			s := batchOf(t, tr, all)
			grad, _ := gradientOf(t, tr, s)
			for _, network := range tt.networks {
				along := part(tr, network, grad)
				length := math.Sqrt(dot(along, along))
				if length < 1e-6 {
					t.Fatalf("%s: the derivative is %g long", network, length)
				}
				// What float32 rounds the loss by is little against a step of 0.04 along the gradient; Richardson's extrapolation takes out the
				// third order.
				difference := func(h float64) float64 {
					return (lossAt(t, tr, s, along, h/length) - lossAt(t, tr, s, along, -h/length)) / (2 * h)
				}
				got := (4*difference(0.04) - difference(0.08)) / 3
				t.Logf("%s: derivative %v, differences off by %.1e of it", network, length, math.Abs(got/length-1))
				if math.Abs(got-length) > 1e-3*length {
					t.Errorf("%s: along the gradient the derivative is %v, differences say %v", network, length, got)
				}
			}
		})
	}
}

// An export that takes one timestep gives the same derivatives with respect to text encoders, group by group.
func TestText_groups(t *testing.T) {
	tr := reader(t, tiny("sd2"), "dpo")
	s := batchOf(t, tr, madeUp(tr, 3))
	joint, _ := gradientOf(t, tr, s)
	if tr.oneTimestep {
		t.Fatal("the export takes one timestep only")
	}
	tr.oneTimestep = true
	split, _ := gradientOf(t, tr, s)
	text := part(tr, "text_encoder", joint)
	if d := apart(part(tr, "text_encoder", split), text); d > 1e-5 || dot(text, text) == 0 {
		t.Errorf("the derivative is off by %.1e", d)
	}
}

// Factors B of zero leave prompts as the frozen encoders read them, so that the run begins where one without text adapters begins;
// and the reference reads by the frozen encoders, however far the adapters are.
func TestText_beginsFrozen(t *testing.T) {
	for _, dir := range []string{Mini, tiny("sdxl")} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			tr := reader(t, dir, "dpo")
			c := tr.config
			c.TrainText = false
			plain := openModel(t, dir, c)
			for _, p := range plain.params {
				copy(p.Value, tr.byName[p.Name].Value)
			}
			all := madeUp(tr, 2)
			far, want := batchOf(t, tr, all), batchOf(t, plain, all)
			a, errA := tr.reference(t.Context(), far)
			b, errB := plain.reference(t.Context(), want)
			if errA != nil || errB != nil || !slices.Equal(a, b) {
				t.Errorf("reference %v where a run without text adapters has %v; %v, %v", a, b, errA, errB)
			}
			for _, p := range tr.params {
				if tr.network[p.Name] != "unet" && strings.HasSuffix(p.Name, ".lora_B.weight") {
					clear(p.Value)
				}
			}
			got, one := gradientOf(t, tr, batchOf(t, tr, all))
			frozen, two := gradientOf(t, plain, want)
			if one != two {
				t.Errorf("metrics %+v, of a run without text adapters %+v", one, two)
			}
			if !slices.Equal(got[:len(frozen)], frozen) {
				t.Errorf("derivatives of the denoiser's factors are off by %.1e", apart(got[:len(frozen)], frozen))
			}
		})
	}
}

// Each side of CHATS reads by its own adapter, and zeros teach nothing.
func TestText_sides(t *testing.T) {
	tr := reader(t, Mini, "chats")
	all := madeUp(tr, 2)
	for _, null := range []bool{false, true} {
		d := newDenoising(tr, tr.size, len(all))
		var prompts []string
		for _, one := range all {
			if err := d.put(tr, one, []int{500}, [][]float32{make([]float32, len(one.chosen))}); err != nil {
				t.Fatal(err)
			}
			prompts = append(prompts, one.prompt)
		}
		s, err := d.finish(t.Context(), tr, tr.size, prompts, null)
		if err != nil {
			t.Fatal(err)
		}
		gradientOf(t, tr, s)
		for _, p := range tr.params {
			if tr.network[p.Name] != "text_encoder" {
				continue
			}
			learnt := dot(p.Grad, p.Grad) != 0
			if want := !null || strings.HasPrefix(p.Name, "lora.chosen_"); learnt != want {
				t.Errorf("null %v: %s has a derivative: %v", null, p.Name, learnt)
			}
		}
	}
}

// Text adapters start as PEFT starts them: A is drawn, B is zero, and those of two encoders are not the same.
func TestText_init(t *testing.T) {
	tr := openModel(t, tiny("sdxl"), Config{Method: "sft", TrainText: true, Size: Size{32, 32}})
	seen, same := map[string]int{}, 0
	for _, p := range tr.params {
		seen[tr.network[p.Name]]++
		if zero := dot(p.Value, p.Value) == 0; zero != strings.HasSuffix(p.Name, ".lora_B.weight") {
			t.Errorf("%s is zero: %v", p.Name, zero)
		}
		if !strings.HasSuffix(p.Name, ".lora_A.weight") || tr.network[p.Name] != "text_encoder" {
			continue
		}
		_, module, _ := strings.Cut(p.Name, "encoder.layers.")
		for name, other := range tr.byName {
			if tr.network[name] == "text_encoder_2" && strings.HasSuffix(name, "encoder.layers."+module) {
				same++
				if n := min(len(p.Value), len(other.Value)); slices.Equal(p.Value[:n], other.Value[:n]) {
					t.Errorf("%s of both text encoders are the same", p.Name)
				}
			}
		}
	}
	if len(seen) != 3 || same == 0 || seen["text_encoder"] == 0 || seen["text_encoder_2"] == 0 {
		t.Errorf("factors of networks: %v", seen)
	}
	if _, err := Open(t.Context(), Mini, tr.cache, Config{Method: "sft", TrainText: true, TextTargets: []string{"to_q"}}); err == nil || !strings.Contains(err.Error(), "text-encoder-target-modules") {
		t.Errorf("a target that text encoders have not got: %v", err)
	}
}

// A run that goes on from a checkpoint ends as one that was not stopped, to the byte; its files hold all networks, and generation with
// them gives the previews of the run.
func TestText_files(t *testing.T) {
	c := Config{
		Method: "sft", TrainText: true, BatchSize: 2, Steps: 4, Rank: 2, LearningRate: 5e-3, Seed: 4, Size: Size{32, 32},
		Dropout: 0.3, EMA: 0, Mode: true,
	}
	dir := tiny("sdxl")
	files := func(tr *Trainer) (out []string, folder string) {
		folder = t.TempDir()
		paths, err := tr.WriteAdapters(folder, "name")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(data))
		}
		return out, folder
	}
	steps := func(tr *Trainer, n int) {
		for range n {
			if _, err := tr.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	pairs := writePairs(t, 6)
	one := begun(t, dir, pairs, c)
	steps(one, 2)
	output := t.TempDir()
	if _, err := one.save(output, monitor.GuardState{}); err != nil {
		t.Fatal(err)
	}
	steps(one, 2)
	two := begun(t, dir, pairs, c)
	if err := two.Resume(output, "latest"); err != nil {
		t.Fatal(err)
	}
	steps(two, 2)
	whole, _ := files(one)
	if resumed, _ := files(two); !slices.Equal(whole, resumed) {
		t.Error("a resumed run wrote other files")
	}
	scatter(one, 0.3) // far enough for pictures to show it
	_, folder := files(one)
	const prompt = "a big red circle"
	base, err := one.Pictures(t.Context(), []Picture{{prompt, 7}}, 3, 3, true)
	if err != nil {
		t.Fatal(err)
	}
	own, err := one.Pictures(t.Context(), []Picture{{prompt, 7}}, 3, 3, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"name.safetensors", "pytorch_lora_weights.safetensors"} {
		p, err := diffusion.Open(t.Context(), dir, &diffusion.Options{LoRA: []diffusion.LoRA{{File: filepath.Join(folder, name)}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Generate(t.Context(), diffusion.Request{Prompts: []string{prompt}, Steps: 3, GuidanceScale: 3, Height: 32, Width: 32, Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		if d := farthest(got[0].NRGBA, own[0].(*image.NRGBA)); d > 1 {
			t.Errorf("%s: a channel is off by %d/255 of the run's own picture", name, d)
		}
		if d := farthest(got[0].NRGBA, base[0].(*image.NRGBA)); d < 4 {
			t.Errorf("%s: the adapters do not show", name)
		}
		for _, network := range []string{"unet", "te1", "te2"} { // as kohya's scripts and diffusers name them
			if name == "name.safetensors" && !strings.Contains(whole[0], "lora_"+network+"_") {
				t.Errorf("%s has nothing for %s", name, network)
			}
		}
		for _, key := range []string{"text_encoder.text_model.encoder.layers.0.", "text_encoder_2.text_model.encoder.layers.0.", "unet."} {
			if name != "name.safetensors" && !strings.Contains(whole[1], `"`+key) {
				t.Errorf("%s has no %s", name, key)
			}
		}
		if n := p.Adapters()[0].Modules; n != one.Modules() {
			t.Errorf("%s has %d modules, the run %d", name, n, one.Modules())
		}
		_ = p.Close()
	}
}

func farthest(a, b *image.NRGBA) int {
	most := 0
	for i, v := range a.Pix {
		most = max(most, int(v)-int(b.Pix[i]), int(b.Pix[i])-int(v))
	}
	return most
}

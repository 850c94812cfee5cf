package evaluation

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"winnow/datasets"
)

func flat(c color.NRGBA) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, 40, 30))
	for i := range 40 * 30 {
		img.SetNRGBA(i%40, i/40, c)
	}
	return img
}

func TestNewLook(t *testing.T) {
	red := NewLook(flat(color.NRGBA{200, 0, 0, 255}))
	if math.Abs(red.Brightness-0.299*200/255) > 1e-9 || red.Saturation != 1 || red.Contrast > 1e-6 || red.Sharpness != 0 {
		t.Errorf("%+v", red)
	}
	black := NewLook(flat(color.NRGBA{0, 0, 0, 255}))
	if black.Saturation != 0 || black.Brightness != 0 || !black.alike(red) {
		t.Errorf("%+v", black)
	}
	board := func(cell int) image.Image {
		img := image.NewGray(image.Rect(0, 0, 64, 64))
		for i := range 64 * 64 {
			if (i%64/cell+i/64/cell)%2 == 0 {
				img.SetGray(i%64, i/64, color.Gray{255})
			}
		}
		return img
	}
	fine, coarse := NewLook(board(4)), NewLook(board(16))
	if math.Abs(fine.Contrast-0.5) > 1e-9 || math.Abs(coarse.Contrast-0.5) > 1e-9 || fine.Sharpness < 3*coarse.Sharpness || fine.alike(coarse) {
		t.Errorf("%+v, %+v", fine, coarse)
	}
	if one := NewLook(image.NewNRGBA(image.Rect(0, 0, 1, 1))); math.IsNaN(one.Sharpness) || math.IsNaN(one.Contrast) {
		t.Errorf("one pixel: %+v", one)
	}
}

// titles of the flags of a set of pairs whose people choose at random. value gives the scores of the two pictures, which have
// saturations 0.2 and 0.8 in changing order.
func titles(t *testing.T, value func(r *rand.Rand, more, human bool) float64) []string {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	set, looks := NewSet("jsonl"), map[int][]Look{}
	c := set.AddScorer("s")
	for i := range 300 {
		first := r.IntN(2) == 0
		rec := &datasets.Record{Kind: datasets.KindPair, Prompt: fmt.Sprint(i), Label: float64(r.IntN(2)), Images: make([]datasets.Image, 2)}
		at := set.Add(rec)
		saturation := [2]float64{0.2, 0.8}
		if first {
			saturation = [2]float64{0.8, 0.2}
		}
		looks[at] = []Look{{Saturation: saturation[0]}, {Saturation: saturation[1]}}
		c.Score(at, []float64{value(r, first, rec.Label == 1), value(r, !first, rec.Label == 0)})
	}
	var out []string
	for _, f := range set.Flags(looks) {
		out = append(out, f.Title)
	}
	return out
}

func TestSet_Flags(t *testing.T) {
	bonus := func(b bool, by float64) float64 {
		if b {
			return by
		}
		return 0
	}
	for name, tt := range map[string]struct {
		value func(r *rand.Rand, more, human bool) float64
		want  string
	}{
		"likes saturation": {func(r *rand.Rand, more, _ bool) float64 { return r.NormFloat64() + bonus(more, 1) }, "s prefers more saturated pictures"},
		"shuns it":         {func(r *rand.Rand, more, _ bool) float64 { return r.NormFloat64() - bonus(more, 1) }, "s shuns more saturated pictures"},
		"honest":           {func(r *rand.Rand, _, human bool) float64 { return r.NormFloat64() + bonus(human, 1) }, ""},
		"contrary":         {func(r *rand.Rand, _, human bool) float64 { return r.NormFloat64() - bonus(human, 1) }, "s does worse than chance"},
		"wild": {func(r *rand.Rand, _, human bool) float64 {
			return r.NormFloat64() + bonus(human, 1) + bonus(r.IntN(200) == 0, 1000)
		}, "out of all proportion"},
	} {
		got := titles(t, tt.value)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	if flags := NewSet("jsonl").Flags(nil); flags != nil {
		t.Errorf("an empty set has %v", flags)
	}
}

func TestWinRateFlags(t *testing.T) {
	contest := func(scorer string, wins int) WinRate {
		var c []Contest
		for i := range 100 {
			a := 0.0
			if i < wins {
				a = 2
			}
			c = append(c, Contest{Prompt: fmt.Sprint(i), A: []float64{a}, B: []float64{1}})
		}
		return NewWinRate(scorer, c)
	}
	r := rand.New(rand.NewPCG(3, 3))
	looks := func(saturation float64, same bool) [][]Look {
		out := make([][]Look, 100)
		for i := range out {
			l := Look{Saturation: saturation + r.Float64()/10, Brightness: r.Float64(), Contrast: r.Float64(), Sharpness: r.Float64()}
			if !same {
				l.hash = [4]uint64{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()}
			}
			out[i] = []Look{l}
		}
		return out
	}
	join := func(flags []Flag) string {
		var out []string
		for _, f := range flags {
			out = append(out, f.Title)
		}
		return strings.Join(out, "; ")
	}
	if got := join(WinRateFlags([]WinRate{contest("x", 55), contest("y", 60)}, looks(0.2, false), looks(0.2, false))); got != "" {
		t.Errorf("honest models: %s", got)
	}
	got := join(WinRateFlags([]WinRate{contest("x", 90), contest("y", 20)}, looks(0.5, true), looks(0.2, false)))
	if got != "scorers contradict each other; A's pictures are more saturated; A draws the same picture for different prompts" {
		t.Errorf("%s", got)
	}
	if got := WinRateFlags(nil, nil, nil); got != nil {
		t.Errorf("nothing: %v", got)
	}
}

func TestScorer_Examples(t *testing.T) {
	set := NewSet("jsonl")
	c := set.AddScorer("s")
	for i, margin := range []float64{1, -5, 3, 2, -1, 4} {
		prompt := fmt.Sprint(i)
		if i == 5 {
			prompt = "2" // the surer pair of this prompt is shown
		}
		at := set.Add(&datasets.Record{Kind: datasets.KindPair, Prompt: prompt, Label: 1, Images: make([]datasets.Image, 2)})
		c.Score(at, []float64{margin, 0})
	}
	right, wrong := c.Examples(2)
	if len(right) != 2 || right[0].Record != 5 || right[1].Record != 3 || len(wrong) != 2 || wrong[0].Record != 1 || wrong[1].Record != 4 {
		t.Errorf("%+v, %+v", right, wrong)
	}
}

// A scorer whose margins are log-odds has a temperature of 1, and a small calibration error.
func TestCalibration(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	set := NewSet("jsonl")
	c := set.AddScorer("s")
	for i := range 4000 {
		margin := r.NormFloat64() * 2
		label := 0.0
		if r.Float64() < 1/(1+math.Exp(-margin)) {
			label = 1
		}
		at := set.Add(&datasets.Record{Kind: datasets.KindPair, Prompt: fmt.Sprint(i), Label: label, Images: make([]datasets.Image, 2)})
		c.Score(at, []float64{margin, 0})
	}
	got := c.Result(math.NaN()).Calibration
	if got == nil || math.Abs(float64(got.Temperature)-1) > 0.1 || got.ECE > 0.03 || got.Pairs != 4000 || len(got.Curve) != curveBins {
		t.Errorf("%+v", got)
	}
}

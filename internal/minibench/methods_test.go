package minibench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const smallProtocol = `unet-evaluations: 100
probe-updates: 1
seeds: [1, 2]
steps: 2
guidance-scales: [1]
training-prompts: 4
validation-prompts: 2
heldout-prompts: 2
reward: mini
make: {num-images: 2}
label: {pairs: all}
train: {rank: 2, learning-rate: 1e-3}
trials: 2
methods:
  - {name: dpo, method: dpo, set: {beta-dpo: 400}, trials: [{rank: 4}, {beta-dpo: 800}]}
  - {name: ipo, method: dpo, data: groups, set: {loss: ipo}, trials: [{}, {learning-rate: 2e-3}]}
orders:
  - {paper: "Somebody, 2024", by: PickScore, order: [base, dpo, ipo]}
`

func TestReadProtocol(t *testing.T) {
	p, err := ReadProtocol([]byte(smallProtocol))
	if err != nil {
		t.Fatal(err)
	}
	text := func(s yaml.MapSlice) string {
		var out []string
		for _, i := range s {
			out = append(out, fmt.Sprintf("%v=%v", i.Key, i.Value))
		}
		return strings.Join(out, " ")
	}
	// A trial goes before its method, and a method before what all share.
	if got := text(p.Settings(p.Methods[0], 0)); got != "rank=4 learning-rate=1e-3 beta-dpo=400" {
		t.Error(got)
	}
	if got := text(p.Settings(p.Methods[0], 1)); got != "rank=2 learning-rate=1e-3 beta-dpo=800" {
		t.Error(got)
	}
	for change, want := range map[[2]string]string{
		{"trials: 2", "trials: 3"}:                        "there are 2, want 3 as for every method",
		{"seeds: [1, 2]", "seeds: [0, 1]"}:                "0 is that of the search",
		{"[base, dpo, ipo]", "[base, kto]"}:               "kto is no method of this protocol",
		{"[base, dpo, ipo]", "[dpo]"}:                     "want at least two",
		{"[base, dpo, ipo]", "[dpo, ipo, dpo]"}:           "dpo comes twice",
		{"by: PickScore, ", ""}:                           "by what it compares",
		{"name: ipo", "name: dpo"}:                        "comes twice",
		{"name: ipo", "name: ../x"}:                       "want small letters",
		{"data: groups", "data: films"}:                   "want pairs or groups",
		{"steps: 2", "steps: 0"}:                          "steps: want at least 1",
		{"unet-evaluations: 100", "unet-evaluation: 100"}: "unet-evaluation",
	} {
		if _, err := ReadProtocol([]byte(strings.Replace(smallProtocol, change[0], change[1], 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", change, err)
		}
	}
}

// The protocol that is shipped compares at least twenty methods.
func TestReadProtocol_shipped(t *testing.T) {
	data, err := os.ReadFile("../../assets/mini/methods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadProtocol(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Methods) < 20 || len(p.Seeds) < 3 || p.HeldOut < 300 {
		t.Errorf("%d methods, %d seeds, %d prompts", len(p.Methods), len(p.Seeds), p.HeldOut)
	}
}

// contender has runs whose scores lie shift above those of the base, with some noise.
func contender(name string, shift float64) Contender {
	c := Contender{ProtocolMethod: ProtocolMethod{Name: name}}
	for seed := range uint64(3) {
		base, own := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, uint64(len(name))))
		s := Scores{}
		for range 200 {
			v := base.NormFloat64() + shift + 0.1*own.NormFloat64()
			s["score"], s["reward"], s["strict"] = append(s["score"], v), append(s["reward"], 2*v), append(s["strict"], math.Round(v))
		}
		s["strict.single"] = s["strict"][:50]
		c.Runs = append(c.Runs, MethodRun{Updates: 10 * int(seed+1), Evaluations: 100, Seconds: 3, Memory: float64(seed), Scores: map[string]Scores{"1": s}})
	}
	return c
}

func TestCompareMethods(t *testing.T) {
	reports := CompareMethods([]Contender{
		contender(BaseName, 0), contender(DPOName, .5), contender("better", .8), contender("worse", .2),
	}, []float64{1})
	by := map[string]MethodReport{}
	for _, r := range reports {
		by[r.Name] = r
	}
	if b := by[BaseName]; b.OverBase != nil || b.OverDPO != nil || b.Prompts != 200 || b.Seeds != 3 {
		t.Errorf("%+v", b)
	}
	if d := by[DPOName]; d.OverDPO != nil || math.Abs(d.OverBase["score"].Mean-.5) > .02 || math.Abs(d.OverBase["reward"].Mean-1) > .04 || d.WinsBase["score"].Mean < .95 {
		t.Errorf("%+v", d)
	}
	r := by["better"]
	if math.Abs(r.OverDPO["score"].Mean-.3) > .03 || r.OverDPO["score"].Low <= 0 || r.WinsDPO["reward"].Mean < .9 || r.Updates != 20 || r.Memory != 2 || r.Seconds != 3 {
		t.Errorf("%+v", r)
	}
	if kinds := r.Kinds(); !slices.Equal(kinds, []string{"single"}) {
		t.Error(kinds)
	}
	if m := r.OverBase["score"].Mean; math.Abs(by["better"].Figures["score"].Mean-by[BaseName].Figures["score"].Mean-m) > 1e-9 {
		t.Error("differences are not those of the means")
	}
	run := contender("x", 1).Runs[0]
	if got := run.MeanOf(1, "reward"); math.IsNaN(got) || !math.IsNaN(run.MeanOf(3, "reward")) {
		t.Errorf("%v", got)
	}
}

// Every pair of an order has a verdict by its interval; what did not take part is left out.
func TestCompareOrders(t *testing.T) {
	contenders := []Contender{contender(BaseName, 0), contender(DPOName, .5), contender("better", .8), contender("worse", .2), contender("as good", .5)}
	orders := []Order{
		{"a", "people", []string{BaseName, DPOName, "missing", "better"}},
		{"b", "PickScore", []string{DPOName, "worse", "as good"}},
		{"c", "PickScore", []string{"missing", DPOName}},
	}
	got := CompareOrders(contenders, orders, []float64{1}, "score")
	if len(got) != 2 || len(orders[0].Names) != 4 {
		t.Fatalf("%+v", got)
	}
	if a := got[0]; len(a.With(Found)) != 3 || a.With(Contrary) != nil || !slices.Equal(a.Here, []string{BaseName, DPOName, "better"}) || a.Guidance != 1 {
		t.Errorf("%+v", a)
	}
	b := got[1]
	if !slices.Equal(b.With(Found), []string{"as good > worse"}) || !slices.Equal(b.With(Contrary), []string{"worse > dpo"}) || !slices.Equal(b.With(Open), []string{"as good > dpo"}) {
		t.Errorf("%+v", b)
	}
	if b.Here[0] != "worse" || math.Abs(b.Claims[0].Difference.Mean+.3) > .03 {
		t.Errorf("%+v", b)
	}
}

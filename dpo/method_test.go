package dpo

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMethods(t *testing.T) {
	names := map[string]bool{}
	for _, m := range Methods() {
		if names[m.Name] {
			t.Errorf("two methods %q", m.Name)
		}
		names[m.Name] = true
		if m.Title == "" || m.Equation == "" || m.Source == "" || !regexp.MustCompile(`(arXiv \d{4}\.\d{5}|OpenReview \w{10})$`).MatchString(m.Paper) {
			t.Errorf("%s: incomplete: %+v", m.Name, m)
		}
		if (m.Beta == 0) != (m.BetaUnit == "") {
			t.Errorf("%s: beta %g has the unit %q", m.Name, m.Beta, m.BetaUnit)
		}
		if len(m.Adapters) == 0 || !slices.Contains([]string{KindPairs, KindInversion, KindSelf, KindSiblings, KindPaths}, m.Kind) ||
			!slices.Contains([]string{LabelsHard, LabelsSoft}, m.Labels) {
			t.Errorf("%s: adapters %q, kind %q, labels %q", m.Name, m.Adapters, m.Kind, m.Labels)
		}
		found, err := FindMethod(m.Name)
		if err != nil || found.Title != m.Title {
			t.Errorf("%s is not found: %v", m.Name, err)
		}
		// What a method says that it needs is what moves its loss.
		o, err := m.New(Settings{})
		if err != nil {
			t.Fatal(err)
		}
		terms := pairTerms(.10, .12, .101, .1205, .8)
		terms.Advantage = -1 // of clipped ratios, the side that keeps its slope
		moves := func(change func(*Terms)) bool {
			moved := terms
			change(&moved)
			row, other := make([]Terms, max(m.Draws, 1)), make([]Terms, max(m.Draws, 1))
			for i := range row {
				row[i], other[i] = terms, moved
			}
			grad := make([]Grad, len(row))
			return o.Evaluate(row, grad) != o.Evaluate(other, grad)
		}
		for _, row := range []struct {
			what       string
			got, wants bool
		}{
			{"policy", moves(func(t *Terms) { t.PolicyChosen += .01 }), true},
			{"reference", moves(func(t *Terms) { t.RefChosen += .01 }), m.Reference && m.Name != "pmpo" || !m.Rejected && m.Clip > 0}, // for those, of the policy that drew the step; pmpo looks at drifts only
			{"rejected picture", moves(func(t *Terms) { t.PolicyRejected += .01 }), m.Rejected},
			{"label", moves(func(t *Terms) { t.Label = .6 }), m.UsesLabels("")},
		} {
			if row.got != row.wants {
				t.Errorf("%s: looks at the %s: %t, says %t", m.Name, row.what, row.got, row.wants)
			}
		}
	}
	for _, name := range []string{"dpo", "chats", "tailorpo", "spo", "smpo", "vrpo", "mapo", "sft", "ncp", "ncp-sft", "d3po", "ddpo", "flow-grpo", "ncp", "ncp-sft"} {
		if !names[name] {
			t.Errorf("no method %s", name)
		}
	}
	if _, err := FindMethod("ppo"); err == nil || !strings.Contains(err.Error(), "dpo, chats") {
		t.Errorf("unknown method: %v", err)
	}
	dpo, smpo := methodDPO(), methodSmPO()
	if dpo.UsesLabels("") || dpo.UsesLabels("ipo") || !dpo.UsesLabels("soft") || !smpo.UsesLabels("") || methodCHATS().UsesLabels("soft") {
		t.Error("UsesLabels is wrong")
	}
}

func TestMethod_defaults(t *testing.T) {
	for name, want := range map[string]Objective{
		"chats": CHATS{Beta: 1000}, "smpo": SmPO{Beta: 2000, Gamma: 10}, "sft": SFT{}, "ncp-sft": SFT{},
	} {
		m, _ := FindMethod(name)
		if got, err := m.New(Settings{}); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	got, _ := methodVRPO().New(Settings{Draws: 1})
	if o, ok := got.(DiffusionDPO); !ok || o.Beta != 5000 {
		t.Errorf("vrpo of one draw is %+v", got)
	}
	got, _ = methodVRPO().New(Settings{})
	if o, ok := got.(VRPO); !ok || o.Draws != 8 {
		t.Errorf("vrpo is %+v", got)
	}
	got, _ = methodCHATS().New(Settings{Draws: 3})
	if o, ok := got.(VRPO); !ok || o.Draws != 3 || o.Objective != (CHATS{Beta: 1000}) {
		t.Errorf("chats of three draws is %+v", got)
	}
}

// Errors name the flag and what would be right.
func TestMethod_refused(t *testing.T) {
	for _, row := range []struct {
		method   string
		settings Settings
		want     []string
	}{
		{"spo", Settings{Clip: 1}, []string{"--clip-range 1", "below 1", "0.1"}},
		{"spo", Settings{Clip: -1}, []string{"--clip-range -1", "above 0"}},
		{"dpo", Settings{Clip: .1}, []string{"--clip-range", "dpo has no clip range"}},
		{"ddpo", Settings{KL: .1}, []string{"--kl-weight 0.1", "ddpo has no divergence"}},
		{"flow-grpo", Settings{KL: -1}, []string{"--kl-weight -1", "0, for none"}},
		{"flow-grpo", Settings{KL: math.NaN()}, []string{"--kl-weight"}},
		{"ddpo", Settings{SFTWeight: 1}, []string{"--sft-weight", "compares no pictures"}},
		{"ncp", Settings{SDPO: .5}, []string{"--sdpo-mu", "ncp", "features"}},
		{"ncp-sft", Settings{Beta: 5}, []string{"--beta-dpo", "ncp-sft has no beta"}},
		{"dpo", Settings{Beta: -1}, []string{"--beta-dpo -1", "above 0", "5000"}},
		{"dpo", Settings{Beta: math.NaN()}, []string{"--beta-dpo"}},
		{"dpo", Settings{Beta: math.Inf(1)}, []string{"--beta-dpo"}},
		{"dpo", Settings{Beta: 2e9}, []string{"--beta-dpo 2e+09", "at most 1e+09"}},
		{"sft", Settings{Beta: 10}, []string{"--beta-dpo", "sft has no beta", "leave the flag out"}},
		{"dpo", Settings{Gamma: 10}, []string{"--gamma", "dpo has no gamma"}},
		{"smpo", Settings{Gamma: -3}, []string{"--gamma -3"}},
		{"dpo", Settings{Loss: "tpo"}, []string{"--loss tpo", "sigmoid, hinge, ipo, cdpo, robust, soft"}},
		{"chats", Settings{Loss: "ipo"}, []string{"--loss ipo", "chats", "leave the flag out"}},
		{"chats", Settings{LabelSmoothing: .1}, []string{"--label-smoothing", "chats"}},
		{"dpo", Settings{LabelSmoothing: .1}, []string{"--label-smoothing", "sigmoid", "cdpo, robust"}},
		{"dpo", Settings{Loss: "robust", LabelSmoothing: .5}, []string{"--label-smoothing 0.5", "below 0.5"}},
		{"dpo", Settings{Loss: "cdpo", LabelSmoothing: -.1}, []string{"--label-smoothing -0.1"}},
		{"tailorpo", Settings{Loss: "cdpo", LabelSmoothing: math.NaN()}, []string{"--label-smoothing"}},
		{"dpo", Settings{LossOptions: map[string]float64{"tau": 1}}, []string{"--loss-option tau", "sigmoid has no options"}},
		{"chats", Settings{LossOptions: map[string]float64{"tau": 1}}, []string{"--loss-option", "chats"}},
		{"dpo", Settings{SFTWeight: -1}, []string{"--sft-weight -1", "above 0"}},
		{"dpo", Settings{SFTWeight: math.NaN()}, []string{"--sft-weight"}},
		{"sft", Settings{SFTWeight: 1}, []string{"--sft-weight", "compares no pictures"}},
		{"dpo", Settings{Draws: -2}, []string{"--draws -2"}},
		{"tailorpo", Settings{Draws: 4}, []string{"--draws 4", "tailorpo"}},
	} {
		m, err := FindMethod(row.method)
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.New(row.settings)
		if err == nil {
			t.Errorf("%s takes %+v", row.method, row.settings)
			continue
		}
		for _, want := range row.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %+v: %q does not say %q", row.method, row.settings, err, want)
			}
		}
	}
	if _, err := FindLoss("dpo"); err == nil || !strings.Contains(err.Error(), "--loss") {
		t.Errorf("unknown loss: %v", err)
	}
}

// What implicit rewards are multiplied by is twice the slope of the sigmoid loss where policy and reference agree.
func TestMethod_RewardScale(t *testing.T) {
	for _, m := range Methods() {
		if !m.Reference || m.Beta == 0 {
			if got, err := m.RewardScale(Settings{}); got != 0 || err != nil {
				t.Errorf("%s: %g, %v", m.Name, got, err)
			}
			continue
		}
		if want, ok := map[string]float64{"kto": 3, "dspo": 1.5, "pmpo": 1.5}[m.Name]; ok { // other losses than the sigmoid one
			if got, err := m.RewardScale(Settings{Beta: 3}); got != want || err != nil {
				t.Errorf("%s: %g, %v; want %g", m.Name, got, err, want)
			}
			continue
		}
		for _, s := range []Settings{{Draws: min(m.Draws, 1)}, {Draws: min(m.Draws, 1), Beta: 3}} {
			o, err := m.New(s)
			if err != nil {
				t.Fatal(err)
			}
			_, g := one(o, Terms{Label: 1})
			if got, err := m.RewardScale(s); err != nil || !near(got, 2*g.Chosen, 1e-12, got) {
				t.Errorf("%s: %g, %v; want %g", m.Name, got, err, 2*g.Chosen)
			}
		}
	}
	dpo := methodDPO()
	for _, row := range []struct {
		s    Settings
		want float64
	}{
		{Settings{Loss: "hinge", SFTWeight: 10}, 2500}, {Settings{Loss: "apo-down"}, 2500}, {Settings{Loss: "orpo"}, 0}, {Settings{Loss: "kto", Beta: 8}, 4},
	} {
		if got, err := dpo.RewardScale(row.s); err != nil || got != row.want {
			t.Errorf("%+v: %g, %v; want %g", row.s, got, err, row.want)
		}
	}
	for _, s := range []Settings{{Loss: "tpo"}, {Beta: -1}} {
		if _, err := dpo.RewardScale(s); err == nil {
			t.Errorf("%+v has a scale", s)
		}
	}
	// Losses with likelihoods have a scale of their own, in the unit of the method.
	for loss, want := range map[string]float64{"asft": .3 - math.Log(1-math.Exp(-.7)), "cpo": .3 + math.Log1p(math.Exp(-100))} {
		o, err := dpo.New(Settings{Loss: loss})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := one(o, pairTerms(.3, .7, 0, 0, 1)); !near(got, want, 1e-15, 1) {
			t.Errorf("%s: %g, want %g", loss, got, want)
		}
	}
	if slices.Contains(methodTailorPO().Losses, "simpo") || slices.Contains(methodTailorPO().Losses, "mappo") || !slices.Contains(methodTailorPO().Losses, "kto") {
		t.Errorf("tailorpo takes %q", methodTailorPO().Losses)
	}
}

// A divergence is what Flow-GRPO has a reference for.
func TestMethod_With(t *testing.T) {
	for weight, want := range map[float64]bool{0: false, .1: true} {
		if m := methodFlowGRPO().With(Settings{KL: weight}); m.Reference != want || m.Drift != want {
			t.Errorf("KL weight %g: reference %t, drift %t", weight, m.Reference, m.Drift)
		}
	}
	if m := methodDPO().With(Settings{}); !m.Reference || m.Drift {
		t.Errorf("dpo: reference %t, drift %t", m.Reference, m.Drift)
	}
}

package dpo

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
)

// goldenSettings is what the rows of testdata/objectives.json share.
type goldenSettings struct {
	Method         string             `json:"method"`
	Beta           float64            `json:"beta"`
	Loss           string             `json:"loss"`
	LabelSmoothing float64            `json:"label_smoothing"`
	Gamma          float64            `json:"gamma"`
	Draws          int                `json:"draws"`
	Options        map[string]float64 `json:"options"`
	SFTWeight      float64            `json:"sft_weight"`
	State          []float64          `json:"state"`
	Value          float64            `json:"value"`

	// Of objectives that are no methods by name.
	Alpha       float64 `json:"alpha"`
	KL          float64 `json:"kl"`
	Mu          float64 `json:"mu"`
	Desirable   float64 `json:"desirable"`
	Undesirable float64 `json:"undesirable"`
	Against     string  `json:"against"`
}

func (g goldenSettings) objective(t *testing.T) Objective {
	t.Helper()
	switch g.Method {
	case "seppo":
		return SePPO{Beta: g.Beta}
	case "pmpo":
		return PMPO{Alpha: g.Alpha, KL: g.KL}
	case "dspo":
		return DSPO{Beta: g.Beta}
	case "sdpo":
		return SDPO{Objective: DiffusionDPO{Beta: g.Beta}, Mu: g.Mu}
	case "diffusion-kto":
		against := map[string]KTOAgainst{"batch": AgainstBatch, "others": AgainstOthers, "classes": AgainstClasses}
		return DiffusionKTO{Beta: g.Beta, KTO: KTO{Desirable: g.Desirable, Undesirable: g.Undesirable, Against: against[g.Against]}}
	}
	m, err := FindMethod(g.Method)
	if err != nil {
		t.Fatal(err)
	}
	o, err := m.New(Settings{
		Beta: g.Beta, Loss: g.Loss, LabelSmoothing: g.LabelSmoothing, Gamma: g.Gamma, Draws: g.Draws, LossOptions: g.Options, SFTWeight: g.SFTWeight,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Restore(o, g.State); err != nil {
		t.Fatal(err)
	}
	return o
}

func (g goldenSettings) String() string {
	return fmt.Sprintf("%s %s beta %g smoothing %g gamma %g draws %d options %v", g.Method, g.Loss, g.Beta, g.LabelSmoothing, g.Gamma, g.Draws, g.Options)
}

type goldens struct {
	Errors []struct {
		goldenSettings
		Terms [][]float64 `json:"terms"` // columns: see the script
		Grad  [][]float64 `json:"grad"`
	} `json:"errors"`
	Outputs []struct {
		goldenSettings
		Target [2][][]float32 `json:"target"` // chosen and rejected, then pairs
		Policy [2][][]float32 `json:"policy"`
		Ref    [2][][]float32 `json:"ref"`
		Label  []float64      `json:"label"`
		Grad   [2][][]float64 `json:"grad"`
	} `json:"outputs"`
	Steps []struct {
		goldenSettings
		Shared bool           `json:"shared"`
		Sigma  float64        `json:"sigma"`
		X      [2][][]float32 `json:"x"`
		Policy [][][]float32  `json:"policy"`
		Ref    [][][]float32  `json:"ref"`
		Grad   [][][]float64  `json:"grad"`
	} `json:"steps"`
}

// readGoldens reads what tests/oracle/objectives.py made with torch.autograd.
func readGoldens(t *testing.T) (g goldens) {
	t.Helper()
	raw, err := os.ReadFile("testdata/objectives.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// near reports whether got is want within a share of scale.
func near(got, want, share, scale float64) bool { return math.Abs(got-want) <= share*scale }

func goldenTerms(v []float64) Terms {
	t := pairTerms(v[0], v[1], v[2], v[3], v[4])
	if len(v) > 5 {
		t.DriftChosen, t.DriftRejected, t.ScoreChosen, t.ScoreRejected, t.Mismatched, t.Group = v[5], v[6], v[7], v[8], v[9], int(v[10])
	}
	return t
}

// The margin is the difference of errors of 0.1, known to 1e-17; beta 5000 leaves 1e-13 of a logit, and slopes move by
// as much of their own size.
func TestGolden_errors(t *testing.T) {
	seen, elsewhere := map[string]bool{}, ofOutputs()
	for _, row := range readGoldens(t).Errors {
		seen[row.Method+" "+row.Loss] = true
		terms := make([]Terms, len(row.Terms))
		for i, v := range row.Terms {
			terms[i] = goldenTerms(v)
		}
		before := slices.Clone(terms)
		grad := make([]Grad, len(terms))
		if got := row.objective(t).Evaluate(terms, grad); !near(got, row.Value, 1e-12, max(1, math.Abs(row.Value))) {
			t.Errorf("%v: loss %.17g, torch has %.17g", row, got, row.Value)
		}
		for i, g := range grad {
			for k, want := range row.Grad[i] {
				v := [4]float64{g.Chosen, g.Rejected, g.DriftChosen, g.DriftRejected}[k]
				if !near(v, want, 1e-12, max(row.Beta, 1, math.Abs(want))) {
					t.Errorf("%v, term %d: derivative %.17g, torch has %.17g", row, i, v, want)
				}
			}
		}
		if !slices.Equal(terms, before) {
			t.Errorf("%v: terms were changed", row)
		}
	}
	for _, m := range Methods() {
		if elsewhere[m.Name] {
			continue
		}
		if m.Clip > 0 { // of clamped ratios, see TestRatios_golden
			continue
		}
		if m.Features { // the objectives of other errors, see TestNCP
			continue
		}
		for _, loss := range append([]string{""}, m.Losses...) {
			if (loss == "") == (m.Losses == nil) && !seen[m.Name+" "+loss] {
				t.Errorf("no golden values for %s with loss %q", m.Name, loss)
			}
		}
	}
}

// The whole chain from outputs to cotangents, which are written in float32.
func TestGolden_outputs(t *testing.T) {
	for _, row := range readGoldens(t).Outputs {
		terms := make([]Terms, len(row.Label))
		for i, p := range row.Label {
			terms[i] = Terms{
				PolicyChosen: DenoisingError(row.Policy[0][i], row.Target[0][i]), PolicyRejected: DenoisingError(row.Policy[1][i], row.Target[1][i]),
				RefChosen: DenoisingError(row.Ref[0][i], row.Target[0][i]), RefRejected: DenoisingError(row.Ref[1][i], row.Target[1][i]), Label: p,
			}
		}
		for i := range terms {
			terms[i].DriftChosen, terms[i].DriftRejected = DenoisingError(row.Policy[0][i], row.Ref[0][i]), DenoisingError(row.Policy[1][i], row.Ref[1][i])
			terms[i].Dot = DenoisingDot(row.Policy[0][i], row.Target[0][i], row.Policy[1][i], row.Target[1][i])
		}
		grad := make([]Grad, len(terms))
		if got := row.objective(t).Evaluate(terms, grad); !near(got, row.Value, 1e-12, 1) {
			t.Errorf("%v: loss %.17g, torch has %.17g", row, got, row.Value)
		}
		dst, pull := make([]float32, len(row.Policy[0][0])), make([]float32, len(row.Policy[0][0]))
		for i, g := range grad {
			drift := [2]float64{g.DriftChosen, g.DriftRejected}
			for k, slope := range [2]float64{g.Chosen, g.Rejected} {
				DenoisingCotangent(dst, row.Policy[k][i], row.Target[k][i], slope)
				if drift[k] != 0 {
					DenoisingCotangent(pull, row.Policy[k][i], row.Ref[k][i], drift[k])
					for j, v := range pull {
						dst[j] += v
					}
					compareSum(t, fmt.Sprintf("%v, pair %d.%d", row, i, k), dst, pull, row.Grad[k][i])
					continue
				}
				compareSingle(t, fmt.Sprintf("%v, pair %d.%d", row, i, k), dst, row.Grad[k][i])
			}
		}
	}
}

func TestGolden_steps(t *testing.T) {
	for _, row := range readGoldens(t).Steps {
		last := len(row.Policy) - 1 // 0 where siblings share their mean
		terms := make([]Terms, len(row.X[0]))
		for i := range terms {
			terms[i] = Terms{
				PolicyChosen: StepError(row.X[0][i], row.Policy[0][i], row.Sigma), PolicyRejected: StepError(row.X[1][i], row.Policy[last][i], row.Sigma),
				RefChosen: StepError(row.X[0][i], row.Ref[0][i], row.Sigma), RefRejected: StepError(row.X[1][i], row.Ref[last][i], row.Sigma), Label: 1,
			}
			if siblings := SiblingTerms(row.X[0][i], row.X[1][i], row.Policy[0][i], row.Ref[0][i], row.Sigma); row.Shared && siblings != terms[i] {
				t.Errorf("siblings have %v, one by one %v", siblings, terms[i])
			}
		}
		grad := make([]Grad, len(terms))
		if got := row.objective(t).Evaluate(terms, grad); !near(got, row.Value, 1e-12, 1) {
			t.Errorf("%v: loss %.17g, torch has %.17g", row, got, row.Value)
		}
		dst := make([]float32, len(row.X[0][0]))
		for i, g := range grad {
			if row.Shared {
				SiblingCotangent(dst, row.X[0][i], row.X[1][i], row.Policy[0][i], row.Sigma, g)
				compareSingle(t, fmt.Sprintf("siblings %d", i), dst, row.Grad[0][i])
				continue
			}
			StepCotangent(dst, row.X[0][i], row.Policy[0][i], row.Sigma, g.Chosen)
			compareSingle(t, fmt.Sprintf("step %d of the chosen picture", i), dst, row.Grad[0][i])
			StepCotangent(dst, row.X[1][i], row.Policy[1][i], row.Sigma, g.Rejected)
			compareSingle(t, fmt.Sprintf("step %d of the rejected picture", i), dst, row.Grad[1][i])
		}
	}
}

// compareSingle holds float32 numbers against float64 ones: half a unit in the last place, and the rounding of sums.
func compareSingle(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	for j, v := range got {
		if !near(float64(v), want[j], 6.1e-8, math.Abs(want[j])+1e-9) {
			t.Errorf("%s, element %d: %g, torch has %g", what, j, v, want[j])
		}
	}
}

// at is a loss at a margin and label.
func at(loss PairLoss, z, label float64) (value, dChosen, dRejected float64) {
	return loss(z, 0, Terms{Label: label})
}

// compareSum is compareSingle for a sum of two float32 numbers, of which pull is one.
func compareSum(t *testing.T, what string, got, pull []float32, want []float64) {
	t.Helper()
	for j, v := range got {
		if !near(float64(v), want[j], 1.3e-7, math.Abs(want[j])+2*math.Abs(float64(pull[j]))+1e-9) {
			t.Errorf("%s, element %d: %g, torch has %g", what, j, v, want[j])
		}
	}
}

// One pair of errors through all methods. beta 5000 is diffusers' beta 2500, which folds the half in.
func TestMethods_published(t *testing.T) {
	for _, row := range []struct {
		o     Objective
		label float64
		want  float64
	}{
		{DiffusionDPO{Beta: 2000}, 1, .474077},
		{DiffusionDPO{Beta: 5000}, 1, .251929},
		{SmPO{Beta: 2000, Gamma: 10}, .5, math.Ln2},
		{SmPO{Beta: 2000, Gamma: 10}, .7, .126928},
		{SmPO{Beta: 2000, Gamma: 10}, 1, .006715},
		{SmPO{Beta: 2000, Gamma: 1}, 1, .474077},
		{SFT{}, 1, .1},
	} {
		terms := []Terms{pairTerms(.1000, .1200, .1010, .1205, row.label)}
		if got := row.o.Evaluate(terms, make([]Grad, 1)); math.Abs(got-row.want) > 5e-7 {
			t.Errorf("%+v, label %g: loss %.6f, want %.6f", row.o, row.label, got, row.want)
		}
	}
	terms := []Terms{pairTerms(.1000, .1200, .1010, .1205, 1)} // both rewards are positive: 0.001 + 0.0005, times 1000
	if got := (CHATS{Beta: 1000}).Evaluate(terms, make([]Grad, 1)); math.Abs(got-.201413) > 5e-7 {
		t.Errorf("CHATS: loss %.6f, want .201413", got)
	}
}

package rewards

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func hundred(t *testing.T) Reference {
	t.Helper()
	var scores []float64
	for i := range 101 {
		scores = append(scores, 3+2*float64(100-i))
	}
	r, err := NewReference("hpsv2.1", "test", scores)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReference_Apply(t *testing.T) {
	r := hundred(t) // 3, 5, … 203: quantile q is 3 + 2q
	std := 2 * math.Sqrt((101*101-1)/12.)
	for _, c := range []struct {
		transform   string
		score, want float64
	}{
		{TransformNone, 7, 7},
		{TransformZ, 103, 0},
		{TransformZ, 103 + std, 1},
		{TransformCDF, 53, 0.25},
		{TransformCDF, 54, 0.255},
		{TransformCDF, -9, 0},
		{TransformCDF, 999, 1},
		{TransformCDF, 3, 0},
		{TransformCDF, 203, 1},
		{TransformMinMax, 5, 0},
		{TransformMinMax, 201, 1},
		{TransformMinMax, 103, 0.5},
		{TransformMinMax, 203, 1 + 2./196},
	} {
		if got, err := r.Apply(c.transform, c.score); err != nil || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s(%v) = %v, %v; want %v", c.transform, c.score, got, err, c.want)
		}
	}
	if _, err := r.Apply("log", 1); err == nil || !strings.Contains(err.Error(), "z, cdf, minmax") {
		t.Errorf("%v", err)
	}
	if _, err := NewReference("a", "", []float64{1, 1}); err == nil {
		t.Error("equal scores accepted")
	}
	if _, err := NewReference("a", "", []float64{1, math.NaN()}); err == nil {
		t.Error("NaN accepted")
	}
}

func TestEnsemble_alarms(t *testing.T) {
	mean, d, err := Ensemble(t.Context(), "p", images(2), 1, Term{fixed{1, 0}, 1}, Term{fixed{1, 4}, 3})
	if err != nil || !slices.Equal(mean, []float64{1, 3}) || !slices.Equal(d.Alarm, []int{1}) {
		t.Errorf("%v, %+v, %v", mean, d, err)
	}
	if want := math.Sqrt(3); math.Abs(d.Spread[1]-want) > 1e-12 || d.Spread[0] != 0 { // 1·9/4 + 3·1/4
		t.Errorf("spread %v, want 0 and %v", d.Spread, want)
	}
	if _, _, err := Ensemble(t.Context(), "p", images(1), 1); err == nil {
		t.Error("no rewards accepted")
	}
}

func TestOpenMix_weighsAndTransforms(t *testing.T) {
	g := readPublished(t)
	r := hundred(t)
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	hps := copyFolder(t, filepath.Join(tinyRewards, HPSv21), map[string]string{"reference.json": string(data)})
	open := func(transform string, choices, folders []string) *Mix {
		m, err := OpenMix(t.Context(), choices, folders, transform, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	pictures := images(0)
	pictures = append(pictures, g.picture(t, 0), g.picture(t, 6))
	two, err := open("", []string{"hpsv2.1=10", "mini", "pickscore-v1=-0.5"}, []string{hps, filepath.Join(tinyRewards, PickScore)}).Score(t.Context(), g.Prompts[0], pictures)
	if err != nil {
		t.Fatal(err)
	}
	mini, err := open("", []string{"mini"}, nil).Score(t.Context(), g.Prompts[0], pictures)
	if err != nil {
		t.Fatal(err)
	}
	z, err := open(TransformZ, []string{HPSv21}, []string{hps}).Score(t.Context(), g.Prompts[0], pictures)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range []int{0, 6} {
		if want := 10*g.Scores[HPSv21][k] + mini[i] - 0.5*g.Scores[PickScore][k]; math.Abs(two[i]-want) > 2e-3 {
			t.Errorf("sum %v, want %v", two[i], want)
		}
		if want := (g.Scores[HPSv21][k] - r.Mean) / r.Std; math.Abs(z[i]-want) > 1e-5 {
			t.Errorf("z %v, want %v", z[i], want)
		}
	}
	if err := os.WriteFile(filepath.Join(hps, "reference.json"), []byte(strings.Replace(string(data), "hpsv2.1", "other", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMix(t.Context(), []string{HPSv21}, []string{hps}, TransformZ, nil); err == nil || !strings.Contains(err.Error(), `describes scores of "other"`) {
		t.Errorf("%v", err)
	}
}

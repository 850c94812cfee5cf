package conditioning

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestScale(t *testing.T) {
	var a, b []float64
	for i := range 101 {
		a, b = append(a, float64(i)), append(b, -2*float64(i))
	}
	a = append(a, math.NaN())
	s, err := NewScale([]string{"pickscore-v1", "JPEG-size"}, [][]float64{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if want := []Reward{{"pickscorev1", 5, 95}, {"jpegsize", -190, -10}}; !slices.Equal(s.Rewards, want) {
		t.Errorf("%+v", s.Rewards)
	}
	if got := s.Suffix(s.Normalise([]float64{50, -1000})); got != ", pickscorev1 0.5, jpegsize 0.0" {
		t.Error(got)
	}
	data, _ := json.Marshal(s)
	path := filepath.Join(t.TempDir(), "s.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if back, err := Read(path); err != nil || !slices.Equal(back.Rewards, s.Rewards) {
		t.Errorf("%+v, %v", back, err)
	}
	for _, bad := range []string{
		"", "{}", `{"type":"conditioning"}`, `{"type":"conditioning","rewards":[{"name":"a b","low":0,"high":1}]}`,
		`{"type":"conditioning","rewards":[{"name":"a","low":1,"high":1}]}`, `{"type":"conditioning","rewards":[{"name":"a","high":1},{"name":"a","high":1}]}`,
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := NewScale([]string{"a"}, [][]float64{{1, 1, 1}}); err == nil {
		t.Error("a reward that tells nothing apart is taken")
	}
}

func TestRay(t *testing.T) {
	s := &Scale{Type: scaleType, Rewards: []Reward{{"a", 0, 1}, {"b", 0, 1}, {"c", 0, 1}}}
	for _, c := range []struct {
		weights map[string]float64
		want    []float64
	}{
		{nil, []float64{1, 1, 1}},
		{map[string]float64{"a": 1, "b": 1, "c": 1}, []float64{1, 1, 1}},
		{map[string]float64{"a": 1}, []float64{1, 0, 0}},
		{map[string]float64{"a": 4, "b": 1, "c": 1}, []float64{1, 0.5, 0.5}},
		{map[string]float64{"A": 0, "b": 2, "c": 2}, []float64{0, 1, 1}},
	} {
		got, err := s.Ray(c.weights)
		if err != nil || len(got) != 3 {
			t.Fatal(err)
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-12 {
				t.Errorf("%v: %v", c.weights, got)
			}
		}
	}
	for _, bad := range []map[string]float64{{"d": 1}, {"a": -1}, {"a": 0}, {"a": math.NaN()}} {
		if got, err := s.Ray(bad); err == nil {
			t.Errorf("%v: %v", bad, got)
		}
	}
	for _, bad := range [][]string{{"a"}, {"=1"}, {"a=x"}, {"a=1", "a=2"}} {
		if got, err := ParseWeights(bad); err == nil {
			t.Errorf("%v: %v", bad, got)
		}
	}
}

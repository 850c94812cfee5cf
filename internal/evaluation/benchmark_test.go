package evaluation

import (
	"math"
	"testing"
)

func TestBenchmark(t *testing.T) {
	// Two styles: 160 pictures of 0 and then 1 (two chunks), and 40 of which one has no score.
	var categories []string
	var values [][]float64
	for i := range 160 {
		categories, values = append(categories, "anime"), append(values, []float64{float64(i / 80)})
	}
	for i := range 40 {
		v := 0.3
		if i == 7 {
			v = math.NaN()
		}
		categories, values = append(categories, "photo"), append(values, []float64{v})
	}
	got := Benchmark(categories, values)
	if len(got) != 3 || got[0].Name != "anime" || got[1].Name != "photo" || got[2].Name != "" {
		t.Fatalf("%+v", got)
	}
	anime, photo, all := got[0], got[1], got[2]
	if anime.Mean != 0.5 || anime.ChunkMean != 0.5 || anime.ChunkStd != 0.5 || anime.Chunks != 2 || anime.Pictures != 160 || anime.Low >= 0.5 || anime.High <= 0.5 {
		t.Errorf("%+v", anime)
	}
	if photo.Pictures != 39 || photo.Chunks != 1 || photo.ChunkStd != 0 || math.Abs(float64(photo.Mean)-0.3) > 1e-12 {
		t.Errorf("%+v", photo)
	}
	// Chunk means 0, 1 and 0.3: mean 1.3/3; the mean over pictures is another number.
	if math.Abs(float64(all.ChunkMean)-1.3/3) > 1e-12 || all.Chunks != 3 || math.Abs(float64(all.Mean)-(80+39*0.3)/199) > 1e-12 {
		t.Errorf("%+v", all)
	}
	if one := Benchmark([]string{"", ""}, [][]float64{{1, 2}, nil}); len(one) != 1 || one[0].Mean != 1.5 || one[0].Pictures != 2 {
		t.Errorf("%+v", one)
	}
}

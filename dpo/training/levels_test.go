package training

import (
	"math"
	"testing"

	"winnow/dpo"
)

// Geometric draws give bins of 50 timesteps, from the noisiest down, probabilities in the ratio of the decay, each timestep of a bin the same.
func TestTimesteps_geometric(t *testing.T) {
	const n, total, decay = 400_000, 1000, 0.9
	count := make([]int, total)
	for k := range n {
		count[geometric((float64(k)+0.5)/n, decay, total)]++
	}
	sum := (1 - math.Pow(decay, 20)) / (1 - decay)
	for at, c := range count {
		bin := (total - 1 - at) / 50
		if want := n * math.Pow(decay, float64(bin)) / sum / 50; math.Abs(float64(c)-want) > 2 {
			t.Fatalf("timestep %d drawn %d times, want %.1f", at, c, want)
		}
	}
	for _, share := range []float64{0, math.Nextafter(1, 0)} {
		for _, total := range []int{1, 7, 51, 1000} {
			if at := geometric(share, 0.5, total); at < 0 || at >= total {
				t.Errorf("share %v of %d timesteps: %d", share, total, at)
			}
		}
	}
}

// The weight of inverse-snr is 1 at the least noise, 2 at the most, and grows with the noise.
func TestWeight_inverseSNR(t *testing.T) {
	tr := open(t, Config{Method: "dpo", TimestepWeighting: inverseSNR})
	last := 0.0
	for at := range tr.scheduler.Schedule().Len() {
		w, err := tr.weight(at)
		if err != nil || w <= last || at == 0 && w != 1 {
			t.Fatalf("timestep %d: weight %v behind %v, %v", at, w, last, err)
		}
		last = w
	}
	if last != 2 {
		t.Errorf("the noisiest level weighs %v", last)
	}
}

// The two pictures of a pair have a timestep and a noise each where the method says so; else they share both.
func TestPairs_independent(t *testing.T) {
	pairs := writePairs(t, 8)
	for _, independent := range []bool{false, true} {
		tr := open(t, Config{Method: "dpo", BatchSize: 4, Seed: 5, Settings: dpo.Settings{Draws: 3}})
		tr.method.Independent = independent
		d, err := tr.Load(t.Context(), []string{pairs}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Begin(d); err != nil {
			t.Fatal(err)
		}
		s, err := tr.source.batch(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		b := s.(*denoising)
		same := 0
		for i := range b.pairs {
			if b.in.t[i] == b.in.t[b.pairs+i] {
				same++
			}
		}
		if independent && same > 2 || !independent && same != b.pairs {
			t.Errorf("independent %v: %d of %d pairs share their timestep", independent, same, b.pairs)
		}
	}
}

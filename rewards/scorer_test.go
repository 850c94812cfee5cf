package rewards

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"testing"
)

// fixed is a reward whose scores are given.
type fixed []float64

func (f fixed) Score(context.Context, string, []image.Image) ([]float64, error) { return f, nil }

type failing struct{}

func (failing) Score(context.Context, string, []image.Image) ([]float64, error) {
	return nil, errors.New("broken")
}

func images(n int) []image.Image {
	out := make([]image.Image, n)
	for i := range out {
		out[i] = image.NewNRGBA(image.Rect(0, 0, 1, 1))
	}
	return out
}

func TestRank_tiesShareARank(t *testing.T) {
	got, err := Rank(t.Context(), fixed{1, 5, -2, 5, 1, 5}, "p", images(6))
	want := []Ranked{{1, 1, 5}, {3, 1, 5}, {5, 1, 5}, {0, 4, 1}, {4, 4, 1}, {2, 6, -2}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if got, err := Rank(t.Context(), fixed{}, "p", nil); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

func TestRank_refusals(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		var ne *NotFiniteError
		if _, err := Rank(t.Context(), fixed{1, bad}, "p", images(2)); !errors.As(err, &ne) || ne.Index != 1 {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := Rank(t.Context(), fixed{1}, "p", images(2)); err == nil {
		t.Error("one score for two pictures accepted")
	}
	if _, err := Rank(t.Context(), failing{}, "p", images(2)); err == nil {
		t.Error("failure of the reward lost")
	}
}

func TestSum(t *testing.T) {
	s := Sum(Term{fixed{1, 2}, 10}, Term{fixed{4, 0}, -0.5})
	if got, err := s.Score(t.Context(), "p", images(2)); err != nil || !slices.Equal(got, []float64{8, 20}) {
		t.Errorf("%v, %v", got, err)
	}
	for i, s := range []Scorer{Sum(), Sum(Term{failing{}, 1}), Sum(Term{fixed{1}, 1})} {
		if _, err := s.Score(t.Context(), "p", images(2)); err == nil {
			t.Errorf("sum %d accepted", i)
		}
	}
}

func ExampleOrder() {
	ranked, err := Order([]float64{0.2, 0.9, 0.2})
	if err != nil {
		panic(err)
	}
	for _, r := range ranked {
		fmt.Printf("%d. picture %d scores %.1f\n", r.Rank, r.Index, r.Score)
	}
	// Output:
	// 1. picture 1 scores 0.9
	// 2. picture 0 scores 0.2
	// 2. picture 2 scores 0.2
}

// Opening the embedded reward and ranking two pictures, as a program does it.
func ExampleOpen() {
	reward, err := Open(context.Background(), Mini, "", nil)
	if err != nil {
		panic(err)
	}
	defer reward.Close()
	ranked, err := Rank(context.Background(), reward, "a red circle", images(2))
	if err != nil {
		panic(err)
	}
	fmt.Println(len(ranked), "pictures, the best has rank", ranked[0].Rank)
	// Output: 2 pictures, the best has rank 1
}

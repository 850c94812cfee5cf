package vlmjudge

import (
	"math"
	"testing"
)

func TestElo(t *testing.T) {
	games := []Game{{0, 1, 1}, {1, 2, 1}, {0, 2, .5}, {2, 0, .73}}
	got, err := Elo(3, games, 1500, 32)
	if err != nil {
		t.Fatal(err)
	}
	nearAll(t, "four games", got, []float64{1505.7711, 1500.7363, 1493.4926}, 5e-5)
	near(t, "400 points", EloExpected(1900, 1500), 10./11, 1e-12)
	near(t, "both sides", EloExpected(1612, 1500)+EloExpected(1500, 1612), 1, 1e-12)
	for _, bad := range []Game{{0, 0, 1}, {0, 3, 1}, {-1, 0, 1}, {0, 1, 1.1}, {0, 1, -.1}, {0, 1, math.NaN()}} {
		if _, err := Elo(3, []Game{bad}, 1500, 32); err == nil {
			t.Errorf("game %+v was taken", bad)
		}
	}
	if _, err := Elo(-1, nil, 1500, 32); err == nil {
		t.Error("-1 items were taken")
	}
}

// TestEloShuffled: the mean over orders no longer says who played last, and the ratings keep their sum.
func TestEloShuffled(t *testing.T) {
	var games []Game
	for range 10 {
		games = append(games, Game{0, 1, 1})
	}
	for range 10 {
		games = append(games, Game{0, 1, 0}) // item 1 made good in the end
	}
	last, err := Elo(2, games, 1500, 32)
	if err != nil {
		t.Fatal(err)
	}
	if last[1]-last[0] < 100 {
		t.Errorf("ratings %v do not follow the last games", last)
	}
	mean, err := EloShuffled(2, games, 1500, 32, 2000, 7)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "even players", mean[0]-mean[1], 0, 6)
	near(t, "sum", mean[0]+mean[1], 3000, 1e-8)
	again, _ := EloShuffled(2, games, 1500, 32, 2000, 7)
	nearAll(t, "same seed", again, mean, 0)
	if !(games[0].Score == 1 && games[19].Score == 0) {
		t.Error("the caller's games were shuffled")
	}
	if _, err := EloShuffled(2, games, 1500, 32, 0, 7); err == nil {
		t.Error("0 orders were taken")
	}
}

package vlmjudge

// Copeland counts, for every item, the others that it beats more often than they beat it, a tie counting ½. wins[i][j]
// is how often, in fractions, i beat j; pairs that were not compared count nothing. It asks for no model, and an item
// that beats every other one (a Condorcet winner) is always first.
func Copeland(wins [][]float64) ([]float64, error) {
	if err := checkWins(wins); err != nil {
		return nil, err
	}
	score := make([]float64, len(wins))
	for i := range wins {
		for j := range wins {
			switch w, l := wins[i][j], wins[j][i]; {
			case w > l:
				score[i]++
			case w == l && w > 0:
				score[i] += .5
			}
		}
	}
	return score, nil
}

// Borda is, for every item, the mean share of wins over the items that it was compared with, each opponent counting the
// same: 0..1, and ½ for an item that was never compared. With all pairs compared it is the Borda count divided by the
// number of opponents.
func Borda(wins [][]float64) ([]float64, error) {
	if err := checkWins(wins); err != nil {
		return nil, err
	}
	score := make([]float64, len(wins))
	for i := range wins {
		opponents := 0
		for j := range wins {
			if n := wins[i][j] + wins[j][i]; n > 0 {
				score[i] += wins[i][j] / n
				opponents++
			}
		}
		if opponents == 0 {
			score[i] = .5
			continue
		}
		score[i] /= float64(opponents)
	}
	return score, nil
}

// CyclicTriples counts the sets of three items of which each beats another (i over j, j over k, k over i) by the larger
// number of wins: a measure of how far a judge is from having one order in mind. compared is the number of triples
// whose three pairs all have a winner; a quarter of them are cyclic when every pair is decided by a coin.
func CyclicTriples(wins [][]float64) (cyclic, compared int, err error) {
	if err := checkWins(wins); err != nil {
		return 0, 0, err
	}
	beats := func(i, j int) bool { return wins[i][j] > wins[j][i] }
	decided := func(i, j int) bool { return wins[i][j] != wins[j][i] }
	for i := range wins {
		for j := range i {
			for k := range j {
				if !decided(i, j) || !decided(j, k) || !decided(k, i) {
					continue
				}
				compared++
				if beats(i, j) == beats(j, k) && beats(j, k) == beats(k, i) {
					cyclic++
				}
			}
		}
	}
	return cyclic, compared, nil
}

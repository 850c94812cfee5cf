package evaluation

import (
	"math"

	"winnow/vlmjudge"
)

// Judge enters a tournament about all pictures of a record: its strengths as scores, and every match as a verdict.
func (c *Scorer) Judge(record int, t vlmjudge.Tournament) {
	c.Score(record, t.Strengths)
	verdicts := make([]verdict, len(t.Matches))
	for i, m := range t.Matches {
		v := verdict{first: m.A, second: m.B, shownFirst: m.AFirst.P, shownSecond: 1 - m.BFirst.P}
		if m.AFirst.Abstained {
			v.shownFirst = math.NaN()
		}
		if m.BFirst.Abstained {
			v.shownSecond = math.NaN()
		}
		verdicts[i] = v
	}
	c.verdicts[record] = verdicts
}

// verdict is a judge's answer about two pictures of a record.
type verdict struct {
	first, second int
	// shownFirst is the probability that first is better when it is shown first, shownSecond when it is shown second; NaN: no
	// answer.
	shownFirst, shownSecond float64
}

package vlmjudge

import (
	"fmt"
	"math"
)

// Degenerate says why the order of a tournament means nothing, as where a judge looks at the position only, or at nothing; "" where it may
// mean something. It takes at least three pairs with an answer: fewer turn by chance.
func (t Tournament) Degenerate() string {
	answered := t.Pairs - t.Abstained
	switch {
	case t.Pairs > 0 && answered == 0:
		return fmt.Sprintf("the judge gave a readable answer about none of the %d pairs", t.Pairs)
	case answered < 3 || len(t.Strengths) == 0:
		return ""
	case t.Turned == answered && t.Bias != 0:
		position := "first"
		if t.Bias < 0 {
			position = "second"
		}
		return fmt.Sprintf("the judge preferred the picture shown %s in each of the %d pairs, whichever it was", position, answered)
	}
	for _, s := range t.Strengths {
		if math.Abs(s) > even {
			return ""
		}
	}
	return fmt.Sprintf("no picture came out stronger than another in %d pairs", answered)
}

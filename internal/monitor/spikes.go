package monitor

import (
	"fmt"
	"math"
)

// spikes watches one series for values far above what it was lately.
type spikes struct {
	Recent window  `json:"recent"`
	Above  int     `json:"above"`  // spikes in a row
	Seen   bool    `json:"seen"`   // Start and Spread are set
	Start  float64 `json:"start"`  // median of the first steps
	Spread float64 `json:"spread"` // around Start
}

// startSteps is the number of steps before anything is judged; their median is the scale of a run.
const startSteps = 20

const lowerRate = "go on from an earlier checkpoint with a lower learning rate, a longer warm-up or a lower beta"

// observe takes the next value. least is the smallest spread in use, as a share of the level now or at the start, whichever is larger:
// a run that had converged to almost nothing has not diverged when a hard pair comes by.
func (s *spikes) observe(o GuardOptions, v, least float64) *Divergence {
	if n := len(s.Recent.Values); n < min(startSteps, s.Recent.size) {
		s.Recent.add(v)
		if n+1 == min(startSteps, s.Recent.size) && !s.Seen {
			s.Start, s.Spread = center(s.Recent.Values)
			s.Seen = true
		}
		return nil
	}
	if o.Spike < 0 {
		s.Recent.add(v)
		return nil
	}
	middle, spread := center(s.Recent.Values)
	limit := middle + o.Spike*max(spread, least*max(math.Abs(middle), math.Abs(s.Start)))
	if v <= limit {
		s.Above = 0
		s.Recent.add(v)
		return nil
	}
	s.Above++
	s.Recent.add(limit) // the level may move, but no spike may move it far
	if s.Above < o.SpikeSteps {
		return nil
	}
	return &Divergence{Value: v, Cause: fmt.Sprintf("above %.4g for %d steps in a row, after a median of %.4g", limit, s.Above, middle), Cure: lowerRate}
}

// risen finds what climbs too slowly for a spike: half of a window lies far above the start, whatever the way there.
func (s *spikes) risen(o GuardOptions, v float64) *Divergence {
	if o.Spike < 0 || !s.Seen || !s.Recent.full() {
		return nil
	}
	start, limit := s.Start, s.Start+o.Spike*max(s.Spread, 0.1*math.Abs(s.Start))
	if known := o.StartLoss * (1 + 0.2*o.Spike); known > 0 && known < limit { // the first steps had diverged already
		start, limit = o.StartLoss, known
	}
	if middle := median(s.Recent.Values); middle > limit {
		return &Divergence{
			Value: v, Cause: fmt.Sprintf("the median of the last %d steps is %.4g, against %.4g at the start", s.Recent.size, middle, start), Cure: lowerRate,
		}
	}
	return nil
}

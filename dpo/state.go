package dpo

import "fmt"

// Stateful is a [Loss] that depends on earlier batches. Evaluate works with the state as it is and does not change it, so
// that a trainer may evaluate as often as it likes; Observe takes in a batch that has been learnt from, once, behind
// Evaluate.
type Stateful interface {
	Loss
	Observe(scale float64, terms []Terms)
	// State is a copy of what is kept, and Restore puts it back, in a loss of the same settings.
	State() []float64
	Restore(state []float64) error
}

// Observe tells an objective that a batch has been learnt from. Most objectives keep nothing, and nothing happens. It
// wants the terms as Evaluate does.
func Observe(o Objective, terms []Terms) {
	if s, scale, seen := stateful(o, terms); s != nil {
		s.Observe(scale, seen)
	}
}

// State is what an objective keeps between batches, for a checkpoint; nil for most.
func State(o Objective) []float64 {
	if s, _, _ := stateful(o, nil); s != nil {
		return s.State()
	}
	return nil
}

// Restore puts back what [State] gave for an objective of the same settings.
func Restore(o Objective, state []float64) error {
	s, _, _ := stateful(o, nil)
	switch {
	case s != nil:
		return s.Restore(state)
	case len(state) > 0:
		return fmt.Errorf("dpo: a state of %d numbers is for another objective: this one keeps nothing; go on with the settings that made it", len(state))
	}
	return nil
}

// stateful finds the loss that keeps something inside an objective, the scale that it works with and the terms that reach it.
func stateful(o Objective, terms []Terms) (s Stateful, scale float64, seen []Terms) {
	switch o := o.(type) {
	case VRPO:
		return stateful(o.Objective, MeanTerms(terms, o.Draws))
	case SDPO:
		return stateful(o.Objective, terms)
	case WithSFT:
		return stateful(o.Objective, terms)
	case DiffusionDPO:
		s, _ = o.Loss.(Stateful)
		return s, 0.5 * o.Beta, terms
	case Implicit:
		s, _ = o.Loss.(Stateful)
		return s, o.Beta, terms
	case TailorPO:
		s, _ = o.Loss.(Stateful)
		return s, o.Beta, terms
	}
	return nil, 0, nil
}

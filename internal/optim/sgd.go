package optim

// sgd is torch.optim.SGD without momentum: p = p − lr·(g + weight_decay·p), its state the number of steps.
type sgd struct {
	state
	o      Options
	params []*Param
	pieces []piece
}

func newSGD(params []*Param, o Options) (Optimizer, error) {
	return &sgd{newState(), o, params, pieces(params)}, nil
}

// Name implements Optimizer.
func (s *sgd) Name() string { return "sgd" }

// Step implements Optimizer.
func (s *sgd) Step(lr float64) {
	mustHaveGradients(s.params)
	s.steps++
	rate, decay := float32(-lr), float32(s.o.WeightDecay)
	parallel(s.o.Threads, len(s.pieces), batch, func(_, i int) {
		at := s.pieces[i]
		p, g := s.params[at.param].Value[at.from:at.to], s.params[at.param].Grad[at.from:at.to]
		for k, x := range g {
			p[k] = mulAdd(rate, mulAdd(decay, p[k], x), p[k])
		}
	})
}

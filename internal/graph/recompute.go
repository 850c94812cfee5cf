package graph

func (p *ir) recompute(checkpoint bool) error { return nil }

package graph

// rotaryVJP turns the cotangent back: a rotation's transpose is the rotation by the negative angle.
func rotaryVJP(b *Backward) error {
	if b.Needs(1) || b.Needs(2) {
		return b.Refuse("", "the gradient with respect to the caches of cosines and sines is not implemented")
	}
	b.Give(0, b.OpA("RotaryEmbedding", b.Node.Attrs, b.G(0), b.X(1), b.Op("Neg", b.X(2)), b.X(3)))
	return nil
}

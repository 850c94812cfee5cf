package sampling

import "context"

// RandomSearch is best of N: fresh noise until the budget is spent. With the same seed a larger budget sees the same candidates
// first, so its best is never worse. (Ma et al. 2025, arXiv 2501.09732, section 3.1, random search.)
func RandomSearch() Method {
	return func(ctx context.Context, s *Search) error {
		for {
			n := max(1, min(s.Batch, s.Left()/s.Cost()))
			noise := make([]float32, n*s.Size)
			for i := range n {
				s.Normal(noise[i*s.Size : (i+1)*s.Size]) // candidate by candidate: the batch does not change what is drawn
			}
			if _, err := s.Evaluate(ctx, noise, n); err != nil {
				return err
			}
		}
	}
}

package vlmjudge

import (
	"context"
	"sync"
)

// each runs f for 0 … n−1, at most limit at once. The first failure stops the rest and is returned.
func each(ctx context.Context, n, limit int, f func(ctx context.Context, i int) error) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, limit)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		if inner.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(inner, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(inner)
}

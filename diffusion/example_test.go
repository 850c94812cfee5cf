package diffusion_test

import (
	"context"
	"fmt"

	"winnow/diffusion"
)

// A prompt becomes a picture of the embedded model.
func Example() {
	ctx := context.Background()
	p, err := diffusion.Open(ctx, diffusion.Mini, nil)
	if err != nil {
		panic(err)
	}
	defer p.Close()
	images, err := p.Generate(ctx, diffusion.Request{Prompts: []string{"a red circle"}, Steps: 2, Seed: 7})
	if err != nil {
		panic(err)
	}
	fmt.Println(images[0].Bounds().Size(), "seed", images[0].Params.Seed)
	// Output: (64,64) seed 7
}
